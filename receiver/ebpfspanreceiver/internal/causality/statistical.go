package causality

import "math/bits"

// The statistical fallback, off by default: a call about which nothing is known is given to the request
// that it fits, by how long calls of this process begin after their request and how long requests end
// after their calls. It needs an overwhelming posterior, marks the link as what it is, and never touches
// a call about which there was evidence that disagreed.
const (
	// minDelays that were seen with certainty before anything is guessed from them.
	minDelays = 100
	// buckets of delays, a quarter of an octave each, from a microsecond to over an hour.
	bucketCount = 128
	// maxRecent bounds the requests of one process that a call is compared with.
	maxRecent = 1024
	// unexplained is the least weight of the possibility that a call belongs to none.
	unexplained = 0.05
)

// delays are those of one process, and its requests.
type delays struct {
	begin, end histogram
	// linked and left count the calls that were decided by evidence, and those that were not.
	linked, left uint32
	recent       []named // ring
	at           int
}

// named is a request of a turn.
type named struct{ turn, request uint64 }

func (d *delays) began(r named) {
	if len(d.recent) < maxRecent {
		d.recent = append(d.recent, r)
		return
	}
	d.recent[d.at] = r
	d.at = (d.at + 1) % maxRecent
}

// histogram of delays in nanoseconds.
type histogram struct {
	n   [bucketCount]uint32
	all uint32
}

func bucket(ns uint64) int {
	us := ns/1000 + 1
	octave := bits.Len64(us) - 1
	quarter := 0
	if octave >= 2 {
		quarter = int(us>>(octave-2)) & 3
	}
	return min(4*octave+quarter, bucketCount-1)
}

func (h *histogram) add(ns uint64) {
	h.n[bucket(ns)]++
	h.all++
}

// share of the delays that are about that long: neighbours count too, and none is impossible.
func (h *histogram) share(ns uint64) float64 {
	b := bucket(ns)
	sum := 2 * float64(h.n[b])
	if b > 0 {
		sum += float64(h.n[b-1])
	}
	if b < bucketCount-1 {
		sum += float64(h.n[b+1])
	}
	return (sum/4 + 0.01) / (float64(h.all) + 0.01*bucketCount)
}

// relearn takes what a call that was decided by evidence says of delays.
func (s *Solver) relearn(h *held, v *verdict) {
	if s.options.Posterior <= 0 {
		return
	}
	d := &h.process.delays
	if !v.exactly() {
		d.left++
		return
	}
	d.linked++
	if r := s.requests.named(v.turn, v.request); r != nil && r.end > h.call.End {
		d.begin.add(h.call.Start - r.start)
		d.end.add(r.end - h.call.End)
	}
}

// likely finds the request that a call fits and no other does.
func (s *Solver) likely(h *held) (verdict, bool) {
	d := &h.process.delays
	if s.options.Posterior <= 0 || d.end.all < minDelays {
		return verdict{}, false
	}
	// That it belongs to none: as often as calls were left, and at any time.
	left := float64(d.left) / float64(d.left+d.linked)
	sum := max(left, unexplained) / (bucketCount * bucketCount)
	var best named
	top := 0.0
	for _, of := range d.recent {
		r := s.requests.named(of.turn, of.request)
		if r == nil || r.start > h.call.Start || r.end != 0 && r.end < h.call.End {
			continue
		}
		end := r.end
		if end == 0 {
			end = h.call.End + uint64(s.options.Hold)
		}
		weight := d.begin.share(h.call.Start-r.start) * d.end.share(end-h.call.End)
		sum += weight
		if weight > top {
			top, best = weight, of
		}
	}
	if best.request == 0 || top/sum < s.options.Posterior {
		return verdict{}, false
	}
	return verdict{
		outcome: Linked, request: best.request, turn: best.turn, class: Statistical, hints: 1 << statistical,
		confidence: top / sum,
	}, true
}
