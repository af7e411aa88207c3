// Package window decides when a span has waited long enough. A span leaves when it has waited the
// whole window; it takes along the members of its trace that have waited at least half of it, so
// that a trace leaves together and still every span has had time to meet its parent.
package window

import "time"

// Clock tells the time; tests bring their own.
type Clock interface{ Now() time.Time }

// Ticker is a Clock that also says when to look at what waits; for one that does not, the machine's
// does.
type Ticker interface {
	Tick(every time.Duration) (ticks <-chan time.Time, stop func())
}

// Ticks comes about every so often by c.
func Ticks(c Clock, every time.Duration) (ticks <-chan time.Time, stop func()) {
	if t, ok := c.(Ticker); ok {
		return t.Tick(every)
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// System is the machine's clock.
type System struct{}

// Now is time.Now: comparisons use its monotonic part, so steps of the wall clock do not matter.
func (System) Now() time.Time { return time.Now() }

// Instant is nanoseconds since the start of a Queue, on the monotonic clock.
type Instant int64

// Queue holds items in order of arrival. It is not safe for concurrent use.
type Queue[T any] struct {
	clock  Clock
	base   time.Time
	length time.Duration
	// runs hold the items: those of the first from head on, those of the last before tail. One slice for millions
	// would be copied whenever it grows.
	runs       []*[runSize]item[T]
	head, tail int
	// spare is a run that was popped.
	spare *[runSize]item[T]
}

// runSize is how many items are allocated at once.
const runSize = 1 << 8

type item[T any] struct {
	at Instant
	v  T
}

// New makes a Queue whose items are due after length.
func New[T any](clock Clock, length time.Duration) *Queue[T] {
	return &Queue[T]{clock: clock, base: clock.Now(), length: length}
}

// Now is the current Instant.
func (q *Queue[T]) Now() Instant { return Instant(q.clock.Now().Sub(q.base)) }

// Recovered is the Instant of an arrival known by wall time only, in nanoseconds since 1970. It is
// never in the future and never longer ago than the window: a wall clock that stepped while the
// process was down neither holds spans for ever nor matters otherwise.
func (q *Queue[T]) Recovered(wallNano int64) Instant {
	now := q.clock.Now()
	return q.ago(now, time.Duration(now.UnixNano()-wallNano))
}

// Ago is the Instant of that long ago, within the window.
func (q *Queue[T]) Ago(age time.Duration) Instant { return q.ago(q.clock.Now(), age) }

func (q *Queue[T]) ago(now time.Time, age time.Duration) Instant {
	return Instant(now.Sub(q.base) - min(max(age, 0), q.length))
}

// Push adds v, which arrived at. Arrivals out of order are due no later than their predecessor.
func (q *Queue[T]) Push(at Instant, v T) {
	if q.tail == runSize || len(q.runs) == 0 {
		run := q.spare
		if q.spare = nil; run == nil {
			run = new([runSize]item[T])
		}
		q.runs, q.tail = append(q.runs, run), 0
	}
	q.runs[len(q.runs)-1][q.tail] = item[T]{at, v}
	q.tail++
}

// Len counts the items that wait.
func (q *Queue[T]) Len() int {
	if len(q.runs) == 0 {
		return 0
	}
	return (len(q.runs)-1)*runSize + q.tail - q.head
}

// first is the oldest item, of a Queue that is not empty.
func (q *Queue[T]) first() *item[T] { return &q.runs[0][q.head] }

// Age is how long ago the oldest item came, 0 when there is none.
func (q *Queue[T]) Age() time.Duration {
	if q.Len() == 0 {
		return 0
	}
	return max(0, time.Duration(q.Now()-q.first().at))
}

// Lag is how long the oldest item has been due, 0 when none is.
func (q *Queue[T]) Lag() time.Duration { return max(0, q.Age()-q.length) }

// Pop removes and returns the oldest item if it is due at now.
func (q *Queue[T]) Pop(now Instant) (v T, ok bool) {
	if v, ok = q.Front(now); !ok {
		return v, false
	}
	return q.Oldest()
}

// Front returns the oldest item if it is due at now, and leaves it.
func (q *Queue[T]) Front(now Instant) (v T, ok bool) {
	if q.Len() == 0 || time.Duration(now-q.first().at) < q.length {
		return v, false
	}
	return q.first().v, true
}

// Oldest removes and returns the oldest item, due or not.
func (q *Queue[T]) Oldest() (v T, ok bool) {
	if q.Len() == 0 {
		return v, false
	}
	v = q.first().v
	*q.first() = item[T]{}
	if q.head++; q.Len() == 0 || q.head == runSize {
		q.spare, q.head = q.runs[0], 0
		q.runs[0] = nil
		q.runs = q.runs[1:]
	}
	return v, true
}

// Settled says whether what arrived at has waited long enough to leave with its trace.
func (q *Queue[T]) Settled(at, now Instant) bool { return time.Duration(now-at) >= q.length/2 }
