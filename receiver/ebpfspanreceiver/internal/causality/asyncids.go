package causality

import (
	"math"
	"sort"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Bounds of what is remembered of the loops of Node.js.
const (
	maxBirths = 1 << 15 // activations of one loop; a busy loop has some 10 000 in a second
	maxChain  = 64      // calls, or events, that led to each other
)

// A chain of calls is believed once that many chains of the process could be checked, and that share of
// them was right.
const (
	minChains   = 20
	rightChains = 0.98
)

// asyncIDs finds which request a call of Node.js belongs to. The number of an asynchronous id tells in
// which activation of its loop it was born, and what an activation read tells what it works for: a
// request, or a call whose response arrived. See bpf/node.bpf.h.
type asyncIDs struct {
	loops   map[loopKey]*asyncLoop
	calls   generations[uint64, *asyncCall]
	batches generations[uint64, struct{}] // activations: see batched
	chains  map[uint32]*chains            // by tgid
	now     uint64                        // time of the last record
}

type loopKey struct{ tgid, tid uint32 }

// asyncLoop is an event loop: the main thread, or a worker.
type asyncLoop struct {
	births []birth // ascending
	// bases: which activation an event's id came with. One that comes again is that of something that
	// lives on, and may serve many.
	bases generations[uint64, uint64]
	holes []span // of the activation that goes on
	seen  uint64
}

// birth is an activation that is over, and the ids that were born in it: above begin, up to end.
type birth struct {
	begin, end float64
	origin     origin
	event      float64 // id of what it handled; 0: bytes, or nothing that is known
	holes      []span
}

// span is ids above from, up to to.
type span struct{ from, to float64 }

func (s span) holds(id float64) bool { return id > s.from && id <= s.to }

// origin is what something was done for.
type origin struct {
	to   uint64 // a turn, or a call; 0: nothing that is known
	call bool
	next bool // it is only known that the response of that call had just arrived
}

// asyncCall is a call, as it began.
type asyncCall struct {
	loop       loopKey
	activation uint64
	origin     origin
	closed     bool // at the end of its chain is an answer to the request that the chain begins with
}

// chains counts those that could be checked.
type chains struct{ right, all int }

func (c *chains) believed() bool {
	return c != nil && c.all >= minChains && float64(c.right) >= rightChains*float64(c.all)
}

func newAsyncIDs() *asyncIDs {
	return &asyncIDs{
		loops: map[loopKey]*asyncLoop{}, calls: newGenerations[uint64, *asyncCall](),
		batches: newGenerations[uint64, struct{}](), chains: map[uint32]*chains{},
	}
}

// Async takes one record of a Node.js loop.
func (s *Solver) Async(e *event.Async) { s.async.take(e) }

func (a *asyncIDs) take(e *event.Async) {
	a.now = max(a.now, e.Ts)
	key := loopKey{e.Tgid, e.Tid}
	l := a.loops[key]
	if l == nil {
		l = &asyncLoop{bases: newGenerations[uint64, uint64]()}
		a.loops[key] = l
	}
	l.seen = e.Ts
	begin, counter := math.Float64frombits(e.Begin), math.Float64frombits(e.Counter)
	if n := len(l.births); n > 0 && begin < l.births[n-1].begin {
		// The counter of a loop only grows: another program runs in this process, or another worker.
		*l = asyncLoop{bases: newGenerations[uint64, uint64](), seen: e.Ts}
	}
	base, baseTrigger := math.Float64frombits(e.Base), math.Float64frombits(e.BaseTrigger)
	// lasting: what the event came from lives on, and may serve many.
	lasting := e.Flags&event.AsyncRead != 0 || base > 0 && l.again(e)
	token := origin{to: e.Token, call: e.Flags&event.AsyncTokenCall != 0}
	if e.What == event.AsyncActivation {
		b := birth{begin: begin, end: counter, origin: token, holes: l.holes}
		if !lasting {
			b.event = base
		}
		l.births = append(l.births, b)
		l.holes = nil
		if len(l.births) > maxBirths {
			l.births = append([]birth(nil), l.births[maxBirths/2:]...)
		}
		return
	}
	token.next = token.call
	exec, trigger := math.Float64frombits(e.Exec), math.Float64frombits(e.Trigger)
	var ids []float64
	for _, id := range []float64{trigger, exec} {
		if id > 0 && id <= begin && !(lasting && (id == base || id == baseTrigger)) {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 && ids[0] == trigger && exec > begin {
		// What runs here was left by another activation. So the ids since may not be this one's.
		l.holes = append(l.holes, span{exec - 1, counter})
	}
	if base > 0 && !lasting {
		ids = append(ids, base)
	}
	c := &asyncCall{loop: key, activation: e.Activation}
	o, elsewhere := l.first(ids)
	switch {
	case o.to != 0:
		c.origin = o
	case !elsewhere && (base <= 0 || e.Flags&event.AsyncRead != 0):
		// Nothing of which nothing is known has begun it.
		c.origin = token
	}
	a.calls.put(e.Call, c)
}

// again: the event's id came before, with another activation.
func (l *asyncLoop) again(e *event.Async) bool {
	first, ok := l.bases.get(e.Base)
	if !ok {
		l.bases.put(e.Base, e.Activation)
	}
	return ok && first != e.Activation
}

// first is the origin of the first of several ids that has one. elsewhere: one was born in an activation
// of which nothing is known.
func (l *asyncLoop) first(ids []float64) (o origin, elsewhere bool) {
	for _, id := range ids {
		o, void := l.born(id)
		if o.to != 0 {
			return o, false
		}
		elsewhere = elsewhere || !void
	}
	return origin{}, elsewhere
}

// born finds for what an id was made. void: it was born where that cannot be told.
func (l *asyncLoop) born(id float64) (o origin, void bool) {
	for range maxChain {
		i := sort.Search(len(l.births), func(i int) bool { return l.births[i].begin >= id }) - 1
		if i < 0 || id > l.births[i].end {
			return origin{}, false
		}
		b := &l.births[i]
		for _, h := range b.holes {
			if h.holds(id) {
				return origin{}, true
			}
		}
		if b.origin.to != 0 || !(b.event > 0) {
			return b.origin, false
		}
		id = b.event
	}
	return origin{}, false
}

// root follows a call to the request at which its chain begins. next: on the way it was only known that
// one response arrived before the next call.
func (a *asyncIDs) root(c *asyncCall, visit func(*asyncCall)) (turn uint64, next bool) {
	for range maxChain {
		if visit != nil {
			visit(c)
		}
		next = next || c.origin.next
		if !c.origin.call {
			return c.origin.to, next
		}
		earlier, ok := a.calls.get(c.origin.to)
		if !ok {
			return 0, next
		}
		c = earlier
	}
	return 0, next
}

// answer: the response of a request was begun when that of a call had arrived. A chain of calls that
// ends there must have begun with the same request.
func (a *asyncIDs) answer(e *event.Evidence) {
	if e.BaseUses > 1 {
		a.batch(e)
	}
	if e.Uses > 1 || e.BaseUses > 1 {
		return
	}
	c, ok := a.calls.get(e.Call)
	if !ok {
		return
	}
	turn, next := a.root(c, nil)
	if turn == 0 || !next {
		return
	}
	n := a.chains[e.Tgid]
	if n == nil {
		n = &chains{}
		a.chains[e.Tgid] = n
	}
	if n.all >= 10000 {
		n.right, n.all = n.right/2, n.all/2
	}
	n.all++
	if turn != e.Epoch {
		return
	}
	n.right++
	a.root(c, func(c *asyncCall) { c.closed = true })
}

// batch: several responses were begun after one had arrived. Either the calls that were made together
// with that call were each made for several requests, or what they led to waited for each other.
func (a *asyncIDs) batch(e *event.Evidence) {
	a.batches.put(e.Segment, struct{}{})
	if c, ok := a.calls.get(e.Call); ok {
		a.batches.put(c.activation, struct{}{})
	}
}

// batched: nothing is certain of the calls, and of the answers, of that activation.
func (a *asyncIDs) batched(activation uint64) bool {
	_, ok := a.batches.get(activation)
	return ok
}

// edges implements derivation.
func (a *asyncIDs) edges(to []edge, c *Call) []edge {
	known, ok := a.calls.get(c.ID)
	if !ok || a.batched(known.activation) {
		return to
	}
	turn, next := a.root(known, nil)
	if turn == 0 || next && !(known.closed && a.chains[known.loop.tgid].believed()) {
		return to
	}
	return append(to, edge{epoch: turn, kind: asyncID})
}

// answered implements derivation.
func (a *asyncIDs) answered(uint64, *served) {}

// forget implements derivation.
func (a *asyncIDs) forget(before uint64) {
	a.calls.age(before, a.now)
	a.batches.age(before, a.now)
	for key, l := range a.loops {
		l.bases.age(before, a.now)
		if l.seen+uint64(keepFor) < a.now {
			delete(a.loops, key)
			delete(a.chains, key.tgid)
		}
	}
}
