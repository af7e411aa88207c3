package link

import "encoding/binary"

// core is what an Index keeps of each fact: what nearly all spans have. The rest is beside it, or millions of
// spans would take room for what few of them have.
type core struct {
	Span SpanID
	// own is a hash of Fact.OwnTrace, 0 when there is none.
	own                    uint64
	Host, Systrace, Pseudo uint64
	Start, End             int64
	ReqSeq, RespSeq        uint32
	Local, Peer            Endpoint
	HintConfidence         float32
	Service                uint32
	// far is the number of what is in farther, 0 for nothing.
	far          uint32
	Role         Role
	Raw, Pending bool
	Calls        uint8
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
}

// View is a fact as an Index has it; it must not be changed.
type View struct {
	*core
	*farther
	*Rare
	said *Exchange
}

// nowhere is beside most facts.
var (
	nowhere farther
	nothing Rare
)

// ownKey hashes a trace id, 0 for none.
func ownKey(t TraceID) uint64 {
	if t == (TraceID{}) {
		return 0
	}
	h := mix(seed ^ binary.LittleEndian.Uint64(t[:8]))
	return max(1, mix(h^binary.LittleEndian.Uint64(t[8:])))
}

// Owns says whether t is the trace id that the span came with.
func (v View) Owns(t TraceID) bool {
	return v.own == ownKey(t) && (v.Raw || v.OwnTrace == t)
}

func (x *Index) core(id ID) *core { return x.facts.At(id) }

// View returns id as it is now.
func (x *Index) View(id ID) View {
	c := x.core(id)
	if c.far == 0 {
		return View{c, &nowhere, &nothing, x.exchange(id)}
	}
	f := x.far.Of(c.far)
	if !f.rare {
		return View{c, f, &nothing, x.exchange(id)}
	}
	return View{c, f, x.rare[id], x.exchange(id)}
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
		Local: v.Local, Peer: v.Peer, HintConfidence: v.HintConfidence, Role: v.Role, Raw: v.Raw, Pending: v.Pending,
		NotSampled: v.NotSampled, Calls: v.Calls, Service: v.Service,
	}
}

// keep makes c what it keeps of f; far stays. Field by field: what is made elsewhere and then copied costs more.
func (c *core) keep(f *Fact) {
	c.Span, c.own = f.Span, ownKey(f.OwnTrace)
	c.Host, c.Systrace, c.Pseudo = f.Host, f.Systrace, f.Pseudo
	c.Start, c.End = f.Start, f.End
	c.ReqSeq, c.RespSeq = f.ReqSeq, f.RespSeq
	c.Local, c.Peer = f.Local, f.Peer
	c.HintConfidence, c.Service = f.HintConfidence, f.Service
	c.Role, c.Raw, c.Pending, c.Calls = f.Role, f.Raw, f.Pending, f.Calls
}

// bare: nothing of f is in farther.
func (f *Fact) bare() bool {
	return (f.Raw || f.OwnTrace == TraceID{}) && f.LateOf == 0 && !f.NotSampled && f.Anchor == SpanID{} && f.CtxParent == SpanID{} && f.CtxTrace == TraceID{}
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
	if !rare && f.bare() {
		x.far.Give(c.far)
		c.far = 0
		return
	}
	if c.far == 0 {
		c.far = x.far.Take()
	}
	far := x.far.Of(c.far)
	*far = farther{
		CtxTrace: f.CtxTrace, CtxParent: f.CtxParent, Anchor: f.Anchor, LateOf: f.LateOf, NotSampled: f.NotSampled, rare: rare,
	}
	if !f.Raw {
		far.OwnTrace = f.OwnTrace
	}
}

// drop makes id nobody's.
func (x *Index) drop(id ID) {
	c := x.core(id)
	x.far.Give(c.far)
	*c = core{}
	if len(x.rare) > 0 {
		delete(x.rare, id)
	}
	x.say(id, &none)
}
