package causality

import (
	"cmp"
	"math"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Bounds of what is remembered of a loop.
const (
	maxBirths = 1 << 15 // activations; a busy loop has some 10 000 in a second
	maxHoles  = 1 << 10 // within one of them
)

// asyncLoop is an event loop of Node.js: that of the main thread, or of a worker. Ids are drawn from one
// counter, so the activations that are over divide them among themselves.
type asyncLoop struct {
	births []birth // ascending
	// bases: which activation an event's id came with. One that comes again is that of something that
	// lives on, and may serve many.
	bases generations[uint64, uint64]
	// operations that may have been begun for something else than what their activation works for.
	operations generations[float64, operation]
	open       holes // of the activation that goes on
	seen       uint64
}

// birth is an activation that is over, and the ids that were born in it: above begin, up to end.
type birth struct {
	begin, end float64
	cause      cause
	event      float64 // id of the operation that it handled the end of; 0: bytes, or nothing that is known
	holes      holes
}

// holes are the ids of an activation that were drawn where something else ran: above from, up to to.
type holes struct {
	activation uint64
	spans      [][2]float64
	blurred    bool // there were too many
}

func (h *holes) add(from, to float64) {
	if h.blurred = h.blurred || len(h.spans) == maxHoles; !h.blurred {
		h.spans = append(h.spans, [2]float64{from, to})
	}
}

func (h *holes) has(id float64) bool {
	for _, s := range h.spans {
		if id > s[0] && id <= s[1] {
			return true
		}
	}
	return h.blurred
}

// operation is what one was begun for. void: that cannot be told.
type operation struct {
	cause cause
	void  bool
}

// cause is what something was done for.
type cause struct {
	to   uint64  // a turn, or a call; 0: nothing that is known
	via  float64 // the id that told it, 0: none was needed
	ran  float64 // the same of what ran then, which may be another id than that of what triggered it
	call bool
	next bool // it is only known that the response of that call had just arrived
}

func newAsyncLoop() *asyncLoop {
	return &asyncLoop{}
}

// forget drops what is too old to matter.
func (l *asyncLoop) forget(before, now uint64) {
	l.bases.age(before, now)
	l.operations.age(before, now)
}

// last is the counter when the last activation began.
func (l *asyncLoop) last() float64 {
	if n := len(l.births); n > 0 {
		return l.births[n-1].begin
	}
	return 0
}

// lasting: the event's id is that of something that lives on: a connection, or what was seen before.
func (l *asyncLoop) lasting(e *event.Async) bool {
	if e.Flags&event.AsyncRead != 0 {
		return true
	}
	if math.Float64frombits(e.Base) <= 0 {
		return false
	}
	first, ok := l.bases.get(e.Base)
	if !ok {
		l.bases.put(e.Base, e.Activation)
	}
	return ok && first != e.Activation
}

// ended: an activation is over.
func (l *asyncLoop) ended(e *event.Async) {
	l.goesOn(e)
	b := birth{
		begin: math.Float64frombits(e.Begin), end: math.Float64frombits(e.Counter), holes: l.open,
		cause: cause{to: e.Token, call: e.Flags&event.AsyncTokenCall != 0},
	}
	if !l.lasting(e) {
		b.event = math.Float64frombits(e.Base)
	}
	l.open = holes{}
	if len(l.births) == maxBirths {
		l.births = append(l.births[:0], l.births[maxBirths/2:]...)
	}
	l.births = append(l.births, b)
}

// began: the last id is that of an operation. What another activation has left, or an operation that it has
// begun, may run by now.
func (l *asyncLoop) began(e *event.Async) {
	if ids, _ := l.left(e); len(ids) > 0 {
		o, elsewhere := l.first(ids)
		l.operations.put(math.Float64frombits(e.Counter), operation{o, o.to == 0 && !elsewhere})
	}
}

// goesOn: what is open is of this activation.
func (l *asyncLoop) goesOn(e *event.Async) {
	if l.open.activation != e.Activation {
		l.open = holes{activation: e.Activation}
	}
}

// called is what a call is made for that begins.
func (l *asyncLoop) called(e *event.Async) cause {
	begin, exec := math.Float64frombits(e.Begin), math.Float64frombits(e.Exec)
	ids, lasting := l.left(e)
	if len(ids) > 0 && exec > begin {
		// What runs here was left by another activation. So the ids since may not be this one's.
		l.goesOn(e)
		l.open.add(exec-1, math.Float64frombits(e.Counter))
	}
	base := math.Float64frombits(e.Base)
	if base > 0 && !lasting {
		ids = append(ids, base)
	}
	o, elsewhere := l.first(ids)
	switch {
	case o.to != 0:
		ran, _ := l.born(ids[len(ids)-1])
		o.ran = ran.via
		return o
	case elsewhere, base > 0 && e.Flags&event.AsyncRead == 0:
		return cause{} // something has begun it of which nothing is known
	}
	call := e.Flags&event.AsyncTokenCall != 0
	return cause{to: e.Token, call: call, next: call}
}

// left are the ids that run (what triggered what runs, and what runs) and tell more than their
// activation does: they were born in an earlier one, or are exceptions in this one. Not those of the
// connection whose bytes arrived.
func (l *asyncLoop) left(e *event.Async) (ids []float64, lasting bool) {
	lasting = l.lasting(e)
	begin := math.Float64frombits(e.Begin)
	for _, bits := range [...]uint64{e.Trigger, e.Exec} {
		id := math.Float64frombits(bits)
		if id <= 0 || lasting && (bits == e.Base || bits == e.BaseTrigger) {
			continue
		}
		if _, known := l.operations.get(id); known || id <= begin {
			ids = append(ids, id)
		}
	}
	return ids, lasting
}

// first is the cause of the first of several ids that has one. elsewhere: one was born in an activation
// of which nothing is known.
func (l *asyncLoop) first(ids []float64) (o cause, elsewhere bool) {
	for _, id := range ids {
		o, void := l.born(id)
		if o.to != 0 {
			return o, false
		}
		elsewhere = elsewhere || !void
	}
	return cause{}, elsewhere
}

// born finds for what an id was made. void: it was born where that cannot be told.
func (l *asyncLoop) born(id float64) (o cause, void bool) {
	for range maxHops {
		if x, ok := l.operations.get(id); ok {
			return x.cause, x.void
		}
		i, _ := slices.BinarySearchFunc(l.births, id, func(b birth, id float64) int { return cmp.Compare(b.begin, id) })
		if i == 0 || id > l.births[i-1].end {
			return cause{}, false
		}
		b := &l.births[i-1] // the last that began below it
		if b.holes.has(id) {
			return cause{}, true
		}
		if b.cause.to != 0 || b.event == 0 {
			o := b.cause
			if o.to != 0 {
				o.via = id
			}
			return o, false
		}
		id = b.event
	}
	return cause{}, false
}
