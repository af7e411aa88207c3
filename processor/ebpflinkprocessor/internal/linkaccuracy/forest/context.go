package forest

import "slices"

// contexts says which thread or goroutine does what, process by process.
func (f *Forest) contexts() {
	goid := uint64(1 << 20)
	for _, spans := range f.exchanges() {
		style := f.Scenario.Style
		if len(spans) > 0 && spans[0].Process.Proxy {
			style = Loop
		}
		switch style {
		case Threads:
			f.pooled(spans, true)
		case Pool:
			f.pooled(spans, false)
		case Loop:
			for _, s := range spans {
				one := thread(uint64(s.Process.PID))
				s.Begin, s.Finish = one, one
			}
		case Goroutines, Transport:
			f.goroutines(spans, &goid)
		}
	}
}

func thread(tid uint64) Context { return Context{tid, tid} }

// pooled gives each request a thread of its own while it is open. Where the reader is not the worker,
// one thread reads all requests and answers them.
func (f *Forest) pooled(spans []*Span, reader bool) {
	type worker struct {
		tid  uint64
		free int64
	}
	var workers []*worker
	by := map[uint64]Context{}
	for _, s := range spans {
		if s.Kind != Server {
			continue
		}
		i := slices.IndexFunc(workers, func(w *worker) bool { return w.free < s.Start })
		if i < 0 {
			workers = append(workers, &worker{tid: uint64(s.Process.PID)<<16 | uint64(len(workers)+1)})
			i = len(workers) - 1
		}
		workers[i].free = s.End
		by[s.Request] = thread(workers[i].tid)
		s.Begin, s.Finish = by[s.Request], by[s.Request]
		if !reader {
			s.Begin = thread(uint64(s.Process.PID))
			s.Finish = s.Begin
		}
	}
	for _, s := range spans {
		if s.Kind == Client {
			s.Begin = by[s.Request]
			s.Finish = s.Begin
		}
	}
}

// goroutines: one serves each incoming connection. Its calls are its own when they are made one after
// the other; those made at once have a child each.
func (f *Forest) goroutines(spans []*Span, next *uint64) {
	fresh := func(lineage uint64) Context {
		*next++
		if lineage == 0 {
			lineage = *next
		}
		return Context{*next, lineage}
	}
	incoming, outgoing := map[int]Context{}, map[int]Context{}
	serving := map[uint64]Context{}
	for _, s := range spans {
		if s.Kind != Server {
			continue
		}
		g, ok := incoming[s.Conn]
		if !ok {
			g = fresh(0)
			incoming[s.Conn] = g
		}
		serving[s.Request] = g
		s.Begin, s.Finish = g, g
	}
	for _, s := range spans {
		if s.Kind != Client {
			continue
		}
		g := serving[s.Request]
		switch {
		case f.Scenario.Style == Transport:
			w, ok := outgoing[s.Conn]
			if !ok {
				w = fresh(g.Lineage)
				outgoing[s.Conn] = w
			}
			g = w
		case f.Scenario.Parallel:
			g = fresh(g.Lineage)
		}
		s.Begin, s.Finish = g, g
	}
}

// Message is one request or response as one end sends or receives it: what a probe in the kernel sees.
type Message struct {
	At      int64
	Span    *Span
	Context Context
	// Ingress: it was received.
	Ingress bool
	// Response: it ends the exchange.
	Response bool
}

// Messages of each process, in order.
func (f *Forest) Messages() (out [][]Message) {
	for _, spans := range f.exchanges() {
		var list []Message
		for _, s := range spans {
			list = append(list, Message{At: s.Start, Span: s, Context: s.Begin, Ingress: s.Kind == Server})
			if !s.NoAnswer || s.Kind == Server {
				list = append(list, Message{At: s.End, Span: s, Context: s.Finish, Ingress: s.Kind == Client, Response: true})
			}
		}
		slices.SortStableFunc(list, func(a, b Message) int {
			switch {
			case a.At != b.At:
				return int(min(max(a.At-b.At, -1), 1))
			default:
				return a.Span.N - b.Span.N
			}
		})
		out = append(out, list)
	}
	return out
}
