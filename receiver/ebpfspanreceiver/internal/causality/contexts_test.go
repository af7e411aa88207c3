package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// story is what a process of Python did, told to a solver.
type story struct{ *Solver }

func pyContext(id uint64) Writer { return Writer{Tgid: 1, Tid: 7, Context: id, Kind: event.Python} }

func (s story) made(child, parent, at uint64) {
	s.Origin(&event.Origin{What: event.Made, ContextKind: event.Python, Tgid: 1, Ts: at * ms, Child: child, Parent: parent})
}

func (s story) busy(id, at uint64) {
	s.Origin(&event.Origin{What: event.Busy, ContextKind: event.Python, Tgid: 1, Ts: at * ms, Child: id})
}

// served: a request of that number was read by reader and answered by answerer.
func (s story) served(request, from, to, reader, answerer uint64) {
	s.Began(request, request, from*ms, pyContext(reader))
	s.Ended(request, request, to*ms, pyContext(answerer))
}

// called: a call of which nothing else is known.
func (s story) called(id, at, by uint64) {
	s.Hold(Call{ID: id, Start: at * ms, End: (at + 1) * ms, Writer: pyContext(by), EndContext: by}, func(Answer) {})
}

func TestContexts(t *testing.T) {
	own := Answer{Outcome: Linked, Request: 100, Hints: []string{"context"}, Confidence: 0.999}
	child := Answer{Outcome: Linked, Request: 100, Hints: []string{"context_copied"}, Confidence: 0.99}
	none := Answer{Outcome: NoEvidence}
	const reader, task, other = 10, 20, 90
	// The call that is asked for is made by context 50 at 20 ms.
	for _, tc := range []struct {
		name string
		tell func(story)
		want Answer
	}{
		{"it answers", func(s story) { s.served(100, 10, 30, reader, 50) }, own},
		{"it answered before", func(s story) { s.served(100, 10, 15, reader, 50) }, none},
		{"it answers later", func(s story) { s.served(100, 25, 30, reader, 50) }, none},
		{"a part of the task that answers", func(s story) {
			s.made(50, task, 15)
			s.served(100, 10, 30, reader, task)
		}, child},
		{"a part of a part", func(s story) {
			s.made(40, task, 12)
			s.made(50, 40, 15)
			s.served(100, 10, 30, reader, task)
		}, child},
		{"left behind by the request before", func(s story) {
			s.made(50, task, 5)
			s.served(99, 1, 8, reader, task)
			s.served(100, 10, 30, reader, task)
		}, Answer{Outcome: Late, Request: 99}},
		{"left behind between two requests", func(s story) {
			s.made(50, task, 9)
			s.served(99, 1, 8, reader, task)
			s.served(100, 10, 30, reader, task)
		}, none},
		{"the rest of the answer is written by a callback", func(s story) {
			s.made(30, 50, 25)
			s.served(100, 10, 31, reader, 30)
		}, own},
		{"a callback that was made before the request answers", func(s story) {
			s.made(30, 50, 5)
			s.served(100, 10, 31, reader, 30)
		}, none},
		{"it writes for requests that overlap", func(s story) {
			s.served(100, 10, 30, reader, 50)
			s.served(101, 29, 40, reader, 50)
		}, none},
		{"it made a call before it had any request", func(s story) {
			s.called(7, 3, 50)
			s.Flush()
			s.served(100, 10, 30, reader, 50)
		}, none},
		{"it writes for several connections", func(s story) {
			s.served(100, 10, 30, reader, 50)
			s.served(101, 35, 40, other, 50)
		}, none},
		{"made by one that writes for several connections", func(s story) {
			s.made(50, task, 15)
			s.served(100, 10, 30, reader, task)
			s.served(101, 35, 40, other, task)
		}, none},
		{"made by a worker that the request has started, and that works for others", func(s story) {
			s.made(40, task, 12)
			s.made(50, 40, 15)
			s.served(100, 10, 30, reader, task)
			s.made(60, 40, 35)
		}, none},
		{"it lives on", func(s story) {
			s.made(50, task, 15)
			s.served(100, 10, 30, reader, task)
			s.called(2, 40, 50)
		}, Answer{Outcome: Untrusted}},
		{"the tasks of this process go on when they have answered", func(s story) {
			s.served(98, 1, 3, reader, 50)
			s.called(2, 5, 50)
			s.Tick(6 * ms)
			s.served(100, 10, 30, reader, 50)
		}, none},
		{"one was busy when the next request came", func(s story) {
			s.served(98, 1, 3, reader, 50)
			s.busy(50, 12)
			s.served(100, 10, 30, reader, 50)
		}, none},
		{"another was, but this is its first request", func(s story) {
			s.served(98, 1, 3, other, 60)
			s.busy(60, 6)
			s.served(99, 4, 8, other, 60)
			s.served(100, 10, 30, reader, 50)
		}, own},
		{"busy is rare", func(s story) {
			for i := range uint64(40) {
				s.served(200+i, i, i, other, 60)
			}
			s.busy(60, 1)
			s.served(98, 1, 3, reader, 50)
			s.served(100, 10, 30, reader, 50)
		}, own},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newSolver()
			tc.tell(story{s})
			c := Call{ID: 1, Start: 20 * ms, End: 22 * ms, Writer: pyContext(50), EndContext: 50}
			got := decide(s, c)
			got.Class = 0
			require.Equal(t, tc.want, got)
		})
	}
}

