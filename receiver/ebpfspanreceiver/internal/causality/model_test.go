package causality

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// A model of programs that serve requests: what they do, which records the kernel side makes of it, and
// what is true. The invariants are tested on what it makes.

// step is one record, or what became of one, as the solver is told.
type step struct {
	ts    uint64
	seen  int // records of one context stay in order, whatever is shuffled
	who   Writer
	tell  func(*Solver, *results)
	edge  *event.Evidence // of an evidence step
	guess bool            // the edge may name anything: only what calibration makes of it counts
	began bool            // of a request
	ends  uint64          // the call that is over
	// instead is what is told of a request whose response is lost, when its connection is used again.
	instead func(*Solver)
}

// truth of one call: the request that it was made for, 0 for none; late: that was over by then.
type truth struct {
	request uint64
	late    bool
	chain   bool // only a chain can tell
	Call
}

type results struct {
	answers map[uint64][]Answer
	held    map[uint64]bool // calls that are over
	counts  map[uint64][]Count
	check   func(*Solver, Call, Answer)
}

func (r *results) take(s *Solver, c Call) func(Answer) {
	return func(a Answer) {
		r.answers[c.ID] = append(r.answers[c.ID], a)
		if r.check != nil {
			r.check(s, c, a)
		}
	}
}

// world is a run of programs.
type world struct {
	rng      *rand.Rand
	steps    []step
	calls    map[uint64]truth
	requests map[uint64][2]uint64 // when each was served
	open     []uint64
	ids      uint64
	order    int
	// name renames what is reused and what is unique: contexts, and ids.
	name func(uint64) uint64
	// check is called with each answer, as it is given.
	check func(*Solver, Call, Answer)
}

func (w *world) id() uint64 { w.ids++; return w.name(w.ids) }

func (w *world) at(ts uint64, who Writer, tell func(*Solver, *results)) {
	w.order++
	w.steps = append(w.steps, step{ts: ts, seen: w.order, who: who, tell: tell})
}

func (w *world) say(ts uint64, who Writer, guess bool, e event.Evidence) {
	e.Ts, e.Tgid = ts, who.Tgid
	w.at(ts, who, func(s *Solver, _ *results) { s.Evidence(&e) })
	last := &w.steps[len(w.steps)-1]
	last.edge, last.guess = &e, guess
}

// request is served by reader and answered by answerer.
func (w *world) request(start, end uint64, reader, answerer Writer) uint64 {
	id := w.id()
	w.requests[id] = [2]uint64{start, end}
	w.at(start, reader, func(s *Solver, _ *results) { s.Began(id, id, start, reader) })
	w.steps[len(w.steps)-1].began = true
	w.at(end, answerer, func(s *Solver, r *results) {
		s.Ended(id, id, end, answerer)
		s.Answered(id, id)
		s.Count(reader.Tgid, id, id, func(c Count) { r.counts[id] = append(r.counts[id], c) })
	})
	w.steps[len(w.steps)-1].instead = func(s *Solver) { s.Ended(id, id, end+30*ms, answerer) }
	return id
}

// call is written by one context; request 0: for nobody.
func (w *world) call(start, end uint64, who Writer, request, operation uint64, chain bool) uint64 {
	id := w.id()
	span := w.requests[request]
	c := Call{
		ID: id, Writer: who, EndTid: who.Tid, EndContext: who.Context, Start: start, End: end, Operation: operation,
	}
	w.calls[id] = truth{request: request, late: request != 0 && start > span[1], chain: chain, Call: c}
	w.at(end, who, func(s *Solver, r *results) { r.held[id] = true; s.Hold(c, r.take(s, c)) })
	w.steps[len(w.steps)-1].ends = id
	return id
}

func (w *world) between(low, high uint64) uint64 { return low + w.rng.Uint64N(high-low+1) }

// shape is one way to serve a request, from t on in process tgid. thread names are used again.
type shape func(w *world, t uint64, tgid uint32)

var shapes = []shape{sameThreadShape, poolShape, goroutineShape, spawnShape, loopShape, fanOutShape, itemShape, backgroundShape, unawaitedShape}

func (w *world) thread(tgid uint32) Writer {
	// Numbers of threads are used again all the time.
	return Writer{Tgid: tgid, Tid: uint32(w.name(10_000+w.rng.Uint64N(64))) | 1}
}

func (w *world) goroutine(tgid uint32) Writer {
	g := w.thread(tgid)
	g.Context = w.id()
	return g
}

func sameThreadShape(w *world, t uint64, tgid uint32) {
	// Its own thread: another shape that used the number at the same time would be another thread.
	me := Writer{Tgid: tgid, Tid: uint32(w.id())}
	end := t + w.between(5, 40)*ms
	r := w.request(t, end, me, me)
	for at := t + ms; at+3*ms < end; at += w.between(3, 6) * ms {
		id := w.call(at, at+2*ms, me, r, 1, false)
		w.say(at, me, false, event.Evidence{What: sameThread, Call: id, Epoch: r})
	}
}

