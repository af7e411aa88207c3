package causality

// unaided says what becomes of calls of Node.js of which nothing tells what led to them, by what they call: those of timers
// of the program's own, and of promises, which have no ids.
//
// A request whose call that is, is answered when the response is there. So is one that waited for what the program fetches
// for itself (a value that is refreshed now and then, a token); but now and then nobody waits for that, and nothing is
// answered then. What other loops do at once with what they have read is known (bpf/loop.bpf.h).
type unaided struct{ operations operationScores }

// saw takes a call: whether it led to an answer.
func (u *unaided) saw(operation uint64, led bool) { u.operations.add(operation, led) }

// answered: calls of that operation hardly ever lead to nothing. One of which too many have been seen before is not known.
func (u *unaided) answered(operation uint64) bool {
	s, known := u.operations[operation]
	return (known || len(u.operations) < maxSignatures) && s.mostly()
}

// forSomebody: see unaided.
var forSomebody = rule{BegunForNobody, func(s *Solver, _ *edge, c *Call) bool {
	return !s.async.unaided(c.ID) || s.processes.of(c.Writer.Tgid).unaided.answered(c.Operation)
}}

// unaided: it is a call of Node.js, and nothing tells what led to it.
func (a *asyncIDs) unaided(call uint64) bool {
	c, ok := a.calls.get(call)
	if !ok {
		return false
	}
	from := a.root(c, nil)
	return from.turn == 0 && !from.next
}

// learnUnaided takes a call, once, of whose response it is known by now what it has led to.
func (s *Solver) learnUnaided(h *held) {
	if h.aidKnown {
		return
	}
	h.aidKnown = true
	if !s.async.unaided(h.call.ID) {
		return
	}
	led := false
	for _, e := range s.reported(&h.call) {
		led = led || e.kind == answer
	}
	h.process.unaided.saw(h.call.Operation, led)
}