// Other kinds of contexts live longer than what they do for one request.
func TestContextsOfOtherKinds(t *testing.T) {
	s, _ := newSolver()
	w := Writer{Tgid: 1, Tid: 7, Context: 50, Kind: event.Goroutine}
	s.Began(100, 100, 10*ms, w)
	s.Ended(100, 100, 30*ms, w)
	require.Equal(t, NoEvidence, decide(s, Call{ID: 1, Start: 20 * ms, End: 22 * ms, Writer: w}).Outcome)
}

// What several contexts of uvloop have written in one round is of a context that is not known: no two of them are the same.
func TestContextsUnknown(t *testing.T) {
	s, _ := newSolver()
	story{s}.served(100, 10, 30, 10, 0)
	require.Equal(t, NoEvidence, decide(s, Call{ID: 1, Start: 20 * ms, End: 22 * ms, Writer: pyContext(0)}).Outcome)
}

// What is remembered is bounded, and forgotten in time.
func TestContextsForget(t *testing.T) {
	x := newContexts()
	for i := range uint64(3 * maxContexts) {
		x.told(&event.Origin{ContextKind: event.Python, Tgid: 1, Ts: i, Child: i + 2, Parent: i + 1})
	}
	require.LessOrEqual(t, len(x.origins.now), maxContexts)
	require.LessOrEqual(t, len(x.origins.old), maxContexts)
	for i := range uint64(3) {
		x.forget((i + 1) * uint64(keepFor))
	}
	require.Empty(t, x.origins.now)
	require.Empty(t, x.origins.old)
	require.Empty(t, x.known.now)
}

// A quick client makes many requests on one connection while the calls of the first ones still wait for
// evidence.
func TestContextsOfAQuickConnection(t *testing.T) {
	s, _ := newSolver()
	const requests = 10 * fewStints
	linked := 0
	for i := range uint64(requests) {
		at := (100 + i) * ms
		s.Began(i+1, i+1, at, pyContext(10))
		s.Hold(Call{ID: i + 1, Start: at + 1, End: at + 2, Writer: pyContext(50), EndContext: 50}, func(a Answer) {
			if a.Outcome == Linked && a.Request == i+1 {
				linked++
			}
		})
		s.Ended(i+1, i+1, at+3, pyContext(50))
	}
	s.Flush()
	require.Equal(t, requests, linked)
}

// What a context did is bounded by time, and by number where that does not help.
func TestStintsAreBounded(t *testing.T) {
	reader := Writer{Tgid: 1}
	for name, tc := range map[string]struct {
		decided func(now uint64) uint64
		most    int
	}{
		"all are decided":  {func(now uint64) uint64 { return now }, fewStints},
		"the last are not": {func(now uint64) uint64 { return now - min(now, 100) }, 200},
		"none is":          {func(uint64) uint64 { return 0 }, maxStints},
	} {
		t.Run(name, func(t *testing.T) {
			var v server
			most := 0
			for i := range uint64(3 * maxStints) {
				v.serve(stint{i + 1, 2*i + 10, 2*i + 11}, reader, tc.decided(2*i+10))
				most = max(most, len(v.stints))
				require.False(t, v.shared)
			}
			require.LessOrEqual(t, most, tc.most)
			require.True(t, v.more)
			_, first, ok := v.at(v.stints[0].start)
			require.True(t, ok)
			require.False(t, first)
			for i := range uint64(3 * maxCalledSince) {
				v.called(2*3*maxStints + 100 + i)
				v.called(5)
			}
			require.Len(t, v.calls, maxCalledSince)
		})
	}
}

