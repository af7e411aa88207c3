package causality

import (
	"fmt"
	"os"

"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Doubts of a wake-up: enum wake_doubt, bpf/event.h.
const (
	sleptLater = 1 << iota
	several
	othersToo
	doneBefore
	serves
	worker
)

// wakes says for each process how far the wake-ups of its threads can be believed.
//
// A worker that ends a task wakes who waits for it, unless nobody waits yet: such a silent end cannot be
// seen. Nor can the beginning of the next task, when that was waiting already. So if the next one makes no
// call, its end looks like that of the call before. Both must be rare together: how often each happens is
// counted, and the product is how often a wake-up names the wrong request, as far as they come by chance.
type wakes map[uint32]*wakeCounts

type wakeCounts struct {
	sure   float64 // a call was read, and one thread woken that had waited for it
	silent float64 // a call was read, and another made before anybody was woken, or who was woken came later
	empty  float64 // a thread was woken that had waited, by one that had made no call since it last did that
	locks  float64 // a thread that had waited was woken by one that serves another request, after a call of its own
	last   uint64
}

// Limits of what is wrong by chance.
const (
	// maxMistaken bounds silent times empty.
	maxMistaken = 0.0005
	// maxEmpty bounds empty ends where a worker woke others too.
	maxEmpty = 0.001
	// maxLocks bounds locks that are held during calls, as a share of all wake-ups.
	maxLocks = 0.002
	// wakesRemembered is when old counts begin to fade.
	wakesRemembered = 8192
)

func (w wakes) saw(e *event.Evidence) {
	// Who woke others instead has probably ended a task that belongs to no request.
	silentNext := e.What == next && e.Base&(worker|othersToo) == worker
	if e.What != wakeBack && !silentNext {
		return
	}
	c := w[e.Tgid]
	if c == nil {
		c = &wakeCounts{}
		w[e.Tgid] = c
	}
	c.last = e.Ts
	switch {
	case silentNext:
		c.silent++
	case e.Uses > 0:
		// Passed on: never used.
	case e.BaseUses&serves != 0:
		if e.BaseUses&sleptLater == 0 {
			c.locks++
		}
	case e.Call == 0 || e.BaseUses&doneBefore != 0:
		c.empty++
	case e.BaseUses&(sleptLater|several) != 0:
		c.silent++
	default:
		c.sure++
	}
	if n := int(c.sure + c.silent + c.empty + c.locks); os.Getenv("WAKES") != "" && n%300 == 0 {
		fmt.Fprintf(os.Stderr, "wakes %+v\n", *c)
	}
	if c.sure+c.silent+c.empty+c.locks > wakesRemembered {
		c.sure, c.silent, c.empty, c.locks = c.sure/2, c.silent/2, c.empty/2, c.locks/2
	}
}

// age forgets processes that are silent.
func (w wakes) age(now uint64) {
	for tgid, c := range w {
		if now-c.last > uint64(keepFor) {
			delete(w, tgid)
		}
	}
}

// believed: wake-ups name the right request here, also of workers that woke others too.
func (c *wakeCounts) believed(doubts uint8) bool {
	all := c.sure + c.empty + c.locks
	if c.sure == 0 || c.locks > 1 && c.locks > maxLocks*all {
		return false
	}
	empty, silent := c.empty/all, c.silent/(c.silent+c.sure)
	if doubts&othersToo != 0 && empty > maxEmpty {
		return false
	}
	return empty*silent <= maxMistaken
}

// completes: a wake-up is the end of the task that made the call.
func completes(s *Solver, e *edge, c *Call) bool {
	// Who passed it on may have waited for a task of its own, and got any.
	if e.uses > 0 || e.baseUses&^othersToo != 0 {
		return false
	}
	if n := s.wakes[c.Writer.Tgid]; n == nil || !n.believed(e.baseUses) {
		return false
	}
	// The worker woke another request's thread too, before it made its next call. It may have handed on a
	// lock first, or ended a task without a call after.
	for _, other := range s.edges(c) {
		if other.kind != wakeBack || other.baseUses&doneBefore == 0 || other.epoch == e.epoch {
			continue
		}
		r := s.requests.at(other.epoch, c.Start)
		if r != nil && c.Start >= r.start && (r.end == 0 || c.Start <= r.end) {
			return false
		}
	}
	return true
}
