package causality

import (
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

// wakes says how far the wake-ups by which threads of a process end the waiting for a call can be believed.
//
// A worker that ends a task wakes who waits for it, unless nobody waits yet: such a silent end cannot be
// seen. Nor can the beginning of the next task, when that was in the queue already. So if the next one makes
// no call, its end looks like that of the call before. Both must be rare together: how often each happens is
// counted, and the product is how often a wake-up names the wrong request, as far as they come by chance.
//
// And a worker may wake another request's thread before it ends its own task: one that waits for a lock,
// or for a permit. Such a thread goes on and is woken again, for its own result.
type wakes struct {
	counts          map[uint32]*wakeCounts
	latest, older   map[uint64]wokenBy  // by epoch: the last wake-up of who serves it
	ended, endedOld map[uint64]struct{} // calls whose reader woke another request's thread afterwards
	turned          uint64
}

type wokenBy struct {
	call uint64
	sure bool
}

type wakeCounts struct {
	sure   float64 // a call was read, and one thread woken that had waited for it
	silent float64 // a call was read, and another made before anybody was woken, or who was woken came later
	empty  float64 // a thread was woken that had waited, by one that had made no call since it last did that
	locks  float64 // a thread that had waited was woken by one that serves another request, after a call of its own
	passes float64 // a thread was woken with a call, and another with the same; then the first again
	last   uint64
}

const (
	// maxMistaken bounds silent times empty.
	maxMistaken = 0.0005
	// maxEmpty bounds empty ends where a worker woke others too.
	maxEmpty = 0.001
	// maxHandedOn bounds locks and passes, as a share of all wake-ups.
	maxHandedOn = 0.002
	// wakesRemembered is when old counts begin to fade.
	wakesRemembered = 8192
	// maxWoken bounds the epochs and calls of one generation.
	maxWoken = 1 << 16
)

func newWakes() wakes {
	return wakes{counts: map[uint32]*wakeCounts{}, latest: map[uint64]wokenBy{}, ended: map[uint64]struct{}{}}
}

// saw takes every edge that the kernel side reports.
func (w *wakes) saw(e *event.Evidence) {
	// Who woke others instead has probably ended a task that belongs to no request.
	silentNext := e.What == next && e.Base&(worker|othersToo) == worker
	if e.What != wakeBack && !silentNext {
		return
	}
	c := w.counts[e.Tgid]
	if c == nil {
		c = &wakeCounts{}
		w.counts[e.Tgid] = c
	}
	c.last = e.Ts
	if silentNext {
		c.silent++
	} else {
		c.woken(w, e)
	}
	if c.sure+c.silent+c.empty+c.locks > wakesRemembered {
		*c = wakeCounts{c.sure / 2, c.silent / 2, c.empty / 2, c.locks / 2, c.passes / 2, c.last}
	}
	if len(w.latest)+len(w.ended) > maxWoken || e.Ts-w.turned > uint64(keepFor) {
		w.older, w.latest = w.latest, map[uint64]wokenBy{}
		w.endedOld, w.ended = w.ended, map[uint64]struct{}{}
		w.turned = e.Ts
	}
}

func (c *wakeCounts) woken(w *wakes, e *event.Evidence) {
	if e.BaseUses&serves != 0 {
		if e.BaseUses&sleptLater == 0 {
			c.locks++
		}
		return
	}
	before := w.lastOf(e.Epoch)
	if before.sure && before.call != e.Call && w.endedLater(before.call) {
		c.passes++
	}
	now := wokenBy{call: e.Call}
	switch {
	case e.Uses > 0:
		// Passed on: never used.
	case e.Call == 0 || e.BaseUses&doneBefore != 0:
		c.empty++
		if e.Call != 0 {
			w.ended[e.Call] = struct{}{}
		}
	case e.BaseUses&(sleptLater|several) != 0:
		c.silent++
	default:
		c.sure++
		now.sure = true
	}
	w.latest[e.Epoch] = now
}

func (w *wakes) lastOf(epoch uint64) wokenBy {
	if l, ok := w.latest[epoch]; ok {
		return l
	}
	return w.older[epoch]
}

func (w *wakes) endedLater(call uint64) bool {
	_, now := w.ended[call]
	_, before := w.endedOld[call]
	return now || before
}

// age forgets processes of which nothing is heard.
func (w *wakes) age(now uint64) {
	for tgid, c := range w.counts {
		if now-c.last > uint64(keepFor) {
			delete(w.counts, tgid)
		}
	}
}

func (c *wakeCounts) often(n float64) bool {
	return n > 1 && n > maxHandedOn*(c.sure+c.empty+c.locks)
}

// believed: a wake-up with such doubts names the right request here. last: that request's thread was not
// woken again.
func (c *wakeCounts) believed(doubts uint8, last bool) bool {
	empty, silent := c.empty/max(1, c.sure+c.empty), c.silent/max(1, c.silent+c.sure)
	switch {
	case doubts&^othersToo != 0, c.often(c.locks), doubts&othersToo != 0 && empty > maxEmpty, !last && c.often(c.passes):
		return false
	}
	return empty*silent <= maxMistaken
}

// completes: a wake-up is the end of the task that made the call.
func completes(s *Solver, e *edge, c *Call) bool {
	counts := s.wakes.counts[c.Writer.Tgid]
	// Who passed it on may have waited for a task of its own, and got any.
	if e.uses > 0 || counts == nil {
		return false
	}
	last := s.wakes.lastOf(e.epoch).call == c.ID
	return counts.believed(e.baseUses, last) && (last || !s.wakes.endedLater(c.ID))
}
