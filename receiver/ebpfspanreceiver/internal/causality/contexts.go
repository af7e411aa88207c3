package causality

import (
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// contexts finds for whom execution contexts work that are made for a task and gone with it: those of
// Python, and the tasks of tokio. A context that answers a request was serving it all the while, and those that it made meanwhile
// serve it, too. That is known only when the response was sent.
//
// A context that answers requests which overlap, or were read by different ones, serves nobody: it writes
// for others, and so does one that made calls before its first request (uvloop writes everything in one
// context of the loop). One that serves a connection answers its requests one after the other; what it does between
// two of them is for the first one, and may go on when the second has arrived. Nothing tells that apart, so
// in a process where it happens only the first request of a context has calls.
//
// A task of tokio reads its requests itself, so it is told apart there. But what a task makes may work for others
// (the task of a connection of a pool), and then lives on: what was made counts only once it has ended.
type contexts struct {
	origins, oldOrigins map[Writer]origin
	known, old          map[Writer]*server
	turned              uint64
	trails              map[uint32]*trail // by tgid
	over                generations[Writer, struct{}]
}

// trail counts, in one process, requests that were not the first of their context, and those of them which
// came while it went on with something else.
type trail struct{ again, busy uint }

// leaves: whoever answers goes on with something else too often to be believed.
func (t *trail) leaves() bool { return t != nil && t.busy*maxBusy > t.again }

// maxBusy: one in so many may be a request that came in two parts, of which the first woke nobody.
const maxBusy = 10

func (x *contexts) trail(tgid uint32) *trail {
	t := x.trails[tgid]
	if t == nil {
		t = &trail{}
		x.trails[tgid] = t
	}
	if t.again > 1<<12 {
		t.again, t.busy = t.again/2, t.busy/2
	}
	return t
}

// origin says who made a context, and when.
type origin struct {
	parent Writer
	at     uint64
}

// server is a context that answered requests, or made contexts.
type server struct {
	stints   []stint  // the latest of them
	more     bool     // there were others before
	reader   Writer   // of the first
	shared   bool     // it serves nobody
	calls    []uint64 // when its latest calls began
	lastMade uint64   // when it last made a context
}

// stint is a request that it was serving.
type stint struct{ turn, start, end uint64 }

// servesOne: it is a context that is made for a task.
func (w Writer) servesOne() bool { return w.Kind == event.Python || w.Kind == event.Tokio }

const (
	// maxLevels is how many makers are asked: a task, its parts, their timers and callbacks.
	maxLevels = 8
	// maxStints are remembered of a context, and those that ended keepStints ago where there are more than
	// fewStints: a call is decided soon after its request has ended, but a task of tokio serves its connection to
	// the end.
	maxStints  = 1024
	fewStints  = 32
	keepStints = uint64(2e9)
	// maxContexts bounds each generation.
	maxContexts = 1 << 17
)

func newContexts() *contexts {
	return &contexts{origins: map[Writer]origin{}, known: map[Writer]*server{}, trails: map[uint32]*trail{}}
}

// told: a context was made by another, or is busy.
func (x *contexts) told(e *event.Origin) {
	child := Writer{Tgid: e.Tgid, Context: e.Child, Kind: e.ContextKind}
	switch e.What {
	case event.Busy:
		x.trail(e.Tgid).busy++
		return
	case event.Ended:
		x.over.put(child, struct{}{})
		return
	}
	parent := Writer{Tgid: e.Tgid, Context: e.Parent, Kind: e.ContextKind}
	x.origins[child] = origin{parent, e.Ts}
	x.server(parent).lastMade = e.Ts
	if len(x.origins) >= maxContexts || len(x.known) >= maxContexts || len(x.over.now) >= maxContexts {
		x.turn(e.Ts)
	}
}

// answered: the context that sent the response served the request, and so did those that led to it since
// the request was read.
func (x *contexts) answered(turn uint64, r *served) {
	if !r.answerer.servesOne() || r.answerer.Kind == event.Tokio && !r.answerer.is(r.reader) {
		return
	}
	w := r.answerer.key()
	for range maxLevels {
		v := x.server(w)
		if n := len(v.stints); n > 0 && v.stints[n-1].turn != turn {
			t := x.trail(w.Tgid)
			t.again++
			if v.calledBetween(v.stints[n-1].end, r.start) {
				t.busy++
			}
		}
		v.serve(stint{turn, r.start, r.end}, r.reader.key())
		o, ok := x.origin(w)
		if !ok || o.at < r.start || o.at > r.end {
			return
		}
		w = o.parent
	}
}

func (v *server) serve(s stint, reader Writer) {
	switch {
	case v.reader == Writer{}:
		v.reader = reader
	case reader.Kind == event.Python && v.reader.Kind == event.Python && reader != v.reader:
		v.shared = true
	}
	for _, other := range v.stints {
		if other.turn == s.turn { // pipelined: one turn, several requests
			continue
		}
		if s.start <= other.end && other.start <= s.end {
			v.shared = true
		}
	}
	if n := v.past(s.start); n > 0 {
		v.stints = slices.Delete(v.stints, 0, n)
		v.more = true
	}
	v.stints = append(v.stints, s)
	v.shared = v.shared || slices.ContainsFunc(v.calls, v.before)
}

// past is how many of the stints are too old to matter. Half of them go at once, where there are too many.
func (v *server) past(now uint64) (n int) {
	if len(v.stints) < fewStints {
		return 0
	}
	if len(v.stints) == maxStints {
		n = maxStints / 2
	}
	for n < len(v.stints) && v.stints[n].end+keepStints < now {
		n++
	}
	return n
}

// before its first request.
func (v *server) before(at uint64) bool {
	return !v.more && len(v.stints) > 0 && at < v.stints[0].start
}

func (v *server) calledBetween(from, to uint64) bool {
	return slices.ContainsFunc(v.calls, func(at uint64) bool { return from < at && at < to })
}

// called notes a call, once.
func (v *server) called(at uint64) {
	if slices.Contains(v.calls, at) {
		return
	}
	if len(v.calls) == fewStints {
		v.calls = slices.Delete(v.calls, 0, 1)
	}
	v.calls = append(v.calls, at)
	v.shared = v.shared || v.before(at)
}

// at is the turn that the context was serving at a time; first: it had served none before.
func (v *server) at(ts uint64) (s stint, first, ok bool) {
	if v == nil || v.shared {
		return stint{}, false, false
	}
	for i, s := range v.stints {
		if s.start <= ts && ts <= s.end {
			return s, i == 0 && !v.more, true
		}
	}
	return stint{}, false, false
}

// edges names the request that the writer of a call answered, or the nearest of those that made it was
// serving when it did.
func (x *contexts) edges(to []edge, c *Call) []edge {
	if !c.Writer.servesOne() {
		return to
	}
	w := c.Writer.key()
	leaves := w.Kind == event.Python && x.trails[w.Tgid].leaves()
	v := x.server(w)
	v.called(c.Start)
	if s, first, ok := v.at(c.Start); ok {
		if leaves && !first {
			return to
		}
		return append(to, edge{to: s.turn, kind: inContext})
	}
	var passed []*server
	for range maxLevels {
		o, ok := x.origin(w)
		if !ok || w.Kind == event.Tokio && !x.over.has(w) {
			return to
		}
		w = o.parent
		v := x.find(w)
		if s, first, ok := v.at(o.at); ok {
			if leaves && !first {
				return to
			}
			for _, p := range passed {
				// It makes contexts for others as well.
				if p.lastMade > s.end {
					return to
				}
			}
			return append(to, edge{to: s.turn, kind: copied})
		}
		if v != nil {
			if v.shared {
				return to
			}
			passed = append(passed, v)
		}
	}
	return to
}

func (x *contexts) origin(w Writer) (origin, bool) {
	if o, ok := x.origins[w]; ok {
		return o, true
	}
	o, ok := x.oldOrigins[w]
	return o, ok
}

func (x *contexts) find(w Writer) *server {
	if v := x.known[w]; v != nil {
		return v
	}
	return x.old[w]
}

func (x *contexts) server(w Writer) *server {
	v := x.find(w)
	if v == nil {
		v = &server{}
	}
	x.known[w] = v
	return v
}

// forget begins another generation when the last one is old enough.
func (x *contexts) forget(before uint64) {
	if before > x.turned+uint64(keepFor)/10 {
		x.turn(before)
	}
}

func (x *contexts) turn(now uint64) {
	x.oldOrigins, x.origins = x.origins, map[Writer]origin{}
	x.old, x.known = x.known, map[Writer]*server{}
	x.over.turn()
	x.turned = now
	for tgid, t := range x.trails {
		if t.again == 0 {
			delete(x.trails, tgid) // ended, or idle
		}
		t.again, t.busy = t.again/2, t.busy/2
	}
}
