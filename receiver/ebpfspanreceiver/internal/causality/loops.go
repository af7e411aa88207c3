package causality

// severalResponses: which of several responses led to the answer is not known. In an event loop
// (bpf/loop.bpf.h) there may always be one more, of which nothing was seen: a timer's, or one that the loop
// has put off. There it must be certain from the one side and not denied from the other: that only this
// response can have led to the answer, or that only this request can have led to the call. The latter counts
// where a loop does at once what it has read: see inTurn.
func severalResponses(s *Solver, e *edge, c *Call) bool {
	if e.segment == 0 {
		return e.uses > 1 || e.baseUses > 1
	}
	p := &s.processes.of(c.Writer.Tgid).answers
	denied := false
	if r := s.ledger.find(c.ID); r != nil {
		for i := range r.edges {
			f := &r.edges[i]
			if f.uses != 1 || f.kind != loop && f.kind != connected {
				continue
			}
			if f.to == e.to {
				return !p.inTurn()
			}
			denied = true
		}
	}
	return denied || e.uses != 1 || e.baseUses != 1 || p.putOff() || !p.inTurn()
}

// oneRequest: which of several requests that the loop has read led to the call is not known.
func oneRequest(_ *Solver, e *edge, _ *Call) bool { return e.uses <= 1 }

// follows: the joint says which response led to the call, and that it led to nothing else before.
func (e *edge) follows() bool { return e.uses <= 1 && e.baseUses == 0 }
