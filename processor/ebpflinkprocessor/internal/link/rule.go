package link

// Names of the rules, strongest first: the default order.
const (
	AppContext   = "app_context"
	TCPSeq       = "tcp_seq"
	Systrace     = "systrace"
	PseudoThread = "pseudo_thread"
)

// RuleNames lists the rules in their default order.
func RuleNames() []string { return []string{AppContext, TCPSeq, Systrace, PseudoThread} }

// UnstatedConfidence is given to a probable link whose evidence states no confidence.
const UnstatedConfidence = 0.5

// score of a candidate: unfit ones do not count, of the others only the best compete.
type score uint8

const (
	unfit score = iota
	fit
	strong
)

// class is what the links of a rule are worth.
type class uint8

const (
	// exact: so by construction.
	exact class = iota
	// probable: usually so, of two that look alike one may be wrong.
	probable
	// statistical: by times alone.
	statistical
)

// row is one way of a rule: what a child refers to and what a parent defines.
type row struct {
	rule  string
	class class
	// after names a rule that goes first even where this row's rule is the stronger.
	after string
	// refers and defines return the key, or false for a span that has no part in this row.
	refers, defines func(*Fact) (Key, bool)
	// fits compares the fields behind equal keys and whatever else contradicts.
	fits func(x *Index, child, parent *Fact) score
	// veto withdraws the row for a child, whatever the candidates.
	veto func(x *Index, child *Fact) bool
	// stated: the parent is the child's own statement, which time cannot contradict.
	stated bool
	// contains: the child must also end within the parent.
	contains bool
	// confidence of a link, 1 when nil.
	confidence func(child *Fact) float32
}

// rows in default order. ARCHITECTURE.md section 4 is the table this spells out.
var rows = []row{
	{
		// The SDK's SERVER span goes under the eBPF SERVER span of the same call, which read
		// the same header: siblings would show the call twice.
		rule: AppContext,
		refers: func(f *Fact) (Key, bool) {
			return idKey(domainCarried, f.CtxTrace, f.CtxParent), !f.Raw && f.Role == Server && hasContext(f)
		},
		defines: func(f *Fact) (Key, bool) {
			return idKey(domainCarried, f.CtxTrace, f.CtxParent), f.Raw && f.Role == Server && hasContext(f)
		},
		fits: func(_ *Index, c, p *Fact) score {
			return when(c.CtxTrace == p.CtxTrace && c.CtxParent == p.CtxParent)
		},
	},
	{
		rule:    AppContext,
		refers:  func(f *Fact) (Key, bool) { return contextKey(f), !f.Raw && hasContext(f) },
		defines: definesSpan,
		fits:    fitsContext,
		stated:  true,
	},
	{
		rule:    AppContext,
		refers:  func(f *Fact) (Key, bool) { return contextKey(f), f.Raw && f.Role != Server && hasContext(f) },
		defines: definesSpan,
		fits:    fitsContext,
		veto:    forwardsContext,
	},
	{
		rule: TCPSeq,
		refers: func(f *Fact) (Key, bool) {
			return seqPair(f), f.Raw && f.Role == Server && f.ReqSeq != 0 && f.RespSeq != 0
		},
		defines: func(f *Fact) (Key, bool) {
			return seqPair(f), f.Raw && f.Role == Client && f.ReqSeq != 0 && f.RespSeq != 0
		},
		fits: fitsConnection,
	},
	{
		rule: TCPSeq,
		refers: func(f *Fact) (Key, bool) {
			return seqPorts(f, f.Peer.Port, f.Local.Port), f.Raw && f.Role == Server && hasPorts(f)
		},
		defines: func(f *Fact) (Key, bool) {
			return seqPorts(f, f.Local.Port, f.Peer.Port), f.Raw && f.Role == Client && hasPorts(f)
		},
		fits: func(x *Index, c, p *Fact) score {
			if c.Local.Port != p.Peer.Port || c.Peer.Port != p.Local.Port {
				return unfit
			}
			return fitsConnection(x, c, p)
		},
	},
	{
		// Only where the wire does not show the CLIENT span: through it the same SDK span is
		// reached with the call in between.
		rule:    AppContext,
		after:   TCPSeq,
		refers:  func(f *Fact) (Key, bool) { return contextKey(f), f.Raw && f.Role == Server && hasContext(f) },
		defines: definesSpan,
		fits:    fitsContext,
	},
	{
		rule: Systrace,
		refers: func(f *Fact) (Key, bool) {
			return domainSystrace.key(f.Host, f.Systrace, 0), f.Raw && f.Role == Client && f.Host != 0 && f.Systrace != 0
		},
		defines: func(f *Fact) (Key, bool) {
			return domainSystrace.key(f.Host, f.Systrace, 0), f.Raw && f.Role == Server && f.Host != 0 && f.Systrace != 0
		},
		fits: func(_ *Index, c, p *Fact) score { return when(c.Host == p.Host && c.Systrace == p.Systrace) },
		// The join is exact; how the call came to carry that id is as sure as its evidence.
		confidence: func(c *Fact) float32 {
			if c.HintConfidence > 0 {
				return c.HintConfidence
			}
			return 1
		},
	},
	{
		rule:  PseudoThread,
		class: probable,
		refers: func(f *Fact) (Key, bool) {
			return domainPseudo.key(f.Host, f.Pseudo, 0), f.Raw && f.Role == Client && f.Host != 0 && f.Pseudo != 0
		},
		defines: func(f *Fact) (Key, bool) {
			return domainPseudo.key(f.Host, f.Pseudo, 0), f.Raw && f.Role == Server && f.Host != 0 && f.Pseudo != 0
		},
		contains: true,
		fits: func(_ *Index, c, p *Fact) score {
			// Two different known requests cannot be one, whatever the thread.
			if c.Systrace != 0 && p.Systrace != 0 && c.Systrace != p.Systrace {
				return unfit
			}
			return when(c.Host == p.Host && c.Pseudo == p.Pseudo)
		},
		confidence: func(c *Fact) float32 {
			if c.HintConfidence > 0 {
				return c.HintConfidence
			}
			return UnstatedConfidence
		},
	},
}