// poolShape: a worker makes the calls and wakes the owner, after the last. Which worker is told wrongly.
func poolShape(w *world, t uint64, tgid uint32) {
	owner, worker := Writer{Tgid: tgid, Tid: uint32(w.id())}, w.goroutine(tgid)
	end := t + w.between(10, 40)*ms
	r := w.request(t, end, owner, owner)
	before := uint64(0)
	n := w.between(1, 3)
	at := t + ms
	for i := range n {
		id := w.call(at, at+2*ms, worker, r, 100*n+i, i+1 < n)
		if before != 0 {
			w.say(at, worker, false, event.Evidence{What: next, Call: id, Epoch: before, Uses: 1})
		}
		if len(w.open) > 0 && w.rng.IntN(2) == 0 {
			w.say(at, worker, true, event.Evidence{What: wake, Call: id, Epoch: w.open[w.rng.IntN(len(w.open))]})
		}
		before, at = id, at+2*ms+ms/2
	}
	w.say(at, worker, false, event.Evidence{What: wakeBack, Call: before, Epoch: r})
}

// goroutineShape: handed over by a channel, and back.
func goroutineShape(w *world, t uint64, tgid uint32) {
	owner, worker := w.goroutine(tgid), w.goroutine(tgid)
	end := t + w.between(10, 40)*ms
	r := w.request(t, end, owner, owner)
	segment := w.id()
	for i := range w.between(1, 3) {
		at := t + ms + i*3*ms
		id := w.call(at, at+2*ms, worker, r, 2, false)
		w.say(at, worker, false, event.Evidence{What: channel, Call: id, Epoch: r, Segment: segment, Uses: uint8(i) + 1})
		w.say(at+2*ms+1, worker, false, event.Evidence{What: channelBack, Call: id, Epoch: r, Segment: segment})
	}
}

// spawnShape: a thread of its own, that may go on after the response.
func spawnShape(w *world, t uint64, tgid uint32) {
	owner, child := w.goroutine(tgid), w.goroutine(tgid)
	end := t + w.between(4, 12)*ms
	r := w.request(t, end, owner, owner)
	at := t + w.between(1, 16)*ms
	id := w.call(at, at+2*ms, child, r, 3, false)
	w.say(at, child, false, event.Evidence{What: goCreated, Call: id, Epoch: r})
}

// loopShape: calls one after the other in an event loop that does what it reads at once; between them a
// timer makes calls for nobody, right after whatever was read.
func loopShape(w *world, t uint64, tgid uint32) {
	loopThread := Writer{Tgid: tgid, Tid: 7}
	end := t + w.between(15, 40)*ms
	r := w.request(t, end, loopThread, loopThread)
	before, at := uint64(0), t+1
	for i := range uint64(3) {
		id := w.call(at, at+2*ms, loopThread, r, 4, true)
		if i == 0 {
			w.say(at, loopThread, false, event.Evidence{What: loop, Call: id, Epoch: r, Segment: 1, Uses: 1})
		} else {
			w.say(at, loopThread, false, event.Evidence{What: next, Call: id, Epoch: before, Segment: 1, Uses: 2})
		}
		before, at = id, at+2*ms+1
	}
	w.say(at, loopThread, false, event.Evidence{What: answer, Call: before, Epoch: r, Segment: 1, Uses: 2, BaseUses: 1})
	if w.rng.IntN(3) == 0 {
		id := w.call(t+2, t+3*ms, loopThread, 0, 5, false)
		w.say(t+2, loopThread, true, event.Evidence{What: loop, Call: id, Epoch: r, Segment: 1, Uses: 1})
	}
}

// fanOutShape: many calls at once, each from a goroutine of its own.
func fanOutShape(w *world, t uint64, tgid uint32) {
	owner := w.goroutine(tgid)
	end := t + w.between(10, 20)*ms
	r := w.request(t, end, owner, owner)
	for range w.between(1, 64) {
		child := w.goroutine(tgid)
		id := w.call(t+ms, t+w.between(2, 9)*ms, child, r, 6, false)
		w.say(t+ms, child, false, event.Evidence{What: goCreated, Call: id, Epoch: r})
	}
}

// itemShape: through a queue, whose item says whose it is.
func itemShape(w *world, t uint64, tgid uint32) {
	owner, worker := w.goroutine(tgid), w.goroutine(tgid)
	end := t + w.between(10, 20)*ms
	r := w.request(t, end, owner, owner)
	id := w.call(t+ms, t+3*ms, worker, r, 8, false)
	w.say(t+ms, worker, false, event.Evidence{What: item, Call: id, Epoch: r})
}

// backgroundShape: work for nobody, with the guesses that are wrong about it.
func backgroundShape(w *world, t uint64, tgid uint32) {
	who := w.goroutine(tgid)
	id := w.call(t, t+3*ms, who, 0, 9, false)
	if len(w.open) > 0 && w.rng.IntN(2) == 0 {
		w.say(t, who, true, event.Evidence{What: wake, Call: id, Epoch: w.open[w.rng.IntN(len(w.open))]})
	}
	if len(w.open) > 0 && w.rng.IntN(2) == 0 {
		w.say(t, who, true, event.Evidence{What: connected, Call: id, Epoch: w.open[w.rng.IntN(len(w.open))], Uses: 1})
	}
}

