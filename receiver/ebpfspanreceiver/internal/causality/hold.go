package causality

// held is a finished call that waits for evidence.
type held struct {
	call    Call
	release func(Answer)
}

// Hold takes a finished call, and answers when everything that can be known is.
func (s *Solver) Hold(c Call, release func(Answer)) {
	s.writers.wrote(c.Writer, c.Start)
	if len(s.waiting) >= s.options.MaxHeld {
		s.counts.Hurried.Add(1)
		oldest := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.answer(oldest)
	}
	s.waiting = append(s.waiting, held{c, release})
}

// Tick answers the calls that have waited enough: now is the kernel's clock.
func (s *Solver) Tick(now uint64) {
	kept := s.waiting[:0]
	for _, h := range s.waiting {
		if s.settled(&h.call, now) {
			s.answer(h)
			continue
		}
		kept = append(kept, h)
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	s.forget(now)
}

// Waiting is how many calls are held.
func (s *Solver) Waiting() int { return len(s.waiting) }

// Flush answers every held call with what is known.
func (s *Solver) Flush() {
	for _, h := range s.waiting {
		s.answer(h)
	}
	s.waiting = nil
}

// settled: the request has ended and the grace is over, or the call has waited for as long as one may.
func (s *Solver) settled(c *Call, now uint64) bool {
	if now > c.End+uint64(s.options.Hold) {
		return true
	}
	end := uint64(0)
	for _, e := range s.edges(c) {
		r := s.requests.at(e.epoch, c.Start)
		if r == nil {
			continue
		}
		if r.end == 0 {
			return false
		}
		end = max(end, r.end)
	}
	return end != 0 && now > end+uint64(s.options.Grace)
}

func (s *Solver) answer(h held) {
	a := s.solve(&h.call)
	s.counts.Outcomes[a.Outcome].Add(1)
	s.counts.Overruled.Add(uint64(a.Overruled))
	s.evidence.use(h.call.ID)
	h.release(a)
}

// edges is all that is known of a call, reported and derived.
func (s *Solver) edges(c *Call) []edge {
	edges := s.evidence.of(c.ID)
	edges = edges[:len(edges):len(edges)] // what is derived is not stored
	for _, d := range s.derivations {
		edges = d.edges(edges, c)
	}
	return edges
}

// forget drops what no call can refer to any more.
func (s *Solver) forget(now uint64) {
	keep := uint64(2*s.options.Hold + s.options.Grace)
	s.evidence.forget(now, keep)
	if now < keep {
		return
	}
	s.requests.forget(now - keep)
	for _, d := range s.derivations {
		d.forget(now - keep)
	}
}