// A context that has made a call since it answered went on with something else, however many calls its next
// request makes, and whoever asks for what meanwhile.
func TestCalledBetweenRequests(t *testing.T) {
	var v server
	v.serve(stint{1, 10, 20}, Writer{}, 0)
	for range maxCalledSince {
		v.called(49)
	}
	v.called(30)
	for range 2 {
		for i := range uint64(2 * maxCalledSince) {
			v.called(50 + i)
		}
	}
	require.True(t, v.calledBetween(20, 40))
	v.serve(stint{2, 40, 49}, Writer{}, 0)
	require.False(t, v.calledBetween(20, 40))
	require.True(t, v.calledBetween(49, 60))
}

// Tasks of tokio: what was made for a request counts once it has ended, and who answers has read the request.
func TestTasksOfTokio(t *testing.T) {
	task := func(id uint64) Writer { return Writer{Tgid: 1, Tid: 7, Context: id, Kind: event.Tokio} }
	own := Answer{Outcome: Linked, Request: 100, Hints: []string{"context"}, Confidence: 0.999}
	child := Answer{Outcome: Linked, Request: 100, Hints: []string{"context_copied"}, Confidence: 0.99}
	none := Answer{Outcome: NoEvidence}
	type told struct {
		*Solver
		made   func(child, parent, at uint64)
		ended  func(id, at uint64)
		served func(request, from, to, reader, answerer uint64)
		called func(id, at, by uint64)
	}
	const parent, middle, connection = 20, 40, 60
	// The call that is asked for is made by task 50 at 20 ms.
	for name, tc := range map[string]struct {
		tell func(told)
		want Answer
	}{
		"it answers":               {func(s told) { s.served(100, 10, 30, 50, 50) }, own},
		"another read the request": {func(s told) { s.served(100, 10, 30, connection, 50) }, none},
		"it goes on between two requests": {func(s told) {
			for i := range uint64(9) {
				s.served(90+i, 2*i, 2*i, 50, 50)
				s.called(10+i, 2*i+1, 50)
			}
			s.served(100, 19, 30, 50, 50)
		}, own},
		"of many requests of a connection": {func(s told) {
			s.served(100, 19, 30, 50, 50)
			for i := range uint64(500) {
				s.served(200+i, 31+i, 31+i, 50, 50)
			}
		}, own},
		"made by it, and has ended": {func(s told) {
			s.made(50, parent, 15)
			s.ended(50, 25)
			s.served(100, 10, 30, parent, parent)
		}, child},
		"made by it, and lives on, as a connection does": {func(s told) {
			s.made(50, parent, 15)
			s.served(100, 10, 30, parent, parent)
		}, none},
		"made by one that lives on": {func(s told) {
			s.made(middle, parent, 12)
			s.made(50, middle, 15)
			s.ended(50, 25)
			s.served(100, 10, 30, parent, parent)
		}, none},
		"made by one that was made by it": {func(s told) {
			s.made(middle, parent, 12)
			s.made(50, middle, 15)
			s.ended(50, 25)
			s.ended(middle, 26)
			s.served(100, 10, 30, parent, parent)
		}, child},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			origin := func(what uint8, child, parent, at uint64) {
				s.Origin(&event.Origin{What: what, ContextKind: event.Tokio, Tgid: 1, Ts: at * ms, Child: child, Parent: parent})
			}
			tc.tell(told{
				s, func(child, parent, at uint64) { origin(event.Made, child, parent, at) },
				func(id, at uint64) { origin(event.Ended, id, 0, at) },
				func(request, from, to, reader, answerer uint64) {
					s.Began(request, request, from*ms, task(reader))
					s.Ended(request, request, to*ms, task(answerer))
				},
				func(id, at, by uint64) {
					s.Hold(Call{ID: id, Start: at * ms, End: (at + 1) * ms, Writer: task(by), EndContext: by}, func(Answer) {})
				},
			})
			got := decide(s, Call{ID: 1, Start: 20 * ms, End: 22 * ms, Writer: task(50), EndContext: 50})
			got.Class = 0
			require.Equal(t, tc.want, got)
		})
	}
}

// The thread that polls a task may poll any other next.
func TestThreadsSayNothingOfTasks(t *testing.T) {
	for _, kind := range []uint8{sameThread, answer} {
		s, _ := newSolver()
		w := Writer{Tgid: 1, Tid: 7, Context: 50, Kind: event.Tokio}
		s.Began(100, 100, 10*ms, w)
		s.Evidence(&event.Evidence{What: kind, Call: 1, Epoch: 100, Uses: 1, BaseUses: 1, Tgid: 1, Ts: 20 * ms})
		require.Equal(t, Untrusted, decide(s, Call{ID: 1, Start: 20 * ms, End: 22 * ms, Writer: w, EndContext: 50}).Outcome)
	}
}