// unawaitedShape: a call that the response does not wait for.
func unawaitedShape(w *world, t uint64, tgid uint32) {
	owner, child := w.goroutine(tgid), w.goroutine(tgid)
	end := t + w.between(4, 12)*ms
	r := w.request(t, end, owner, owner)
	id := w.call(t+ms, end+w.between(1, 20)*ms, child, r, 10, false)
	w.say(t+ms, child, false, event.Evidence{What: channel, Call: id, Epoch: r, Segment: w.id(), Uses: 1})
}

// newWorld makes n requests, many of them open at once.
func newWorld(seed uint64, n int, name func(uint64) uint64) *world {
	return newWorldOf(seed, n, name, 1)
}

// newWorldOf: of which more are open at once the smaller gap is.
func newWorldOf(seed uint64, n int, name func(uint64) uint64, gap uint64) *world {
	return newWorldIn(seed, n, name, gap, shapes)
}

func newWorldIn(seed uint64, n int, name func(uint64) uint64, gap uint64, shapes []shape) *world {
	if name == nil {
		name = func(id uint64) uint64 { return id }
	}
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 4)), calls: map[uint64]truth{}, requests: map[uint64][2]uint64{}, name: name,
	}
	t := 10 * ms
	for range n {
		t += w.between(0, 4) * gap * ms / 2
		w.open = w.open[:0]
		for id, span := range w.requests {
			if span[1] > t {
				w.open = append(w.open, id)
			}
		}
		slices.Sort(w.open) // the order of a map is not that of the seed
		shapes[w.rng.IntN(len(shapes))](w, t, uint32(1+w.rng.IntN(3)))
	}
	return w
}

// options of the solver that the model is run on.
func modelOptions() Options {
	return Options{Hold: 5 * time.Second, Grace: 200 * time.Millisecond, MaxHeld: 1 << 20, MaxAge: time.Hour}
}

// run tells a solver all steps in order, and lets time pass in between as cut says.
func (w *world) run(o Options, cut func(ts uint64) bool, keep func(*step) bool) (*results, *Solver) {
	r := &results{answers: map[uint64][]Answer{}, held: map[uint64]bool{}, counts: map[uint64][]Count{}, check: w.check}
	last := uint64(0)
	if o.UnderWay == nil {
		o.UnderWay = func(tgid uint32, each func(Call)) {
			for id, c := range w.calls {
				if c.Writer.Tgid == tgid && c.Start <= last && !r.held[id] {
					each(Call{ID: id, Writer: c.Writer, EndTid: c.Writer.Tid, EndContext: c.Writer.Context, Start: c.Start})
				}
			}
		}
	}
	s := NewSolver(o, &Counts{})
	steps := slices.Clone(w.steps)
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.seen, b.seen)) })
	for i := range steps {
		if keep != nil && !keep(&steps[i]) {
			continue
		}
		steps[i].tell(s, r)
		last = steps[i].ts
		if cut != nil && cut(last) {
			s.Saw(last, last)
			s.Tick(last)
		}
	}
	if cut != nil {
		s.Saw(last+uint64(time.Minute), last+uint64(time.Minute))
		s.Tick(last + uint64(time.Minute))
	}
	s.Flush()
	return r, s
}

// each runs a property on many worlds.
func each(t *testing.T, property func(t *testing.T, w *world, seed uint64)) {
	t.Helper()
	eachOf(t, 1, property)
}

func eachOf(t *testing.T, gap uint64, property func(t *testing.T, w *world, seed uint64)) {
	t.Helper()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { property(t, newWorldOf(seed, 250, nil, gap), seed) })
	}
}

func everyTick(rng *rand.Rand) func(uint64) bool {
	return func(uint64) bool { return rng.IntN(8) == 0 }
}

// judge fails on a wrong link, and counts the right ones.
func (w *world) judge(t *testing.T, r *results) (right int) {
	t.Helper()
	for id, answers := range r.answers {
		require.Len(t, answers, 1)
		a, want := answers[0], w.calls[id]
		switch {
		case a.Outcome == Linked:
			require.Equal(t, want.request, a.Request, "call %d: %v", id, a)
			require.False(t, want.late, "call %d", id)
			right++
		case a.Outcome == Late && a.Request != 0:
			require.Equal(t, want.request, a.Request)
			require.True(t, want.late)
		}
	}
	return right
}

func links(r *results, exactOnly bool) map[uint64]uint64 {
	out := map[uint64]uint64{}
	for id, answers := range r.answers {
		if a := answers[0]; a.Outcome == Linked && (!exactOnly || a.Class == Exact) {
			out[id] = a.Request
		}
	}
	return out
}
