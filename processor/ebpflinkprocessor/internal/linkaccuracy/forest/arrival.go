package forest

import (
	"cmp"
	"slices"
	"time"
)

const (
	flushEvery = int64(time.Second)
	// shuffleOver is less than half a window, within which traces leave together.
	shuffleOver = 9 * time.Second
	lateShare   = .05
	latest      = 30 * time.Minute
)

// deliver decides what reaches the collector and when.
func (f *Forest) deliver() {
	sc := &f.Scenario
	phase := map[*Host]int64{}
	for _, h := range f.hosts {
		phase[h] = f.rng.Int64N(flushEvery)
	}
	// The next time that the agent of the host of s sends.
	flush := func(s *Span, t int64) int64 {
		p := phase[s.Process.Host]
		return (t-p)/flushEvery*flushEvery + flushEvery + p
	}
	late := map[*Span]int64{}
	for _, s := range f.Spans {
		delay := int64(0)
		switch sc.Arrival {
		case Prompt:
		case Shuffled:
			delay = f.rng.Int64N(int64(shuffleOver)) - flushEvery
		case LateChildren:
			// Children are behind their parents in f.Spans.
			delay = late[s.Parent]
			if s.Parent != nil && f.chance(lateShare) {
				delay += f.rng.Int64N(int64(latest))
			}
			late[s] = delay
		case LateAny:
			if f.chance(lateShare) {
				delay = f.rng.Int64N(int64(latest))
			}
		case ByHop:
			delay = int64(s.depth) * int64(f.Window()) * 6 / 5
		}
		if open := int64(sc.PendingAfter); s.Raw() && open > 0 && s.End-s.Start > open {
			f.send(Arriving{s, flush(s, s.Start+open), true})
		}
		at := flush(s, s.End+max(delay, 0))
		f.send(Arriving{s, at, false})
		if f.chance(sc.Duplicate) {
			f.send(Arriving{s, at + f.rng.Int64N(int64(time.Minute)), false})
		}
	}
	f.rng.Shuffle(len(f.Delivery), func(i, j int) { f.Delivery[i], f.Delivery[j] = f.Delivery[j], f.Delivery[i] })
	slices.SortStableFunc(f.Delivery, func(a, b Arriving) int { return cmp.Compare(a.At, b.At) })
}

func (f *Forest) send(a Arriving) {
	if f.chance(f.Scenario.Loss) {
		return
	}
	f.Delivery = append(f.Delivery, a)
}

// Window of the processor.
func (f *Forest) Window() time.Duration { return cmp.Or(f.Scenario.Window, 20*time.Second) }

// Arrivals tells of each span when it was first heard of, and when it came itself; who is not in the
// second never came.
func (f *Forest) Arrivals() (heard, came map[*Span]int64) {
	heard, came = map[*Span]int64{}, map[*Span]int64{}
	for _, a := range f.Delivery {
		if _, ok := heard[a.Span]; !ok {
			heard[a.Span] = a.At
		}
		if _, ok := came[a.Span]; !ok && !a.Pending {
			came[a.Span] = a.At
		}
	}
	return heard, came
}
