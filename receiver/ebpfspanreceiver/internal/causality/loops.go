package causality

// oneResponse: which of several responses led to the answer is not known. In an event loop
// (bpf/loop.bpf.h) there may always be one more, of which nothing was seen: a timer's, or one that the loop
// has put off. There it must be certain from the one side and not denied from the other: that only this
// response can have led to the answer, or that only this request can have led to the call.
func oneResponse(s *Solver, e *edge, c *Call) bool {
	if e.segment == 0 {
		return e.uses <= 1 && e.baseUses <= 1
	}
	denied := false
	for _, f := range s.evidence.of(c.ID) {
		if f.uses != 1 || f.kind != loop && f.kind != connected {
			continue
		}
		if f.epoch == e.epoch {
			return true
		}
		denied = true
	}
	return !denied && e.uses == 1 && e.baseUses == 1
}
