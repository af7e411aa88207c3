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

// coreOf is the core of f.
func coreOf(f *Fact) core {
	return core{
		Span: f.Span, own: ownKey(f.OwnTrace), Host: f.Host, Systrace: f.Systrace, Pseudo: f.Pseudo, Start: f.Start, End: f.End,
		ReqSeq: f.ReqSeq, RespSeq: f.RespSeq, Local: f.Local, Peer: f.Peer, HintConfidence: f.HintConfidence, Service: f.Service,
		Role: f.Role, Raw: f.Raw, Pending: f.Pending, Calls: f.Calls,
	}
}

// fartherOf makes far the rest of f, which has r beside it.
func (x *Index) fartherOf(far *farther, f *Fact, r *Rare) {
	*far = farther{
		CtxTrace: f.CtxTrace, CtxParent: f.CtxParent, Anchor: f.Anchor, LateOf: f.LateOf, NotSampled: f.NotSampled,
		rare: !r.Empty() || (x.processes && r.Process != 0),
	}
	if !f.Raw {
		far.OwnTrace = f.OwnTrace
	}
}

// put makes c and what is beside it the fact id.
func (x *Index) put(id ID, c *core, beside *farther, r *Rare) {
	to := x.core(id)
	far := to.far
	*to = *c
	if beside.rare {
		kept := *r
		kept.Exchange = none
		x.rare[id] = &kept
	} else if len(x.rare) > 0 {
		delete(x.rare, id)
	}
	x.say(id, r.Exchange)
	if *beside == (farther{}) {
		x.far.Give(far)
		return
	}
	if far == 0 {
		far = x.far.Take()
	}
	*x.far.Of(far) = *beside
	to.far = far
}
