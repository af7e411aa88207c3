package causality

// severalResponses: which of several responses led to the answer is not known. In an event loop
// (bpf/loop.bpf.h) there may always be one more, of which nothing was seen: a timer's, or one that the loop
// has put off. There it must be certain from the one side and not denied from the other: that only this
// response can have led to the answer, or that only this request can have led to the call, and to as many
// as requests do. The former counts where a loop does at once what it has read: see Habits.Queues.
var severalResponses = rule{SeveralResponses, func(s *Solver, e *edge, c *Call) bool {
	if e.segment == 0 {
		return e.uses > 1 || e.baseUses > 1
	}
	p := &s.processes.of(c.Writer.Tgid).answers
	denied := false
	if r := s.ledger.find(c.ID); r != nil {
		for i := range r.edges {
			f := &r.edges[i]
			if f.uses != 1 || !f.claims() {
				continue
			}
			switch {
			case f.to != e.to:
				denied = true
			case s.confirms(f, e, c):
				return false
			}
		}
	}
	return denied || e.uses != 1 || e.baseUses != 1 || p.putOff() || s.habits(c.Writer.Tgid).Queues
}}

// confirms: the request has led to the call, and no timer. If it may have led to one of its calls only, it is
// the first one, which a loop writes before it sees to its timers; and that must be what its answer says, too,
// for which nothing else was there, or no other of its calls, of which it has one at least.
func (s *Solver) confirms(claim, back *edge, c *Call) bool {
	n, _ := s.claims.get(claim.to)
	f := &s.processes.of(c.Writer.Tgid).fans
	switch {
	case f.usual(n.n):
		return true
	case claim.claim != 1:
		return false
	case back.base == 1:
		return f.inOrder()
	}
	return f.usual(1) && f.shownInOrder() && s.onlyBack(&n, s.requests.at(claim.to, c.Start))
}

// oneRequest: which of several requests that the loop has read led to the call is not known.
var oneRequest = rule{SeveralRequestsRead, func(_ *Solver, e *edge, _ *Call) bool { return e.uses <= 1 }}

// follows: the joint says which response led to the call, and that it led to nothing else before.
func (e *edge) follows() bool { return e.uses <= 1 && e.baseUses == 0 }
