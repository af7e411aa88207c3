//go:build linux

package process

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Watch feeds a Scanner from events without making their reader wait: events are queued, those of
// one process merged, and a goroutine considers them in order. A process that ended while it was
// queued costs next to nothing.
//
//	Notify ──► pending (≤ maxPending ids, in order) ──► Scanner.Consider / Exit
//	   └─ full ─► counted, and a rescan finds what was lost
type Watch struct {
	s        *Scanner
	interval time.Duration
	failed   func(error)

	mu      sync.Mutex // guards what follows
	pending map[int]change
	order   []int
	current map[int]change // taken from pending, and not all considered yet
	finding bool           // a rescan for what was lost is under way
	lost    bool           // the queue was full since the last scan
	due     bool           // RescanSoon was called
	closed  bool

	wake   chan struct{} // holds one token
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once
}

// change is what is to be considered of a process, and with WhyExit how it was made.
type change struct {
	why  Why
	made Fork
}

// maxPending is two bursts of every process of a large machine; an entry has some 60 bytes.
const maxPending = 64 << 10

// NewWatch rescans every interval, or, when that is 0 or less, only after events were lost. failed,
// which may be nil, is called when procfs could not be listed.
func NewWatch(s *Scanner, interval time.Duration, failed func(error)) *Watch {
	return &Watch{
		s: s, interval: interval, failed: failed, pending: map[int]change{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Start makes the initial scan on the calling goroutine, then considers events on its own until
// Close. An error means that procfs could not be listed; the Watch has not started then.
func (w *Watch) Start(ctx context.Context) error {
	if err := w.s.Scan(ctx); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.cancel != nil {
		cancel()
		return errors.New("watch: started twice or after Close")
	}
	w.cancel = cancel
	go w.run(run)
	return nil
}

// Notify queues an event: WhyFork, WhyExec, WhyListen. It never blocks on procfs. Events
// may come before Start; they are considered after the initial scan, so attach first, then start.
func (w *Watch) Notify(pid int, why Why) { w.queue(pid, change{why: why}) }

// Exit queues the end of a process, as Notify.
func (w *Watch) Exit(pid int, made Fork) { w.queue(pid, change{WhyExit, made}) }

func (w *Watch) queue(pid int, what change) {
	w.mu.Lock()
	before, queued := w.pending[pid]
	switch {
	case queued:
		w.pending[pid] = merge(before, what)
	case len(w.pending) >= maxPending:
		w.lost = true
		w.s.Counters().add(QueueFull)
	default:
		w.pending[pid] = what
		w.order = append(w.order, pid)
	}
	w.mu.Unlock()
	w.poke()
}

// Waiting says whether a process may still have to be considered: its event is queued, or events were lost.
func (w *Watch) Waiting(pid int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, queued := w.pending[pid]
	_, current := w.current[pid]
	return queued || current || w.lost || w.due || w.finding
}

// RescanSoon asks for a rescan, because events were lost before they came here.
func (w *Watch) RescanSoon() {
	w.mu.Lock()
	w.due = true
	w.mu.Unlock()
	w.poke()
}

func (w *Watch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// merge keeps the event that asks for most: Exit looks at what lives under the id now, Exec reads a
// program anew, the others read what is there.
func merge(a, b change) change {
	switch {
	case a.why == WhyExit && b.why == WhyExit:
		return change{why: WhyExit} // the id was used twice
	case a.why == WhyExit:
		return a
	case b.why == WhyExit:
		return b
	case a.why == WhyExec:
		return a
	}
	return b
}

// Close stops considering, waits for what is under way, and deselects every process. It may be
// repeated.
func (w *Watch) Close() {
	w.once.Do(func() {
		w.mu.Lock()
		w.closed = true
		cancel := w.cancel
		w.mu.Unlock()
		if cancel != nil {
			cancel()
			<-w.done
		}
		w.s.Close()
	})
}

func (w *Watch) run(ctx context.Context) {
	defer close(w.done)
	var tick <-chan time.Time
	if w.interval > 0 {
		t := time.NewTicker(w.interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			w.rescan(ctx)
		case <-w.wake:
		}
		w.drain(ctx)
	}
}

func (w *Watch) rescan(ctx context.Context) {
	if err := w.s.Rescan(ctx); err != nil && ctx.Err() == nil && w.failed != nil {
		w.failed(err)
	}
}

func (w *Watch) drain(ctx context.Context) {
	for ctx.Err() == nil {
		w.mu.Lock()
		batch, changes := w.order, w.pending
		w.order, w.pending, w.current = nil, map[int]change{}, changes
		rescan := w.lost || w.due
		w.lost, w.due, w.finding = false, false, rescan
		w.mu.Unlock()
		if len(batch) == 0 && !rescan {
			return
		}
		for _, pid := range batch {
			if ctx.Err() != nil {
				return
			}
			if what := changes[pid]; what.why == WhyExit {
				w.s.Exit(pid, what.made)
			} else {
				w.s.Consider(pid, what.why)
			}
		}
		if rescan {
			w.rescan(ctx)
		}
	}
}
