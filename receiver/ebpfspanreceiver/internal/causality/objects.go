package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// objects finds for which request a thread of a Java VM's pool works: what it runs is an object, and the request is the
// one that was being served by who made that. See bpf/javatask.bpf.h.
//
// A thread makes objects in a buffer of its own, so the addresses at which it did while it served a request are those of
// nobody else, until garbage is collected: what is told of another time is compared with nothing.
//
// Who makes a task need not be whom it works for: a task may make the calls of everybody that wait in a queue, or go on
// for ever. But a request that waits for the end of its task waits for all that is done in it. Whom the end of a task
// wakes is seen, where somebody waits by then, and is enough where it is not known who made it; where the result is there
// before anybody asks for it, it counts that others which do the same (by the class of what a task does, which stands for a place in the program) were waited for.
type objects struct {
	habits  func(tgid uint32) Habits
	runs    generations[uint64, *task] // by call
	tasks   generations[object, *task]
	classes generations[taskClass, *awaits]
	made    generations[page, []madeRange]
	// unmade are tasks of which it is not known who made them.
	unmade generations[page, []*task]
	// asked are those of which it is, until it is known that they are over.
	asked []*task
	now   uint64 // time of the last record
}

// object is a place in the memory of a process, between two collections of garbage.
type object struct {
	tgid, collections uint32
	at                uint64
}

func (o object) page() page { return page{o.tgid, o.collections, o.at >> pageBits} }

// page is a part of it.
type page struct {
	tgid, collections uint32
	number            uint64
}

// taskClass says what a task does.
type taskClass struct{ tgid, class uint32 }

// awaits counts tasks of a class whose end woke a request: the one that made them, or only others.
type awaits struct{ makers, others uint32 }

// believed: the requests that make such tasks wait for them. It is how a program is written, so that some will do.
func (a *awaits) believed() bool {
	return a.makers >= minAwaits && uint64(a.others)*maxOthers <= uint64(a.makers)
}

const (
	pageBits = 14
	// maxPages bounds what is noted of one range: a thread that makes more than 16 MiB for a request is rare.
	maxPages = 1 << 10
	// maxInPage bounds the ranges, and the tasks, of one page: requests that make 16 bytes each.
	maxInPage = 1 << (pageBits - 4)
	// askFor is how long it is asked whether a task is over, in nanoseconds, maxAsked how many are asked for.
	askFor   = uint64(2e9)
	maxAsked = 1 << 14
	// minAwaits and maxOthers: see awaits.
	minAwaits = 3
	maxOthers = 100
)

// madeRange is where a thread made objects while it served the request of an epoch.
type madeRange struct{ from, to, epoch uint64 }

// task is one in which a call was made.
type task struct {
	object
	class uint32
	began uint64 // when its first call did
	epoch uint64 // of the request that was served when it was made; 0: not known
	// first is a request that its end woke, 0: none so far; several: others too.
	first   uint64
	several bool
	// awaited: its end woke the request of epoch; others: only other ones so far.
	awaited bool
	others  bool
	over    bool
	woke    bool // it woke somebody before its end: it may have done what that one wanted
}

func newObjects(habits func(tgid uint32) Habits) *objects { return &objects{habits: habits} }

// Object takes one record of what a thread of a Java VM makes or runs.
func (s *Solver) Object(e *event.Object) { s.objects.take(e) }

func (o *objects) take(e *event.Object) {
	o.now = max(o.now, e.Ts)
	what := object{e.Tgid, e.Collections, e.From[0]}
	switch e.What {
	case event.ObjectMade:
		for i := range e.From {
			o.madeAt(e, madeRange{e.From[i], e.To[i], e.Token})
		}
	case event.ObjectRun:
		o.run(e.Token, what, uint32(e.To[0]))
	case event.ObjectWoke:
		if t, ok := o.tasks.get(what); ok {
			t.woke = true
		}
	}
}

func (o *objects) madeAt(e *event.Object, r madeRange) {
	if r.from >= r.to {
		return
	}
	last := min((r.to-1)>>pageBits, r.from>>pageBits+maxPages-1)
	for n := r.from >> pageBits; n <= last; n++ {
		p := page{e.Tgid, e.Collections, n}
		if here, _ := o.made.get(p); len(here) < maxInPage {
			o.made.put(p, append(here, r))
		}
		waiting, ok := o.unmade.get(p)
		if !ok {
			continue
		}
		kept := waiting[:0]
		for _, t := range waiting {
			if t.at < r.from || t.at >= r.to {
				kept = append(kept, t)
				continue
			}
			o.found(t, r.epoch)
		}
		clear(waiting[len(kept):])
		o.unmade.put(p, kept)
	}
}

