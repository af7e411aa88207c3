package causality

// solve weighs the evidence of one call: the strongest rank that is admissible decides, unless it
// names several requests. The order in which evidence came does not matter.
func (s *Solver) solve(c *Call) Answer {
	type vote struct {
		request uint64
		kind    *kind
	}
	var votes []vote
	best, refused := disabled, NoEvidence
	for _, e := range s.edges(c) {
		r, why := s.admit(&e, c)
		if r == nil {
			refused = max(refused, why)
			continue
		}
		k := &kinds[e.kind]
		votes = append(votes, vote{r.request, k})
		best = min(best, k.rank)
	}
	if len(votes) == 0 {
		return Answer{Outcome: refused}
	}
	a := Answer{Outcome: Linked}
	for _, v := range votes {
		if v.kind.rank != best {
			continue
		}
		if a.Request != 0 && a.Request != v.request {
			return Answer{Outcome: Conflict}
		}
		a.Request = v.request
	}
	for _, v := range votes {
		if v.request != a.Request {
			a.Overruled++
			continue
		}
		a.Hints = appendOnce(a.Hints, v.kind.hint)
		a.Confidence = max(a.Confidence, v.kind.confidence)
	}
	if best < inherited {
		s.writers.worked(c.Writer, a.Request)
	}
	return a
}

// admit checks one edge: its kind is trusted here, and its request was being served when the call
// was sent.
func (s *Solver) admit(e *edge, c *Call) (*served, Outcome) {
	k := &kinds[e.kind]
	if k.rank == disabled {
		return nil, Untrusted
	}
	for _, keeps := range k.rules {
		if !keeps(s, e, c) {
			return nil, Untrusted
		}
	}
	r := s.requests.at(e.epoch, c.Start)
	switch {
	case r == nil:
		return nil, UnknownRequest
	case c.Start < r.start:
		return nil, Untrusted
	case r.end != 0 && c.Start > r.end:
		return nil, Late
	case c.Start-r.start > uint64(s.options.MaxAge):
		return nil, Aged
	}
	for _, keeps := range k.service {
		if !keeps(s, c, r) {
			return nil, Untrusted
		}
	}
	return r, Linked
}

func appendOnce(list []string, v string) []string {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}
