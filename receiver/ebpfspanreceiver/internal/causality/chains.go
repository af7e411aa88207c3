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
//     the last one by what its response led to (backwards); both must name the same request, and in this
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

// Chains are calibrated apart where a part of them is unsure.
const (
	sureChain   = sort(next << 1)
	unsureChain = sureChain | 1
)

func chainSort(sure bool) sort {
	if sure {
		return sureChain
	}
	return unsureChain
}

// end is what a chain comes to.
type end struct {
	request, turn uint64
	hints         uint32
	confidence    float64
	sure          bool // it is exact evidence
}

// ends are what a chain with a call says of it: who completed it, and the request that is named forwards, or 0.
type ends struct {
	last  end
	first uint64
	by    sort // such chains are calibrated together
}

// ends of a chain; or why they are not known.
func (s *Solver) ends(h *held, own *verdict) (e ends, refusal Refusal) {
	last, ok := s.completion(h.record, own)
	if !ok {
		return ends{}, EndUnknown
	}
	switch r := s.requests.named(last.turn, last.request); {
	case !s.belongs(&h.call, r):
		return ends{}, EndUnknown
	case s.lostSince(r.start): // what else followed is not known
		return ends{}, InGap
	}
	first, sure := s.beginning(h.record, own)
	return ends{last, first, chainSort(sure && last.sure)}, 0
}

// closed: both ends name the same request.
func (e *ends) closed() bool { return e.first == e.last.request }

// unproven is the sort of the closed chain with a call.
func (s *Solver) unproven(h *held, own *verdict) (by sort, ok bool) {
	e, refusal := s.ends(h, own)
	return e.by, refusal == 0 && e.closed()
}

// chained finds the request of a call that has none by itself; or why there is none.
func (s *Solver) chained(h *held, own *verdict) (verdict, Refusal) {
	e, refusal := s.ends(h, own)
	if refusal != 0 {
		return verdict{}, refusal
	}
	last := &e.last
	v := verdict{
		outcome: Linked, request: last.request, turn: last.turn, class: Probable, hints: last.hints | 1<<next,
	}
	switch {
	case e.closed() && h.process.trusted(e.by):
		v.confidence = min(last.confidence, h.process.confidence(e.by))
		return v, 0
	case e.first != 0 && !e.closed():
		return verdict{}, EndsDisagree
	case last.sure:
		if ops, ok := s.segment(h.record); ok && h.process.signatures.typical(ops) {
			v.confidence = min(last.confidence, enough)
			return v, 0
		}
	}
	if e.first == 0 {
		return verdict{}, BeginningUnknown
	}
	return verdict{}, NotProven
}

// belongs: that request was being served when the call was sent.
func (s *Solver) belongs(c *Call, r *served) bool {
	return r != nil && c.Start >= r.start && r.reader.Tgid == c.Writer.Tgid && (r.end == 0 || c.Start <= r.end) &&
		c.Start-r.start <= uint64(s.options.MaxAge)
}

// completion is what the call and those after it say backwards, if they all say the same.
func (s *Solver) completion(r *record, own *verdict) (end, bool) {
	var last end
	var named requestSet
	take := func(v *verdict) {
		switch {
		case v.exactly():
			named.add(v.request)
			if v.ways&back != 0 && !last.sure {
				last = end{v.request, v.turn, v.hints, v.confidence, true}
			}
		case v.hintBack != 0:
			named.add(v.hintBack)
			if last.request == 0 {
				last = end{v.hintBack, v.hintBackTurn, 0, 1, false}
			}
		}
	}
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
			v := s.verdictOf(after, 0)
			if v.outcome == Conflict {
				return false
			}
			take(&v)
			if !v.exactly() && !walk(after) {
				return false
			}
		}
		return true
	}
	take(own)
	if !walk(r) || named.only() == 0 || last.request == 0 {
		return end{}, false
	}
	return last, true
}

// beginning is the request that is named forwards by the call itself or by the nearest one before it
// that says anything, or 0. sure: no joint on the way may be another's.
func (s *Solver) beginning(r *record, own *verdict) (request uint64, sure bool) {
	v := *own
	sure = true
	for range maxChain {
		switch {
		case v.exactly():
			return v.request, sure
		case v.hint != 0:
			return v.hint, sure
		}
		call, e := r.previous()
		if e == nil {
			return 0, false
		}
		sure = sure && e.follows()
		if r = s.ledger.find(call); r == nil || r.several || r.crowded {
			return 0, false
		}
		v = s.verdictOf(r, 0)
	}
	return 0, false
}

// closure compares the two ends of the chain that a call completes, which is how the kind next proves
// itself.
func (s *Solver) closure(h *held, v *verdict) {
	last, turn := v.hintBack, v.hintBackTurn
	if v.exactly() {
		if v.ways&back == 0 {
			return
		}
		last, turn = v.request, v.turn
	}
	call, e := h.record.previous()
	if e == nil || last == 0 {
		return
	}
	if r := s.requests.named(turn, last); r == nil || s.lostSince(r.start) {
		return
	}
	before := s.ledger.find(call)
	if before == nil {
		return
	}
	own := s.verdictOf(before, 0)
	if first, sure := s.beginning(before, &own); first != 0 {
		h.process.tried(chainSort(sure && e.follows() && v.exactly()), first == last)
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
	if s.lostSince(first.start) {
		return nil, false
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