func (o *objects) run(call uint64, what object, class uint32) {
	if t, ok := o.tasks.get(what); ok {
		o.runs.put(call, t)
		return
	}
	t := &task{object: what, class: class, began: o.now}
	o.runs.put(call, t)
	o.tasks.put(what, t)
	p := what.page()
	here, _ := o.made.get(p)
	for _, r := range here {
		if r.from <= t.at && t.at < r.to {
			o.found(t, r.epoch)
			return
		}
	}
	if waiting, _ := o.unmade.get(p); len(waiting) < maxInPage {
		o.unmade.put(p, append(waiting, t))
	}
}

// found: it is known for which request the thread worked that made a task.
func (o *objects) found(t *task, epoch uint64) {
	t.epoch = epoch
	if len(o.asked) < maxAsked {
		o.asked = append(o.asked, t)
	}
	if t.first != 0 {
		o.count(t, t.first)
	}
}

// ended: the end of the task that lies at the address woke who waits while it serves the request of an epoch. It has
// made a call, and no garbage was collected since.
func (o *objects) ended(at, call, epoch uint64) {
	if !o.inTask(call, at) {
		return
	}
	t, _ := o.runs.get(call)
	t.several = t.several || t.first != 0 && t.first != epoch
	if t.first == 0 {
		t.first = epoch
	}
	if t.epoch != 0 {
		o.count(t, epoch)
	}
}

// inTask: the call was made in the task that lies at the address.
func (o *objects) inTask(call, at uint64) bool {
	t, ok := o.runs.get(call)
	return ok && t.at == at
}

// count: the end of a task woke a request. Several may wait for one.
func (o *objects) count(t *task, epoch uint64) {
	key := taskClass{t.tgid, t.class}
	a, ok := o.classes.get(key)
	if !ok {
		a = &awaits{}
	}
	o.classes.put(key, a)
	switch {
	case epoch != t.epoch && !t.awaited && !t.others:
		t.others = true
		a.others++
	case epoch == t.epoch && !t.awaited:
		t.awaited = true
		a.makers++
		if t.others {
			t.others = false
			a.others--
		}
	}
}

// ask asks which tasks are over. It is not waited for until their calls are decided: memory is used again by then.
func (o *objects) ask() {
	kept := o.asked[:0]
	for _, t := range o.asked {
		over, known := false, false
		if ask := o.habits(t.tgid).TaskOver; ask != nil {
			over, known = ask(t.at, t.collections)
		}
		t.over = t.over || over && known
		if known && !over && o.now < t.began+askFor {
			kept = append(kept, t)
		}
	}
	clear(o.asked[len(kept):])
	o.asked = kept
}

// What the uses of an edge of the kind allocated say of its task.
const (
	taskUnderWay   = iota // it may go on when the request is over
	taskUnawaited         // nobody is known to wait for the end of it, or of those like it
	taskWakesOther        // it has woken somebody before its end, and it is not known that it was waited for
	taskAwaited
)

func (o *objects) standing(t *task) uint8 {
	switch {
	case t.awaited:
		return taskAwaited
	case !t.over:
		return taskUnderWay
	}
	if a, ok := o.classes.get(taskClass{t.tgid, t.class}); !ok || t.class == 0 || !a.believed() {
		return taskUnawaited
	}
	if t.woke || t.others {
		return taskWakesOther
	}
	return taskAwaited
}

// edges implements derivation.
func (o *objects) edges(to []edge, c *Call) []edge {
	t, ok := o.runs.get(c.ID)
	switch {
	case !ok:
	case t.epoch != 0:
		return append(to, edge{to: t.epoch, kind: allocated, uses: o.standing(t)})
	case t.first != 0 && !t.several: // it was moved since it was made, or by somebody else
		e := edge{to: t.first, kind: awaited, uses: taskAwaited}
		if t.woke {
			e.uses = taskWakesOther
		}
		return append(to, e)
	}
	return to
}

// answered implements derivation.
func (o *objects) answered(uint64, *served) {}

// forget implements derivation.
func (o *objects) forget(before uint64) {
	o.runs.age(before, o.now)
	o.tasks.age(before, o.now)
	o.made.age(before, o.now)
	o.unmade.age(before, o.now)
	if before > o.classes.turned+uint64(keepFor) {
		o.classes.turn()
		o.classes.turned = o.now
	}
}
