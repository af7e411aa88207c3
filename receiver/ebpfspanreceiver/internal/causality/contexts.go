package causality

import (
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// contexts finds for whom execution contexts work that are made for a task and gone with it: those of
// Python. A context that answers a request was serving it all the while, and those that it made meanwhile
// serve it, too. That is known only when the response was sent.
//
// A context that answers requests which overlap, or were read by different ones, serves nobody: it writes
// for others.
type contexts struct {
	origins, oldOrigins map[Writer]origin
	known, old          map[Writer]*server
	turned              uint64
}

// origin says who made a context, and when.
type origin struct {
	parent Writer
	at     uint64
}

// server is a context that answered requests, or made contexts.
type server struct {
	stints   []stint // the latest of them
	reader   Writer  // of the first
	shared   bool
	lastMade uint64 // when it last made a context
}

// stint is a request that it was serving.
type stint struct{ turn, start, end uint64 }

const (
	// maxLevels is how many makers are asked: a task, its parts, their timers and callbacks.
	maxLevels = 8
	// maxStints are remembered of a context: a call is decided soon after its request has ended.
	maxStints = 32
	// maxContexts bounds each generation.
	maxContexts = 1 << 17
)

func newContexts() *contexts {
	return &contexts{origins: map[Writer]origin{}, known: map[Writer]*server{}}
}

// made: a context was made by another.
func (x *contexts) made(e *event.Origin) {
	child := Writer{Tgid: e.Tgid, Context: e.Child, Kind: e.ContextKind}
	parent := Writer{Tgid: e.Tgid, Context: e.Parent, Kind: e.ContextKind}
	x.origins[child] = origin{parent, e.Ts}
	x.server(parent).lastMade = e.Ts
	if len(x.origins) >= maxContexts || len(x.known) >= maxContexts {
		x.turn(e.Ts)
	}
}

// answered: the context that sent the response served the request, and so did those that led to it since
// the request was read.
func (x *contexts) answered(turn uint64, r *served) {
	if r.answerer.Kind != event.Python {
		return
	}
	w := r.answerer.key()
	for range maxLevels {
		x.server(w).serve(stint{turn, r.start, r.end}, r.reader.key())
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
	if len(v.stints) == maxStints {
		v.stints = slices.Delete(v.stints, 0, 1)
	}
	v.stints = append(v.stints, s)
}

// at is the turn that the context was serving at a time.
func (v *server) at(ts uint64) (stint, bool) {
	if v == nil || v.shared {
		return stint{}, false
	}
	for _, s := range v.stints {
		if s.start <= ts && ts <= s.end {
			return s, true
		}
	}
	return stint{}, false
}

// edges names the request that the writer of a call answered, or the nearest of those that made it was
// serving when it did.
func (x *contexts) edges(to []edge, c *Call) []edge {
	if c.Writer.Kind != event.Python {
		return to
	}
	w := c.Writer.key()
	if s, ok := x.find(w).at(c.Start); ok {
		return append(to, edge{to: s.turn, kind: inContext})
	}
	var passed []*server
	for range maxLevels {
		o, ok := x.origin(w)
		if !ok {
			return to
		}
		w = o.parent
		v := x.find(w)
		if s, ok := v.at(o.at); ok {
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
	x.turned = now
}
