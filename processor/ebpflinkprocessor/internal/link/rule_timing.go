package link

import "slices"

// TimingConfidence is given to a link by time alone: what a process does while it serves one request
// may be for none, and a request that was not captured leaves no trace.
const TimingConfidence = 0.5

// onlyRequestThen: the call lies within a request of its process and no other request of that process
// was open at any moment of the call.
var onlyRequestThen = row{
	rule: Timing, class: statistical, flat: true, local: true, quota: busyQuota,
	// A call that is known to be of another request, or of one that has been answered, is not this one's.
	refers: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = callsWithin(f) && !f.Pending && f.Systrace == 0 && f.LateOf == 0; ok {
			k = busy(f)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = servesWithin(f); ok {
			k = busy(f)
		}
		return k, ok
	}},
	contains: true,
	fits: func(_ *Index, c, p View) score {
		if !sameProcess(c, p) || (c.CtxTrace != TraceID{} && p.CtxTrace != TraceID{} && c.CtxTrace != p.CtxTrace) {
			return unfit
		}
		return fit
	},
	confidence: func(View) float32 { return TimingConfidence },
	judge:      alone,
	compares:   comparison{key: []field{fieldHost, fieldProcess}, must: []field{fieldTrace}},
}

func busy(f View) Key { return domainTiming.key(f.Host, f.Process, 0) }

// alone withdraws a link where another request of the process overlaps the call, also one that begins
// during it or does not contain it.
func alone(x *Index, child ID, r *row, k Key, found Edge) (Edge, objection) {
	if found.Outcome != Linked {
		return found, objection{}
	}
	c := x.View(child)
	end := max(c.Start, c.End) + int64(SameHostTolerance)
	other := func(id ID) bool {
		p := x.View(id)
		return id != found.Parent && sameProcess(c, p) && p.Start <= end &&
			(p.Pending || max(p.Start, p.End)+int64(SameHostTolerance) >= c.Start)
	}
	var one [1]ID
	some, crowd := x.defs.get(k, &one)
	rival, looked := None, 0
	if i := slices.IndexFunc(some, other); i >= 0 {
		rival = some[i]
	}
	if crowd != nil {
		crowd.backwards(end, c.Start-int64(SameHostTolerance), func(id ID) bool {
			looked++
			if other(id) {
				rival = id
			}
			return rival == None && looked <= x.passed
		})
	}
	switch {
	case rival != None:
		not := objection{why: whyRivalParent, rival: x.core(rival), of: x.core(found.Parent)}
		found.Parent, found.Outcome, found.Confidence = None, Ambiguous, 0
		return found, not
	case looked > x.passed:
		return Edge{Parent: None, Outcome: Overrun, Rule: r.rule, Candidates: found.Candidates}, objection{}
	}
	return found, objection{}
}
