package causality

// Chains: a context that reads the response of a call and writes another one next goes on with the same
// work, or has taken the next. Evidence of kind next joins the two calls. In the terms of union-find, a
// set of calls holds at most one request, own evidence comes before joints, and a joint that would put
// two requests into one set is refused: since all joints rank alike, a call between two requests stays
// without one. Here the set is walked from the call that is asked for, which gives the same whatever
// came first, and needs no more than the calls that are remembered anyway.
//
// A joint alone is a guess, so a call gets its request through a chain only where both ends hold it:
//
//   - In an event loop, the first call of the chain is named by what the loop read before (forwards), and
//     a later one by what its response led to (backwards); both must name the same request, and in this
//     process chains must have closed like that almost always.
//   - In a thread, where nothing forward is known, the operations of the whole segment, from the first
//     call to the one that completed it, must be a sequence that this process does again and again and
//     that is not made up of shorter ones. See signatures.
const (
	// maxChain bounds how many calls a chain is followed.
	maxChain = 64
	// maxWalk bounds how many calls are looked at behind one.
	maxWalk = 128
)

// chained finds the request of a call that has none by itself.
func (s *Solver) chained(h *held) (verdict, bool) {
	end, ok := s.completion(h.record)
	if !ok || !s.belongs(&h.call, &end) {
		return verdict{}, false
	}
	v := verdict{
		outcome: Linked, request: end.request, turn: end.turn, class: Probable, hints: end.hints | 1<<next,
	}
	switch first := s.beginning(h.record); {
	case first == end.request && h.process.trusted(nextSort):
		v.confidence = min(end.confidence, h.process.confidence(nextSort))
		return v, true
	case first != 0 && first != end.request:
		h.process.counts.Contradicted[next].Add(1)
		return verdict{}, false
	}
	ops, ok := s.segment(h.record)
	if !ok || !h.process.signatures.typical(ops) {
		return verdict{}, false
	}
	v.confidence = min(end.confidence, enough)
	return v, true
}

const nextSort = sort(next << 1)

// belongs: that request was being served when the call was sent.
func (s *Solver) belongs(c *Call, end *verdict) bool {
	r := s.requests.named(end.turn, end.request)
	return r != nil && c.Start >= r.start && (r.end == 0 || c.Start <= r.end) &&
		c.Start-r.start <= uint64(s.options.MaxAge)
}

// completion is what the calls after r say backwards, if they all say the same.
func (s *Solver) completion(r *record) (verdict, bool) {
	var found verdict
	var named requestSet
	walked := 0
	var walk func(r *record) bool
	walk = func(r *record) bool {
		if r.crowded || r.several {
			return false
		}
		for _, id := range r.after {
			after := s.ledger.find(id)
			if after == nil {
				continue
			}
			if walked++; walked > maxWalk {
				return false
			}
			if _, by := after.previous(); by == nil || !by.follows() {
				continue
			}
			v := s.verdictOf(after, 0)
			switch {
			case v.outcome == Conflict:
				return false
			case v.exactly():
				named.add(v.request)
				if v.ways&back != 0 {
					found = v
				}
			default:
				if !walk(after) {
					return false
				}
			}
		}
		return true
	}
	if !walk(r) || named.only() == 0 || found.request == 0 {
		return verdict{}, false
	}
	return found, true
}

// beginning is the request that is named forwards by the call itself or by the nearest one before it
// that says anything, or 0.
func (s *Solver) beginning(r *record) (request uint64) {
	for range maxChain {
		v := s.verdictOf(r, 0)
		switch {
		case v.exactly():
			return v.request
		case v.hint != 0:
			return v.hint
		}
		call, e := r.previous()
		if e == nil || !e.follows() {
			return 0
		}
		if r = s.ledger.find(call); r == nil || r.several || r.crowded {
			return 0
		}
	}
	return 0
}

// closure compares the two ends of the chain that a call completes, which is how the kind next proves
// itself.
func (s *Solver) closure(h *held, v *verdict) {
	if !v.exactly() || v.ways&back == 0 {
		return
	}
	call, e := h.record.previous()
	if e == nil || !e.follows() {
		return
	}
	before := s.ledger.find(call)
	if before == nil {
		return
	}
	if first := s.beginning(before); first != 0 {
		h.process.tried(nextSort, first == v.request)
	}
}

// segment is the operations of the calls that a thread made one after the other, up to the one that is
// known, if this is the only way that they can be told apart.
func (s *Solver) segment(r *record) (operations, bool) {
	first := r
	for range maxChain {
		call, e := first.previous()
		if e == nil {
			break
		}
		before := s.ledger.find(call)
		if before == nil {
			return nil, false // a part is not known
		}
		if v := s.verdictOf(before, 0); v.outcome == Linked {
			break // it completed the segment before
		}
		first = before
	}
	var ops operations
	for r = first; len(ops) < maxOperations; {
		if _, e := r.previous(); e != nil && (e.segment != 0 || !e.follows()) {
			return nil, false // an event loop: calls of many requests follow each other
		}
		if r.several || r.crowded || r.operation == 0 || len(r.after) > 1 {
			return nil, false
		}
		ops = append(ops, r.operation)
		if v := s.verdictOf(r, 0); v.outcome == Linked || len(r.after) == 0 {
			return ops, true
		}
		if r = s.ledger.find(r.after[0]); r == nil {
			return nil, false
		}
	}
	return nil, false
}
