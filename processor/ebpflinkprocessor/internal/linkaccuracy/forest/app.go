package forest

import "encoding/binary"

// sdk makes a span of the application's own. from is whose context it found, nil for none.
func (f *Forest) sdk(p *Process, k Kind, start, end int64, parent, from *Span) *Span {
	s := f.add(&Span{Kind: k, Process: p, SDK: true, Start: start, End: end, Parent: parent})
	f.randomID(s)
	if from != nil && from.Trace != [16]byte{} {
		s.Trace, s.CtxParent = from.Trace, from.contextID()
	} else {
		s.Trace = f.traceID()
	}
	return s
}

// contextID is the span id that a callee sees in the header: an SDK span's own, or what was passed on.
func (s *Span) contextID() [8]byte {
	if s.SDK {
		return s.ID
	}
	return s.CtxParent
}

// header is the context that an exchange carries to the callee, nil for none.
func (f *Forest) header(call *Span) *Span {
	if call.Trace == [16]byte{} {
		return nil
	}
	return call
}

// carry writes on the raw span s the header that it showed: ctx is an SDK span, or a raw span whose
// header is passed on.
func (f *Forest) carry(s, ctx *Span) {
	switch {
	case ctx != nil && ctx.Trace != [16]byte{}:
		s.Trace, s.CtxParent = ctx.Trace, ctx.contextID()
	case s.Parent == nil && (f.Scenario.App == Headers || f.Scenario.Begun):
		// The browser began a trace that nobody here sees.
		s.Trace = f.traceID()
		binary.BigEndian.PutUint64(s.CtxParent[:], f.rng.Uint64()|1)
	}
}

// miss decides which headers are not captured.
func (f *Forest) miss() {
	for _, s := range f.Spans {
		if s.SDK || s.Kind != Server || s.Trace == [16]byte{} || !f.chance(f.Scenario.Missed) {
			continue
		}
		s.Missed = true
		if s.Parent != nil {
			s.Parent.Missed = f.chance(f.Scenario.MissedToo)
		}
	}
}

// Header is the context that s shows: an SDK span's own, or what was captured of its exchange.
func (s *Span) Header() (trace [16]byte, parent [8]byte) {
	if s.Missed {
		return trace, parent
	}
	return s.Trace, s.CtxParent
}

func (f *Forest) traceID() (t [16]byte) {
	binary.BigEndian.PutUint64(t[:8], f.rng.Uint64())
	binary.BigEndian.PutUint64(t[8:], f.rng.Uint64()|1)
	return t
}

func (f *Forest) randomID(s *Span) { binary.BigEndian.PutUint64(s.ID[:], f.rng.Uint64()|1) }
