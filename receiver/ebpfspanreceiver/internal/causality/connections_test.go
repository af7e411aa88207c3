package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// dialed is what is told of a call to whose writer a connection of a type came.
func dialed(call, request, kind uint64) []*event.Evidence {
	unsure, e := evidence(channel, call, request), evidence(channelDialed, call, request)
	unsure.Uses, e.Uses, e.Base = 255, 1, kind
	unsure.Tgid, e.Tgid = reader.Tgid, reader.Tgid
	return []*event.Evidence{unsure, e}
}

// comeBack lets n calls come back to request 100: those which the type says are its, or another's.
func comeBack(s *Solver, kind uint64, right bool, n int) {
	says := uint64(100)
	if !right {
		says = 200
	}
	for range n {
		s.Evidence(evidence(channelBack, 1, 100))
		for _, e := range dialed(1, says, kind) {
			s.Evidence(e)
		}
		decide(s, Call{ID: 1, Start: 20 * ms, End: 30 * ms, Writer: Writer{Context: 5, Kind: event.Goroutine}, EndContext: 5})
		s.ledger.find(1).edges = nil
	}
}

// The type of a connection links calls where those which came back have shown that it is one.
func TestDialedConnections(t *testing.T) {
	const enough, tooFew = 300, 100
	linked := Answer{Outcome: Linked, Request: 100, Hints: []string{"channel_dialed"}}
	for _, tc := range []struct {
		name  string
		learn func(s *Solver)
		told  []*event.Evidence // of the call besides
		uses  uint8
		want  Answer
	}{
		{"nothing is known", func(*Solver) {}, nil, 1, Answer{Outcome: Untrusted}},
		{"too little is known", func(s *Solver) { comeBack(s, 7, true, tooFew) }, nil, 1, Answer{Outcome: Untrusted}},
		{"it has always come back", func(s *Solver) { comeBack(s, 7, true, enough) }, nil, 1, linked},
		{"another type has", func(s *Solver) { comeBack(s, 8, true, enough) }, nil, 1, Answer{Outcome: Untrusted}},
		{"this one has, another one has not", func(s *Solver) {
			comeBack(s, 7, true, 100*enough)
			comeBack(s, 8, false, 10)
		}, nil, 1, linked},
		{"it came back to another now and then", func(s *Solver) {
			comeBack(s, 8, true, 100*enough)
			comeBack(s, 7, true, enough)
			comeBack(s, 7, false, 10)
		}, nil, 1, Answer{Outcome: Untrusted}},
		{"many types came before it", func(s *Solver) {
			for kind := range uint64(maxConnections) {
				comeBack(s, 1000+kind, true, 1)
			}
			comeBack(s, 7, true, enough)
		}, nil, 1, Answer{Outcome: Untrusted}},
		{"nearly so many", func(s *Solver) {
			for kind := range uint64(maxConnections - 1) {
				comeBack(s, 1000+kind, true, 1)
			}
			comeBack(s, 7, true, enough)
		}, nil, 1, linked},
		{"the second call of the task", func(s *Solver) { comeBack(s, 7, true, enough) }, nil, 2, Answer{Outcome: Untrusted}},
		{
			"the call comes back to another", func(s *Solver) { comeBack(s, 7, true, enough) },
			[]*event.Evidence{evidence(channelBack, 2, 200)},
			1,
			Answer{Outcome: Linked, Request: 200, Hints: []string{"channel_back"}, Overruled: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(100, 100, 10*ms, reader)
			s.Began(200, 200, 10*ms, reader)
			tc.learn(s)
			for _, e := range append(dialed(2, 100, 7), tc.told...) {
				if e.What == channelDialed {
					e.Uses = tc.uses
				}
				s.Evidence(e)
			}
			got := decide(s, Call{
				ID: 2, Start: 20 * ms, End: 30 * ms, Writer: Writer{Context: 5, Kind: event.Goroutine}, EndContext: 5,
			})
			got.Class, got.Confidence = tc.want.Class, tc.want.Confidence // as its trials are
			require.Equal(t, tc.want, got)
		})
	}
}

// A call that only the type of its connection would link waits for what is being learned about that.
func TestHoldWhileLearningOfConnections(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Began(200, 200, 10*ms, reader)
	comeBack(s, 8, true, 300) // the kind has proven itself
	var got []Answer
	for id, told := range map[uint64][]*event.Evidence{2: dialed(2, 100, 7), 3: dialed(3, 100, 7)[:1]} {
		for _, e := range told {
			s.Evidence(e)
		}
		c := Call{ID: id, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Context: 5, Kind: event.Goroutine}, EndContext: 5}
		s.Hold(c, func(a Answer) { got = append(got, a) })
	}
	s.Ended(100, 100, 40*ms, reader)
	s.Tick(1000 * ms)
	require.Equal(t, []Answer{{Outcome: Untrusted}}, got, "the one with such a connection waits")
	for range 300 {
		s.processes.of(1).dialed.of(7).add(true)
	}
	s.Tick(1001 * ms)
	require.Len(t, got, 2)
	require.Equal(t, Linked, got[1].Outcome)
}
