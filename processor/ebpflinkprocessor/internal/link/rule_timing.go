package link

// TimingConfidence is given to a link by time alone: what a process does while it serves one request
// may be for none, and a request that was not captured leaves no trace.
const TimingConfidence = 0.5

// onlyRequestThen: the call lies within a request of its process and no other request of that process
// was open at any moment of the call.
var onlyRequestThen = row{
	rule: Timing, class: statistical, rare: true,
	// A call that is known to be of another request, or of one that has been answered, is not this one's.
	refers: func(f view) (Key, bool) {
		return busy(f), callsWithin(f) && !f.Pending && f.Systrace == 0 && f.LateOf == 0
	},
	defines:  func(f view) (Key, bool) { return busy(f), servesWithin(f) },
	contains: true,
	fits: func(_ *Index, c, p view) score {
		if !sameProcess(c, p) || (c.CtxTrace != TraceID{} && p.CtxTrace != TraceID{} && c.CtxTrace != p.CtxTrace) {
			return unfit
		}
		return fit
	},
	confidence: func(view) float32 { return TimingConfidence },
	judge:      alone,
}

func busy(f view) Key { return domainTiming.key(f.Host, f.Process, 0) }

// alone withdraws a link where another request of the process overlaps the call, also one that begins
// during it or does not contain it.
func alone(x *Index, child ID, r *row, k Key, found Edge) Edge {
	if found.Outcome != Linked {
		return found
	}
	c := x.view(child)
	from, to := c.Start-int64(SameHostTolerance), max(c.Start, c.End)+int64(SameHostTolerance)
	looked, another := 0, false
	overlaps := func(id ID) bool {
		p := x.view(id)
		start, end := x.times(id)
		another = id != found.Parent && start <= to && end >= from && sameProcess(c, p)
		looked++
		return !another && looked <= x.maxCandidates
	}
	var one [1]ID
	if ids, crowd := x.defs.get(k, &one); crowd != nil {
		crowd.backwards(to, from, overlaps)
	} else {
		for _, id := range ids {
			if !overlaps(id) {
				break
			}
		}
	}
	switch {
	case another:
		found.Parent, found.Outcome, found.Confidence = None, Ambiguous, 0
	case looked > x.maxCandidates:
		return Edge{Parent: None, Outcome: Overrun, Rule: r.rule, Candidates: found.Candidates}
	}
	return found
}
