package link

import (
	"math"
	"time"
)

// wireTime is how long request and response usually take on their way, both together, where no exchange of the
// two hosts says more.
const wireTime = time.Millisecond

// nearestCall: two calls that show the same sequence numbers and that nothing else tells apart. The one that its
// request fills best is the more probable, by how much more is its confidence.
var nearestCall = row{
	rule: Timing, class: statistical, flat: true, quota: nearestQuota, numbered: domainSeqPair,
	refers: seqByPair.refers, defines: seqByPair.defines, fits: seqByPair.fits,
	contains: true,
	judge:    nearest,
	compares: seqByPair.compares,
}

// nearest chooses among equally good candidates. Of the true one the time that its request leaves, on the wire and in
// queues, falls off exponentially; of any other it is as likely to be long as short. So the odds of the nearest
// against another are e to the difference in units of the mean.
func nearest(x *Index, child ID, r *row, k Key, found Edge) (Edge, objection) {
	if found.Outcome != Ambiguous {
		// What is alone here is so for the clocks, which the exact rule has asked.
		return found, objection{}
	}
	c := x.View(child)
	var all []float64
	best := 0
	parent := None
	x.candidates(r, child, c, k, func(id ID) bool {
		p := x.View(id)
		if x.rate(r, c, p) == unfit || x.admit(r, c.core, p.core) != admitted || c.Pending || p.Pending {
			return true
		}
		// A call takes as long as its request at least, by whatever clocks.
		rest, mean := p.lasts()-c.lasts(), int64(wireTime)
		if rest < -int64(SameHostTolerance) {
			return true
		}
		off, known := x.clocks.between(p.Host, c.Host, c.Start)
		if known || p.Host == c.Host {
			// Where the clocks are known, both ends of it have to be near, not only as long.
			there := c.Start - (off.lo+off.hi)/2 - p.Start
			rest, mean = max(there, -there)+max(rest-there, there-rest), max(mean, off.hi-off.lo)
		}
		all = append(all, float64(rest)/float64(mean))
		if n := len(all) - 1; n == 0 || all[n] < all[best] {
			best, parent = n, id
		}
		return true
	})
	sum := 0.0
	for _, rest := range all {
		sum += math.Exp(all[best] - rest)
	}
	// It has to be more probable than all others together, so of two as near as each other neither is.
	if len(all) < 2 || 1/sum <= .5 {
		return found, objection{}
	}
	found.Parent, found.Outcome, found.Confidence = parent, Linked, float32(1/sum)
	return found, objection{}
}
