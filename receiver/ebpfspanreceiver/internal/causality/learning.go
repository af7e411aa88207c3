package causality

// A guess that is not believed yet may be after the next few calls. A call that would be linked by it waits
// for that, for as long as any call may wait: else the first calls of every process stayed without a link, and
// where requests come one by one, all those of its first second. Nobody waits for what can be concluded about
// calls that nothing names: those wait as long anyway.

// proof is what is being learned about a guess.
type proof interface {
	// undecided: a few more trials may show that it is right.
	undecided() bool
}

// maxUndecided is how many trials may leave it open. Of those that are right, fewer are enough.
const maxUndecided = 512

func (t *trial) undecided() bool { return t.all < maxUndecided && !t.proves() && !t.refutes() }

// undecided is what a call waits for that has no link, or may lose it; nil where there is nothing.
func (s *Solver) undecided(h *held, own *verdict) proof {
	if own.outcome == Linked && own.hints == 1<<asyncID {
		if p := s.async.unconfirmed(&h.call); p != nil && p.undecided() {
			return p
		}
	}
	if own.outcome != NoEvidence && own.outcome != Untrusted {
		return nil
	}
	if p := s.unprovenEdge(h); p != nil {
		return p
	}
	if p := s.async.unproven(&h.call); p != nil && p.undecided() {
		return p
	}
	if by, ok := s.unproven(h, own); ok {
		if p := &h.process.trials[by]; p.undecided() {
			return p
		}
	}
	return nil
}

// unprovenEdge is what is learned about the sort of an edge that would link a call; nil where there is none.
func (s *Solver) unprovenEdge(h *held) proof {
	edges := s.edges(&h.call)
	for i := range edges {
		e := &edges[i]
		source := s.source(h.process, e, &h.call)
		if source == nil {
			continue
		}
		if _, why, _ := s.admit(e, &h.call, 0); why != Linked {
			continue
		}
		if p := &h.process.trials[s.sort(e, &h.call)]; p.undecided() {
			return p
		}
		if source.undecided() {
			return source
		}
	}
	return nil
}
