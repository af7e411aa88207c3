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

// guessed: guesses are only made where they would have been right of the calls that are decided otherwise.
const guessed = sort(statistical << 1)

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

// lower is the least delay of a bucket, in nanoseconds.
func lower(b int) uint64 {
	octave, quarter := b/4, uint64(b%4)
	us := uint64(1) << octave
	if octave >= 2 {
		us += quarter << (octave - 2)
	} else if quarter > 0 {
		us <<= 1 // these octaves have one bucket
	}
	return (us - 1) * 1000
}

// density per nanosecond of the delays that are about that long.
func (h *histogram) density(ns uint64) float64 {
	b := bucket(ns)
	return h.share(ns) / float64(max(lower(b+1)-lower(b), 1000))
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
	// What would have been guessed is compared with what is known.
	if guess, ok := s.likely(h); ok {
		h.process.tried(guessed, guess.request == v.request)
	}
	if r := s.requests.named(v.turn, v.request); r != nil && r.end > h.call.End {
		d.begin.add(h.call.Start - r.start)
		d.end.add(r.end - h.call.End)
	}
}

// likely finds the request that a call fits and no other does.
//
// Within each request that was being served, the moment of the call is compared with any other moment that it
// could have had there: that is what a call of nobody does. How much likelier it is that calls begin, and
// requests end, as they did here is the ratio that Bayes' rule takes.
func (s *Solver) likely(h *held) (verdict, bool) {
	d := &h.process.delays
	if s.options.Posterior <= 0 || d.end.all < minDelays {
		return verdict{}, false
	}
	var best named
	top, sum := 0.0, 0.0
	for _, of := range d.recent {
		r := s.requests.named(of.turn, of.request)
		if r == nil || r.start > h.call.Start || r.end != 0 && r.end < h.call.End {
			continue
		}
		end := r.end
		if end == 0 {
			end = h.call.End + uint64(s.options.Hold)
		}
		ratio := d.fits(h.call.Start-r.start, end-h.call.End)
		sum += ratio
		if ratio > top {
			top, best = ratio, of
		}
	}
	// One of them, or none: that as often as calls were left.
	none := max(float64(d.left)/float64(d.left+d.linked), unexplained)
	posterior := top * (1 - none) / (sum*(1-none) + none)
	if best.request == 0 || posterior < s.options.Posterior {
		return verdict{}, false
	}
	// A request that is not known would fit, too. Few are served for longer than calls wait.
	if r := s.requests.named(best.turn, best.request); s.lostSince(min(r.start, h.call.Start-min(h.call.Start, uint64(s.options.Hold)))) {
		return verdict{}, false
	}
	return verdict{
		outcome: Linked, request: best.request, turn: best.turn, class: Statistical, hints: 1 << statistical,
		confidence: posterior,
	}, true
}

// fits is how much likelier a call begins that long after its request, and ends that long before its end, than
// at any other moment within it.
func (d *delays) fits(begin, end uint64) float64 {
	slack := begin + end
	all := 0.0
	for b := range bucketCount {
		from, to := lower(b), lower(b+1)
		if from > slack || from == to {
			continue
		}
		part := min(to, slack+1) - from
		at := from + part/2
		all += d.begin.density(at) * float64(part) * d.end.density(slack-min(at, slack))
	}
	if all == 0 {
		return 0
	}
	return d.begin.density(begin) * d.end.density(end) / all * float64(slack+1)
}
