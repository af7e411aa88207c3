package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// Doubts of a wake-up: enum wake_doubt, bpf/event.h.
const (
	sleptLater = 1 << iota
	several
	othersToo
	doneBefore
	serves
	worker
	lockFound
	unknown

	// unaided has the number of worker, of another kind of evidence.
	unaidedWaker = worker
)

// wakes says how far the wake-ups of the threads of a process can be believed to end the waiting for a
// call.
//
// A worker that ends a task wakes who waits for it, unless nobody waits yet: such a silent end cannot be
// seen. Nor can the beginning of the next task, when that was in the queue already. So if the next one makes
// no call, its end looks like that of the call before. Both must be rare together: how often each happens is
// counted, and the product is how often a wake-up names the wrong request, as far as they come by chance.
//
// And a worker may wake another request's thread before it ends its own task: one that waits for a lock,
// or for a permit. Such a thread goes on and is woken again, for its own result.
type wakes struct {
	sure   float64 // a call was read, and one thread woken that had waited for it
	silent float64 // a call was read, and another made before anybody was woken, or who was woken came later
	empty  float64 // a thread was woken that had waited, by one that had made no call since it last did that
	locks  float64 // a thread that had waited was woken by one that serves another request, after a call of its own
	passes float64 // a thread was woken with a call, and another with the same; then the first again

	// In two generations: the last wake-up of who serves an epoch, and the calls whose reader woke another
	// request's thread afterwards.
	latest generations[uint64, wokenBy]
	ended  generations[uint64, struct{}]
	// Calls after which who was woken went on with a call of its own: it may have waited for a permit to make
	// it, which the other had.
	followed generations[uint64, struct{}]
	// places where threads wait for a lock, as was found out after they had been taken for another.
	locked map[uint64]struct{}
}

type wokenBy struct {
	call uint64
	sure bool
}

const (
	// maxMistaken bounds silent times empty: half of what may be wrong at all.
	maxMistaken = 0.0005
	// maxEmpty bounds empty ends where a worker woke others too.
	maxEmpty = 0.001
	// maxHandedOn bounds locks and passes, as a share of all wake-ups.
	maxHandedOn = 0.002
	// wakesCounted is when old counts begin to fade.
	wakesCounted = 8192
	// wakesKept bounds one generation of a process: more than it does while a call waits.
	wakesKept = 1 << 14
)

// saw takes every edge that the kernel side reports.
func (w *wakes) saw(e *event.Evidence) {
	switch {
	case e.What == wakeBack:
		w.woken(e)
	case e.What == next && e.Base&worker != 0:
		w.silent++
	case e.What == sameThread:
		if before, _ := w.latest.get(e.Epoch); before.sure && before.call != e.Call {
			w.followed.put(before.call, struct{}{})
		}
		return
	default:
		return
	}
	if w.sure+w.silent+w.empty+w.locks > wakesCounted {
		w.sure, w.silent, w.empty, w.locks, w.passes = w.sure/2, w.silent/2, w.empty/2, w.locks/2, w.passes/2
	}
}

func (w *wakes) woken(e *event.Evidence) {
	if e.BaseUses&lockFound != 0 {
		if w.locked == nil || len(w.locked) > wakesKept {
			w.locked = map[uint64]struct{}{}
		}
		w.locked[e.Segment] = struct{}{}
		return
	}
	if e.BaseUses&serves != 0 {
		if e.BaseUses&sleptLater == 0 {
			w.locks++
		}
		return
	}
	if len(w.latest.now)+len(w.ended.now)+len(w.followed.now) > wakesKept {
		w.latest.turn()
		w.ended.turn()
		w.followed.turn()
	}
	if before, _ := w.latest.get(e.Epoch); before.sure && before.call != e.Call && w.ended.has(before.call) {
		w.passes++
	}
	sure := false
	switch {
	case e.BaseUses&unaidedWaker != 0:
		return // its task is none of anybody's
	case e.Uses > 0:
		// Passed on: never used.
	case e.BaseUses&unknown != 0:
		// Nor is this, but the task of the call may have ended with it.
		if e.Call != 0 {
			w.ended.put(e.Call, struct{}{})
		}
	case e.Call == 0 || e.BaseUses&doneBefore != 0:
		w.empty++
		if e.Call != 0 {
			w.ended.put(e.Call, struct{}{})
		}
	case e.BaseUses&(sleptLater|several) != 0:
		w.silent++
	default:
		w.sure++
		sure = true
	}
	w.latest.put(e.Epoch, wokenBy{e.Call, sure})
}

func (w *wakes) often(n float64) bool {
	return n > 1 && n > maxHandedOn*(w.sure+w.empty+w.locks)
}

// endsTask: the wake-up is seen to be the end of the very task in which the call was made, so that nothing need be counted.
// Whoever was woken with it before may have waited for the call, if the task works for others as well.
func endsTask(s *Solver, e *edge, c *Call) bool {
	return e.uses == 0 && e.baseUses&^(sleptLater|othersToo|unaidedWaker) == 0 && s.objects.inTask(c.ID, e.base)
}

// aided: who had begun by itself, as a time was over, or was woken by one who serves nothing, works for none that waits for
// what it fetches. It may as well be a worker that looks for tasks now and then; nothing tells, unless the end of the very task
// is seen.
var aided = rule{BegunForNobody, func(s *Solver, e *edge, c *Call) bool {
	return e.baseUses&unaidedWaker == 0 || s.objects.inTask(c.ID, e.base)
}}

// completes: a wake-up is the end of the task that made the call.
var completes = rule{WakeInDoubt, func(s *Solver, e *edge, c *Call) bool {
	w := &s.processes.of(c.Writer.Tgid).wakes
	// A silent end that is mistaken counts as sure, so that none was seen says little before many were sure.
	empty, silent := w.empty/max(1, w.sure+w.empty), max(1, w.silent)/max(1, w.sure+w.silent)
	last, _ := w.latest.get(e.to)
	_, lock := w.locked[e.segment]
	switch {
	case endsTask(s, e, c):
		return true
	case lock, w.followed.has(c.ID):
	case e.uses > 0: // who passed it on may have waited for a task of its own, and got any
	case e.baseUses&^othersToo != 0:
	case e.baseUses&othersToo != 0 && empty > maxEmpty:
	case w.often(w.locks):
	case last.call != c.ID && (w.often(w.passes) || w.ended.has(c.ID)):
	default:
		return empty*silent <= maxMistaken
	}
	return false
}}
