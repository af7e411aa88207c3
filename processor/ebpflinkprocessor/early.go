package ebpflinkprocessor

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// early releases traces of which it is certain that nothing more comes. A trace is looked at after the
// arrival of what can only be its root, four times at growing distances: the root of a trace ends last on
// its host, and what other hosts send is seconds away at the most, or lost.
type early struct {
	stages [4]*window.Queue[tenure]
	// counted: a producer says how many calls a request made. Before, no trace is provably whole.
	counted bool
	// whole counts the traces released since it was last read.
	whole int
}

// checksAtOnce bounds how long the lock is held.
const checksAtOnce = 2000

func newEarly(clock window.Clock, length time.Duration) *early {
	e := &early{}
	for i := range e.stages {
		e.stages[i] = window.New[tenure](clock, length>>(5-i))
	}
	return e
}

// arrived: f, which is known by t, is there.
func (e *early) arrived(x *link.Index, f *link.Fact, t tenure) {
	e.counted = e.counted || f.Calls != 0
	if !e.counted || f.Pending || !f.Raw || (f.Role == link.Server && f.Calls == 0) || !x.Rootless(t.id) {
		return
	}
	e.stages[0].Push(e.stages[0].Now(), t)
}

// take passes roots that are due to check; those that it denies come again later.
func (e *early) take(more func() bool, check func(tenure) (whole, later bool)) {
	n := 0
	for i, q := range e.stages {
		now := q.Now()
		for ; n < checksAtOnce && more(); n++ {
			t, ok := q.Pop(now)
			if !ok {
				break
			}
			whole, later := check(t)
			if whole {
				e.whole++
			} else if next := i + 1; later && next < len(e.stages) {
				e.stages[next].Push(e.stages[next].Now(), t)
			}
		}
	}
}
