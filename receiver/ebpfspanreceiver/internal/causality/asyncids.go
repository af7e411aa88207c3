package causality

import (
	"math"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// maxHops bounds how many calls, or events, that led to each other are followed.
const maxHops = 64

// asyncIDs finds which request a call of Node.js belongs to. What an activation of the loop read tells
// what it works for: a request, or a call whose response arrived. Whatever else happens in a loop
// carries the id of an operation, and tells by its number in which activation that was begun: see
// [asyncLoop], and bpf/node.bpf.h.
//
// Where all that is known is that a call was made when the response of another had arrived, the two belong
// together or not, as the program has it: a task that makes several calls in turn, or a queue. So such a
// chain is used only if it is closed (whoever read the response of its last call began the response of
// the request that its first call was made for), and if nearly all that could be checked in this process
// were: see [chains].
type asyncIDs struct {
	loops map[loopKey]*asyncLoop
	calls generations[uint64, *asyncCall]
	// batches are activations that made calls for several requests together, or whatever else an id
	// stands for; disputed ids were contradicted by an answer, so what bears them works for others.
	batches  generations[uint64, struct{}]
	mixed    generations[loopID, struct{}]
	disputed generations[loopID, struct{}]
	// deferred are ids of something that was put off and has led to a call. What leads to several may work
	// for all that has come together meanwhile: in one activation, or in others when a connection is made first.
	deferred generations[loopID, struct{}]
	chains   map[uint32]*chains // by tgid
	tails    tails
	now      uint64 // time of the last record
	// lost is when records were last lost; closings are those of which it is not known yet whether some were.
	lost     uint64
	closings []closing
}

type loopKey struct{ tgid, tid uint32 }

// loopID is an asynchronous id: each loop has a counter of its own.
type loopID struct {
	loop loopKey
	id   float64
}

// asyncCall is a call, as it began.
type asyncCall struct {
	loop       loopKey
	activation uint64
	cause      cause
	at         uint64 // when it began
	closed     bool   // it is in a closed chain
	wentOn     bool   // its request made a call when its response had arrived, whatever that was led by
	// What has become of it: ended, and its request too. See [tails].
	ended, settled bool
	operation      uint64
}

func newAsyncIDs() *asyncIDs {
	return &asyncIDs{loops: map[loopKey]*asyncLoop{}, chains: map[uint32]*chains{}}
}

// Async takes one record of a Node.js loop.
func (s *Solver) Async(e *event.Async) { s.async.take(e) }

func (a *asyncIDs) take(e *event.Async) {
	a.now = max(a.now, e.Ts)
	key := loopKey{e.Tgid, e.Tid}
	l := a.loops[key]
	// The counter of a loop only grows: else another program, or another worker, has its place.
	if l == nil || math.Float64frombits(e.Begin) < l.last() {
		l = newAsyncLoop()
		a.loops[key] = l
	}
	l.seen = e.Ts
	// Only bytes that the loop read itself tell what it works for. The eventfd by which worker threads say
	// that they are done carries the call of whichever wrote it (bpf/notify.bpf.h), for all that are done.
	if e.Flags&event.AsyncRead == 0 {
		e.Token, e.Flags = 0, e.Flags&^event.AsyncTokenCall
	}
	switch e.What {
	case event.AsyncActivation:
		l.ended(e)
	case event.AsyncInit:
		l.began(e)
	case event.AsyncCall:
		c := &asyncCall{loop: key, activation: e.Activation, cause: l.called(e), at: e.Ts}
		a.calls.put(e.Call, c)
		a.led(c)
		if d := a.root(c, nil); d.turn != 0 {
			a.wentOn(e, d.turn)
			if d.led {
				a.tails.add(d.turn, c)
			}
		}
	}
}

// led: the ids of something that was put off have led to a call.
func (a *asyncIDs) led(c *asyncCall) {
	ids, n := c.vias()
	for _, id := range ids[:n] {
		if a.deferred.has(id) {
			a.mixed.put(id, struct{}{})
		}
		a.deferred.put(id, struct{}{})
	}
}

// vias are the n ids that told what the call was made for.
func (c *asyncCall) vias() (ids [2]loopID, n int) {
	ids = [2]loopID{{c.loop, c.cause.via}, {c.loop, c.cause.ran}}
	switch {
	case c.cause.via == 0:
		return ids, 0
	case c.cause.ran == c.cause.via, c.cause.ran == 0:
		return ids, 1
	}
	return ids, 2
}

// descent is how a call came about.
type descent struct {
	turn uint64 // of the request that the first call of the chain was made for; 0: nothing that is known
	// start of the first call of the chain that is known.
	start uint64
	led   bool // a call led to another
	next  bool // of which it was only known that one's response arrived before the other
}

// root follows a call to the one at which its chain begins.
func (a *asyncIDs) root(c *asyncCall, visit func(*asyncCall)) (d descent) {
	for range maxHops {
		if visit != nil {
			visit(c)
		}
		d.start = c.at
		d.next = d.next || c.cause.next
		if !c.cause.call {
			d.turn = c.cause.to
			return d
		}
		d.led = true
		earlier, ok := a.calls.get(c.cause.to)
		if !ok {
			break
		}
		c = earlier
	}
	return d
}

// answer: the response of a request was begun when that of a call had arrived. What the call was made for
// must be the same.
func (a *asyncIDs) answer(e *event.Evidence) {
	c, ok := a.calls.get(e.Call)
	if !ok {
		return
	}
	from := a.root(c, nil)
	if e.BaseUses > 1 {
		// Several responses were begun after one had arrived: the calls that were made together with that
		// call were each made for several requests, or what they led to waited for each other.
		a.batches.put(c.activation, struct{}{})
		a.doubt(c, &a.mixed)
		return
	}
	if e.Uses > 1 {
		return
	}
	if from.led {
		a.tails.answered(e.Epoch)
	}
	if from.turn == 0 {
		return
	}
	right := from.turn == e.Epoch
	if !right {
		a.doubt(c, &a.disputed)
	}
	if !from.led {
		return
	}
	a.learn(closing{tgid: e.Tgid, from: from.start, at: e.Ts, right: right, next: from.next})
	if right {
		a.root(c, func(c *asyncCall) { c.closed = true })
	}
}

// doubt remembers every id that led to a call.
func (a *asyncIDs) doubt(c *asyncCall, in *generations[loopID, struct{}]) {
	a.root(c, func(c *asyncCall) {
		ids, n := c.vias()
		for _, id := range ids[:n] {
			in.put(id, struct{}{})
		}
	})
}

// doubts: one of the calls on the way was made for several requests, or an id led to several; disputed: or may
// have.
func (a *asyncIDs) doubts(c *asyncCall) (several, disputed bool) {
	a.root(c, func(c *asyncCall) {
		several = several || a.batches.has(c.activation)
		ids, n := c.vias()
		for _, id := range ids[:n] {
			several = several || a.mixed.has(id)
			disputed = disputed || a.disputed.has(id)
		}
	})
	return several, disputed
}

// edges implements derivation.
func (a *asyncIDs) edges(to []edge, c *Call) []edge {
	if turn, _ := a.named(to, c); turn != 0 {
		to = append(to, edge{to: turn, kind: asyncID})
	}
	return to
}

// named is the request that a call was made for, or 0 and why none is known, 0 of calls of no loop. edges is what
// else is known of it.
func (a *asyncIDs) named(edges []edge, c *Call) (turn uint64, refusal Refusal) {
	known, ok := a.calls.get(c.ID)
	if !ok {
		return 0, 0
	}
	from, n := a.root(known, nil), a.chains[known.loop.tgid]
	switch {
	case from.turn == 0:
		return 0, CauseUnknown
	case from.next && !known.closed:
		return 0, ChainOpen
	case from.next && !n.believed(c.Operation):
		return 0, NotProven
	}
	several, disputed := a.doubts(known)
	switch {
	case several:
		return 0, WorksForSeveral
	case answeredFor(edges, from.turn):
	case disputed:
		return 0, AnswerDisagrees
	case from.led && n.disbelieved(c.Operation):
		return 0, Refuted
	}
	return from.turn, 0
}

// unproven are the chains of the process, where such a call waits for them: it is in a closed one.
func (a *asyncIDs) unproven(c *Call) proof {
	known, ok := a.calls.get(c.ID)
	if !ok || !known.closed {
		return nil
	}
	if n := a.chains[known.loop.tgid]; n != nil {
		return following{n, c.Operation}
	}
	return nil
}

// unconfirmed are the chains of the process, where they are few yet, and may still show that a call is not the
// request's of which its id says so.
func (a *asyncIDs) unconfirmed(c *Call) proof {
	known, ok := a.calls.get(c.ID)
	if !ok || !a.root(known, nil).led {
		return nil
	}
	if n := a.chains[known.loop.tgid]; n != nil && n.all.all > 0 {
		return drawn{n}
	}
	return nil
}

func (a *asyncIDs) chainsOf(tgid uint32) *chains {
	n := a.chains[tgid]
	if n == nil {
		n = &chains{operations: operationScores{}}
		a.chains[tgid] = n
	}
	return n
}

// answeredFor: what the response of the call led to says as well that it is of that request; or it says for certain that
// it is of another, and neither is believed.
func answeredFor(edges []edge, turn uint64) bool {
	for i := range edges {
		if e := &edges[i]; e.kind == answer && (e.to == turn || e.uses == 1 && e.baseUses == 1) {
			return true
		}
	}
	return false
}

// answered implements derivation.
func (a *asyncIDs) answered(turn uint64, r *served) { a.tails.over(turn, r.end) }

// forget implements derivation.
func (a *asyncIDs) forget(before uint64) {
	a.calls.age(before, a.now)
	a.batches.age(before, a.now)
	a.mixed.age(before, a.now)
	a.deferred.age(before, a.now)
	a.disputed.age(before, a.now)
	a.tails.turns.age(before, a.now)
	for key, l := range a.loops {
		l.forget(before, a.now)
		if l.seen+uint64(keepFor) < a.now {
			delete(a.loops, key)
			delete(a.chains, key.tgid)
		}
	}
}
