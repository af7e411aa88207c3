package link

import "slices"

// sdkServerUnderWire: the SDK's SERVER span goes under the eBPF SERVER span of the same call, which
// read the same header: siblings would show the call twice. A proxy that passes the header on read it
// too, and so did whoever the service calls with it: the one in the service of the SDK is meant. One
// elsewhere may be the proxy, or go by another name; it is none that the service called, whose request is
// over sooner. Durations need no common clock.
var sdkServerUnderWire = row{
	rule: AppContext,
	refers: &keyed{isSDK | isServer | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = !f.Raw && f.Role == Server && hasContext(f); ok {
			k = idKey(domainCarried, f.CtxTrace, f.CtxParent)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && hasContext(f); ok {
			k = idKey(domainCarried, f.CtxTrace, f.CtxParent)
		}
		return k, ok
	}},
	quota:  carriedQuota,
	beside: throughItsCall,
	limits: []limit{
		{kind: notBefore, allow: sameCallApart, of: (*Index).sameProcess},
		{kind: notAfter, allow: sameCallApart, of: (*Index).sameProcess},
		{kind: notLonger, allow: SameHostTolerance, of: readElsewhere},
	},
	fits: func(_ *Index, c, p View) score {
		switch read := hasContext(p); {
		case read && (c.CtxTrace != p.CtxTrace || c.CtxParent != p.CtxParent):
			return unfit
		case !read:
			return strong
		case c.Service != 0 && c.Service == p.Service:
			return strong
		default:
			return fit
		}
	},
	objects: func(x *Index, c, p View) objection {
		if !hasContext(p) && !x.sameOwner(c, p) {
			return objection{fact: &fieldService}
		}
		return objection{}
	},
	compares: comparison{key: []field{fieldCarried}, also: []field{fieldService}},
}

// readElsewhere: p is known to be of another service than c, and read its header.
func readElsewhere(_ *Index, c, p View) bool {
	return hasContext(p) && c.Service != 0 && p.Service != 0 && c.Service != p.Service
}

// maxAnswers is how many spans are looked at for those that a call may have come to. Where more of its time have its
// x-request-id none is told apart, and the SDK's span stays with the parent that it names.
const maxAnswers = unique

// throughItsCall finds the requests whose header was not seen where they came in, but was where they were sent.
func throughItsCall(x *Index, c View) (met []ID, all bool) {
	var one [1]ID
	calls, _ := x.refs.get(contextKey(c), &one)
	looked := 0
	for _, call := range calls {
		if !carriesFor(x.View(call), c) {
			continue
		}
		x.Referrers(call, func(id ID) bool {
			looked++
			if f := x.core(id); f.Raw && f.Role == Server && !hasContext(x.View(id)) && !slices.Contains(met, id) && x.Resolve(id).Parent == call {
				met = append(met, id)
			}
			return looked <= maxAnswers
		})
	}
	return met, looked <= maxAnswers
}

// sent calls visit for the SDK spans whose header was seen at the call that the request came by.
func (x *Index) sent(request ID, visit func(ID) bool) {
	e := x.Resolve(request)
	if e.Outcome != Linked {
		return
	}
	call := x.View(e.Parent)
	if !call.Raw || call.Role != Client || !hasContext(call) {
		return
	}
	var one [1]ID
	refs, _ := x.refs.get(contextKey(call), &one)
	for _, id := range refs {
		if c := x.View(id); !c.Raw && c.Role == Server && carriesFor(call, c) && !visit(id) {
			return
		}
	}
}

// statedParent: an SDK span names its parent itself.
var statedParent = row{
	rule: AppContext,
	refers: &keyed{isSDK | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = !f.Raw && hasContext(f); ok {
			k = contextKey(f)
		}
		return k, ok
	}},
	defines:  byName,
	fits:     fitsContext,
	flat:     true,
	quota:    namedQuota,
	stated:   true,
	compares: comparison{key: []field{fieldContext}},
}

// callInContext: the header that a call carries names the span that made it.
var callInContext = row{
	rule: AppContext,
	refers: &keyed{isRaw | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role != Server && hasContext(f); ok {
			k = contextKey(f)
		}
		return k, ok
	}},
	defines:  byName,
	fits:     fitsContext,
	flat:     true,
	quota:    namedQuota,
	veto:     forwardsContext,
	compares: comparison{key: []field{fieldContext}},
}

// serverInContext: the header that a request carried names the caller. Only where the wire does not
// show the CLIENT span: through it the same SDK span is reached with the call in between.
var serverInContext = row{
	rule:  AppContext,
	after: []string{TCPSeq},
	refers: &keyed{isRaw | isServer | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && hasContext(f); ok {
			k = contextKey(f)
		}
		return k, ok
	}},
	defines:  byName,
	fits:     fitsContext,
	flat:     true,
	quota:    namedQuota,
	compares: comparison{key: []field{fieldContext}},
}

func hasContext(f View) bool { return f.CtxTrace != TraceID{} && f.CtxParent != SpanID{} }

func contextKey(f View) Key { return spanKey(ownKey(f.CtxTrace), f.CtxParent) }

// byName is how whoever has a header knows a span.
var byName = &keyed{hasName, definesSpan}

// definesSpan is what a span is known by; the Index has raw spans in another place (see identify).
func definesSpan(_ *Index, f View) (k Key, ok bool) {
	if ok = f.own != 0 && f.Span != (SpanID{}); ok {
		k = spanKey(f.own, f.Span)
	}
	return k, ok
}

func fitsContext(_ *Index, c, p View) score {
	return when(p.Span == c.CtxParent && p.Owns(c.CtxTrace))
}

// forwardsContext: a proxy sends on the header it received, so the header names the caller of its
// caller; its own SERVER span is the parent.
func forwardsContext(x *Index, c View) bool {
	if c.Host == 0 || c.Systrace == 0 {
		return false
	}
	var one [1]ID
	servers, crowd := x.defs.get(domainSystrace.key2(c.Host, c.Systrace), &one)
	if crowd != nil {
		// No request has that many spans, so there is no telling.
		return true
	}
	for _, id := range servers {
		p := x.View(id)
		if p.Raw && p.Role == Server && p.Host == c.Host && p.Systrace == c.Systrace &&
			p.CtxTrace == c.CtxTrace && p.CtxParent == c.CtxParent {
			return true
		}
	}
	return false
}
