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
// for others, and so does one that made calls before its first request (uvloop, where it is not seen who asked it,
// writes everything in one context of the loop). One that serves a connection answers its requests one after the
// other; what it does between two of them is for the first one, and may go on when the second has arrived. Nothing
// tells that apart, so in a process where it happens only the first request of a context has calls.
//
// A task of tokio reads its requests itself, so it is told apart there. But what a task makes may work for others
// (the task of a connection of a pool), and then lives on: what was made counts only once it has ended.
type contexts struct {
	origins generations[Writer, origin]
	known   generations[Writer, *server]
	over    generations[Writer, struct{}]
	turned  uint64
	decided uint64            // what was called before that is decided
	trails  map[uint32]*trail // by tgid
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
	stints   []stint  // those of which calls may still be asked for
	room     int      // how many there may be before the others are looked for
	more     bool     // there were others before
	reader   Writer   // of the first
	shared   bool     // it serves nobody
	calls    []uint64 // when it began the first calls since the last of them
	lastMade uint64   // when it last made a context
}

// stint is a request that it was serving.
type stint struct{ turn, start, end uint64 }

// servesOne: it is a context that is made for a task, and known.
func (w Writer) servesOne() bool {
	return w.Context != 0 && (w.Kind == event.Python || w.Kind == event.Tokio)
}

const (
	// maxLevels is how many makers are asked: a task, its parts, their timers and callbacks.
	maxLevels = 8
	// fewStints of a context are remembered in any case, and those before which no call is asked for any more
	// are not looked for earlier. maxStints bounds them: more than a connection has in twice the longest hold.
	fewStints = 32
	maxStints = 1 << 13
	// maxCalledSince bounds the calls that are noted since the last request: one is enough.
	maxCalledSince = 32
	// maxContexts bounds each generation.
	maxContexts = 1 << 17
)

func newContexts() *contexts {
	return &contexts{trails: map[uint32]*trail{}}
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
	x.origins.put(child, origin{parent, e.Ts})
	x.server(parent).lastMade = e.Ts
	if len(x.origins.now) >= maxContexts || len(x.known.now) >= maxContexts || len(x.over.now) >= maxContexts {
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
		v.serve(stint{turn, r.start, r.end}, r.reader.key(), x.decided)
		o, ok := x.origins.get(w)
		if !ok || o.at < r.start || o.at > r.end {
			return
		}
		w = o.parent
	}
}

// serve notes a request. Nobody asks any more for what was called before decided.
func (v *server) serve(s stint, reader Writer, decided uint64) {
	switch {
	case v.reader == Writer{}:
		v.reader = reader
	case reader.Kind == event.Python && v.reader.Kind == event.Python && reader != v.reader:
		v.shared = true
	}
	for _, other := range v.stints[max(0, len(v.stints)-fewStints):] {
		if other.turn == s.turn { // pipelined: one turn, several requests
			continue
		}
		if s.start <= other.end && other.start <= s.end {
			v.shared = true
		}
	}
	if len(v.stints) >= max(v.room, fewStints) {
		v.trim(decided)
	}
	v.stints = append(v.stints, s)
	v.shared = v.shared || slices.ContainsFunc(v.calls, v.before)
	v.calls = slices.DeleteFunc(v.calls, func(at uint64) bool { return at <= s.end })
}

// trim forgets requests of which no call is asked for any more.
func (v *server) trim(decided uint64) {
	old := 0
	for old < len(v.stints) && (v.stints[old].end < decided || len(v.stints)-old > maxStints/2) {
		old++
	}
	v.stints = slices.Delete(v.stints, 0, old)
	v.more = v.more || old > 0
	v.room = 2 * len(v.stints)
}

// before its first request.
func (v *server) before(at uint64) bool {
	return !v.more && len(v.stints) > 0 && at < v.stints[0].start
}

func (v *server) calledBetween(from, to uint64) bool {
	return slices.ContainsFunc(v.calls, func(at uint64) bool { return from < at && at < to })
}

// called notes a call, once, if it is later than its last request.
func (v *server) called(at uint64) {
	v.shared = v.shared || v.before(at)
	if n := len(v.stints); n > 0 && at <= v.stints[n-1].end {
		return
	}
	if len(v.calls) < maxCalledSince && !slices.Contains(v.calls, at) {
		v.calls = append(v.calls, at)
	}
}

// at is the turn that the context was serving at a time; first: it had served none before.
func (v *server) at(ts uint64) (s stint, first, ok bool) {
	if v == nil || v.shared {
		return stint{}, false, false
	}
	for i := len(v.stints) - 1; i >= 0; i-- { // one of the last
		if s := v.stints[i]; s.start <= ts && ts <= s.end {
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
		o, ok := x.origins.get(w)
		if !ok || w.Kind == event.Tokio && !x.over.has(w) {
			return to
		}
		w = o.parent
		v, _ := x.known.get(w)
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

func (x *contexts) server(w Writer) *server {
	v, ok := x.known.get(w)
	if !ok {
		v = &server{}
	}
	x.known.put(w, v)
	return v
}

// forget begins another generation when the last one is old enough.
func (x *contexts) forget(before uint64) {
	x.decided = before
	if before > x.turned+uint64(keepFor)/10 {
		x.turn(before)
	}
}

func (x *contexts) turn(now uint64) {
	x.origins.turn()
	x.known.turn()
	x.over.turn()
	x.turned = now
	for tgid, t := range x.trails {
		if t.again == 0 {
			delete(x.trails, tgid) // ended, or idle
		}
		t.again, t.busy = t.again/2, t.busy/2
	}
}
