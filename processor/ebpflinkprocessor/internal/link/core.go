package link

import "encoding/binary"

// core is what an Index keeps of each fact: what nearly all spans have. The rest is beside it, or millions of
// spans would take room for what few of them have.
type core struct {
	Span                   SpanID
	Host, Systrace, Pseudo uint64
	Start, End             int64
	ReqSeq, RespSeq        uint32
	// own is a hash of Fact.OwnTrace, 0 when there is none.
	own uint32
	// Of the two ends, by themselves: an Endpoint is a third larger.
	localAddr, peerAddr uint32
	localPort, peerPort uint16
	Service             uint32
	// far is the number of what is in farther, 0 for nothing.
	far          uint32
	Role         Role
	Raw, Pending bool
	Calls        uint8
	// hint is Fact.HintConfidence in hundredths, as far as it is one.
	hint uint8
	// untraced is that of the peer.
	untraced bool
	// has says what keys can be made of it.
	has traits
}

// Local end of the connection, but for whether it is traced: nobody asks.
func (c *core) Local() Endpoint { return Endpoint{Addr: c.localAddr, Port: c.localPort} }

// Peer is the other end.
func (c *core) Peer() Endpoint {
	return Endpoint{Addr: c.peerAddr, Port: c.peerPort, Untraced: c.untraced}
}

// farther is the part of a fact that spans have whose application propagates a context, or who come late.
type farther struct {
	// OwnTrace is kept of spans that are not raw: nothing asks for that of a raw span but whoever names it.
	OwnTrace, CtxTrace TraceID
	CtxParent, Anchor  SpanID
	LateOf             uint64
	NotSampled         bool
	// rare: the Index has more beside this.
	rare bool
	// localUntraced and confidence are of facts that core has no place for.
	localUntraced bool
	confidence    float32
}

// hundredths of a confidence, 0 for one that is no number of them, exactly.
func hundredths(confidence float32) uint8 {
	if !(confidence > 0 && confidence <= 1) {
		return 0
	}
	if n := uint8(confidence*100 + .5); float32(n)/100 == confidence {
		return n
	}
	return 0
}

// HintConfidence is that of the Fact.
func (v View) HintConfidence() float32 {
	if v.hint != 0 {
		return float32(v.hint) / 100
	}
	return v.confidence
}

// View is a fact as an Index has it; it must not be changed.
type View struct {
	*core
	*farther
	*Rare
	said *spoken
}

// nowhere is beside most facts.
var (
	nowhere farther
	nothing Rare
)

// ownKey hashes a trace id, 0 for none.
func ownKey(t TraceID) uint32 {
	if t == (TraceID{}) {
		return 0
	}
	h := mix(seed ^ binary.LittleEndian.Uint64(t[:8]))
	return max(1, uint32(mix(h^binary.LittleEndian.Uint64(t[8:]))))
}

// Owns says whether t is the trace id that the span came with. Of a raw span a hash of 32 bits has to do: who asks has
// found it by the 64 bits of its span id.
func (v View) Owns(t TraceID) bool {
	return v.own == ownKey(t) && (v.Raw || v.OwnTrace == t)
}

func (x *Index) core(id ID) *core { return x.facts.At(id) }

// View returns id as it is now.
func (x *Index) View(id ID) View {
	c := x.core(id)
	if c.far == 0 {
		return View{c, &nowhere, &nothing, x.spoken(id)}
	}
	f := x.far.Of(c.far)
	if !f.rare {
		return View{c, f, &nothing, x.spoken(id)}
	}
	return View{c, f, x.rare[id], x.spoken(id)}
}

// Fact returns all that is kept of id. The trace id that a raw span came with is not.
func (x *Index) Fact(id ID) *Fact {
	f := &Fact{}
	x.Read(id, f)
	f.Anchor = x.Anchor(x.View(id))
	return f
}

// Read makes f what is kept of id and cannot be computed from other facts.
func (x *Index) Read(id ID, f *Fact) {
	v := x.View(id)
	*f = Fact{
		Span: v.Span, OwnTrace: v.OwnTrace, CtxTrace: v.CtxTrace, CtxParent: v.CtxParent, Anchor: v.Anchor, Host: v.Host,
		Systrace: v.Systrace, Pseudo: v.Pseudo, LateOf: v.LateOf, Start: v.Start, End: v.End, ReqSeq: v.ReqSeq, RespSeq: v.RespSeq,
		Local: v.Local(), Peer: v.Peer(), HintConfidence: v.HintConfidence(), Role: v.Role, Raw: v.Raw, Pending: v.Pending,
		NotSampled: v.NotSampled, Calls: v.Calls, Service: v.Service,
	}
	f.Local.Untraced = v.localUntraced
}

// keep makes c what it keeps of f; far stays. Field by field: what is made elsewhere and then copied costs more.
func (c *core) keep(f *Fact) {
	c.Span, c.own = f.Span, ownKey(f.OwnTrace)
	c.Host, c.Systrace, c.Pseudo = f.Host, f.Systrace, f.Pseudo
	c.Start, c.End = f.Start, f.End
	c.ReqSeq, c.RespSeq = f.ReqSeq, f.RespSeq
	c.localAddr, c.localPort = f.Local.Addr, f.Local.Port
	c.peerAddr, c.peerPort, c.untraced = f.Peer.Addr, f.Peer.Port, f.Peer.Untraced
	c.hint, c.Service = hundredths(f.HintConfidence), f.Service
	c.Role, c.Raw, c.Pending, c.Calls = f.Role, f.Raw, f.Pending, f.Calls
}

// bare: nothing of f, which c keeps, is in farther.
func (c *core) bare(f *Fact) bool {
	return (c.hint != 0 || f.HintConfidence == 0) && !f.Local.Untraced && (f.Raw || f.OwnTrace == TraceID{}) && f.LateOf == 0 && !f.NotSampled && f.Anchor == SpanID{} && f.CtxParent == SpanID{} && f.CtxTrace == TraceID{}
}

// put makes f and what is beside it the fact id.
func (x *Index) put(id ID, f *Fact, r *Rare) {
	c := x.core(id)
	c.keep(f)
	rare := !r.Empty() || (x.processes && r.Process != 0)
	if rare {
		kept := *r
		kept.Exchange = none
		x.rare[id] = &kept
	} else if len(x.rare) > 0 {
		delete(x.rare, id)
	}
	x.say(id, &r.Exchange)
	if !rare && c.bare(f) {
		x.far.Give(c.far)
		c.far = 0
	} else {
		x.putFar(c, f, rare)
	}
	x.class(id)
}

// putFar puts what core has no place for beside c.
func (x *Index) putFar(c *core, f *Fact, rare bool) {
	if c.far == 0 {
		c.far = x.far.Take()
	}
	far := x.far.Of(c.far)
	*far = farther{
		CtxTrace: f.CtxTrace, CtxParent: f.CtxParent, Anchor: f.Anchor, LateOf: f.LateOf, NotSampled: f.NotSampled, rare: rare,
		localUntraced: f.Local.Untraced,
	}
	if !f.Raw {
		far.OwnTrace = f.OwnTrace
	}
	if c.hint == 0 {
		far.confidence = f.HintConfidence
	}
}

// drop makes id nobody's.
func (x *Index) drop(id ID) {
	c := x.core(id)
	x.far.Give(c.far)
	x.say(id, &none)
	*c = core{}
	if len(x.rare) > 0 {
		delete(x.rare, id)
	}
}