func when(ok bool) score {
	if ok {
		return fit
	}
	return unfit
}

func hasContext(f *Fact) bool { return f.CtxTrace != TraceID{} && f.CtxParent != SpanID{} }
func hasPorts(f *Fact) bool   { return f.ReqSeq != 0 && f.Local.Port != 0 && f.Peer.Port != 0 }

func contextKey(f *Fact) Key { return idKey(domainSpan, f.CtxTrace, f.CtxParent) }

func definesSpan(f *Fact) (Key, bool) {
	return idKey(domainSpan, f.OwnTrace, f.Span), f.OwnTrace != TraceID{} && f.Span != SpanID{}
}

func fitsContext(_ *Index, c, p *Fact) score {
	return when(p.OwnTrace == c.CtxTrace && p.Span == c.CtxParent)
}

// forwardsContext: a proxy sends on the header it received, so the header names the caller of its
// caller; its own SERVER span is the parent.
func forwardsContext(x *Index, c *Fact) bool {
	if c.Host == 0 || c.Systrace == 0 {
		return false
	}
	var one [1]ID
	for _, id := range x.defs.get(domainSystrace.key(c.Host, c.Systrace, 0), &one) {
		p := x.Fact(id)
		if p.Raw && p.Role == Server && p.Host == c.Host && p.Systrace == c.Systrace &&
			p.CtxTrace == c.CtxTrace && p.CtxParent == c.CtxParent {
			return true
		}
	}
	return false
}

func seqPair(f *Fact) Key { return domainSeqPair.key(uint64(f.ReqSeq), uint64(f.RespSeq), 0) }

func seqPorts(f *Fact, client, server uint16) Key {
	return domainSeqPorts.key(uint64(f.ReqSeq), uint64(client), uint64(server))
}

// fitsConnection judges whether two ends show one connection. Sequence numbers are 32 bits, so what
// else is known must not contradict: between the same two addresses the ports are equal too, while
// different addresses may be a NAT between the ends.
func fitsConnection(_ *Index, server, client *Fact) score {
	if server.ReqSeq != client.ReqSeq {
		return unfit
	}
	if server.RespSeq != 0 && client.RespSeq != 0 && server.RespSeq != client.RespSeq {
		return unfit
	}
	near, far := ends(client.Local, server.Peer), ends(client.Peer, server.Local)
	switch {
	case near == endsSame && far == endsSame:
		return strong
	case near == endsPortDiffers && far != endsUnknown && far != endsDiffer,
		far == endsPortDiffers && near == endsSame:
		return unfit
	default:
		return fit
	}
}

type endsRelation uint8

const (
	endsUnknown endsRelation = iota
	endsSame
	endsPortDiffers
	endsDiffer
)

func ends(a, b Endpoint) endsRelation {
	switch {
	case a.Addr == 0 || b.Addr == 0:
		return endsUnknown
	case a.Addr != b.Addr:
		return endsDiffer
	case a.Port != b.Port && a.Port != 0 && b.Port != 0:
		return endsPortDiffers
	default:
		return endsSame
	}
}
