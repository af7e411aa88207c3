package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// A call whose chain is closed waits for what shows that such chains are right, or are not.
func TestHoldWhileLearning(t *testing.T) {
	byLoop := func(s *Solver) map[uint64]Answer {
		out := map[uint64]Answer{}
		for _, e := range []event.Evidence{
			{What: loop, Call: 1, Epoch: 100, Segment: 1, Uses: 1},
			{What: next, Call: 2, Epoch: 1, Segment: 1, Uses: 1},
			{What: answer, Call: 2, Epoch: 100, Segment: 1, Uses: 1, BaseUses: 1},
		} {
			e.Tgid = 1
			s.Evidence(&e)
		}
		for id := uint64(1); id <= 2; id++ {
			s.Hold(Call{ID: id, Writer: reader, Start: id*10*ms + 1, End: id*10*ms + 2*ms}, func(a Answer) { out[id] = a })
		}
		return out
	}
	byIDs := func(s *Solver) map[uint64]Answer {
		out := map[uint64]Answer{}
		request := ids{begin: 10, counter: 11}
		feed(s, []any{
			made(event.AsyncRead, 1, 100, 1, request), over(event.AsyncRead, 1, 100, request),
			made(callOf, 2, 1, 2, ids{begin: 11, counter: 12}), made(callOf, 3, 2, 3, ids{begin: 12, counter: 13}),
			&event.Evidence{What: next, Tgid: 1, Call: 3, Epoch: 2, Uses: 1}, answered(3, 100, 1),
		})
		for id := uint64(1); id <= 3; id++ {
			s.Hold(Call{ID: id, Writer: reader, Start: id*10*ms + 1, End: id*10*ms + 2*ms}, func(a Answer) { out[id] = a })
		}
		return out
	}
	learnChains := func(s *Solver, right bool, n int) {
		if n >= minChains {
			keep(s, 1, 0)
		}
		at, to := 1000.0, uint64(100)
		if !right {
			to = 200
		}
		for i := range n {
			asyncChain(s, &at, 1000+10*uint64(i), to)
		}
	}
	learnTrials := func(s *Solver, right bool, n int) {
		for range n {
			s.processes.of(1).tried(sureChain, right)
		}
	}
	const inTime, tooLate = 1000 * ms, 6000 * ms
	for _, tc := range []struct {
		name  string
		calls func(*Solver) map[uint64]Answer
		waits uint64 // the call that has no more than the chain
		last  uint64 // the one that completes it
		learn func(s *Solver, right bool, n int)
	}{
		{"a chain of a loop", byLoop, 1, 2, learnTrials},
		{"a chain of ids", byIDs, 2, 3, learnChains},
	} {
		for _, end := range []struct {
			name  string
			right bool
			n     int
			now   uint64
			want  []Outcome // one of them; nil: it waits
		}{
			{"nothing is learned", true, 0, inTime, nil},
			{"too little is learned", true, 5, inTime, nil},
			{"they are right", true, 400, inTime, []Outcome{Linked}},
			{"they are not", false, 400, inTime, []Outcome{NoEvidence, Untrusted}},
			{"too little is learned in time", true, 5, tooLate, []Outcome{NoEvidence, Untrusted}},
		} {
			t.Run(tc.name+"/"+end.name, func(t *testing.T) {
				s, _ := newSolver()
				s.Began(100, 100, 5*ms, reader)
				s.Began(200, 200, 5*ms, reader)
				got := tc.calls(s)
				s.Ended(100, 100, 100*ms, reader)
				s.Tick(500 * ms)
				require.NotContains(t, got, tc.waits)
				require.Equal(t, Linked, got[tc.last].Outcome, "the other teaches, and does not wait")
				tc.learn(s, end.right, end.n)
				s.Tick(end.now)
				a, over := got[tc.waits]
				require.Equal(t, end.want != nil, over)
				if over {
					require.Contains(t, end.want, a.Outcome)
				}
				s.Flush()
				require.Len(t, got, int(tc.last))
				require.Zero(t, s.Waiting())
			})
		}
	}
}

// A call is learned from once, however often it is looked at.
func TestLearnOnce(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 5*ms, reader)
	for _, e := range []event.Evidence{
		{What: loop, Call: 1, Epoch: 100, Segment: 1, Uses: 1},
		{What: next, Call: 2, Epoch: 1, Segment: 1, Uses: 1},
		{What: answer, Call: 2, Epoch: 100, Segment: 1, Uses: 2, BaseUses: 1},
	} {
		e.Tgid = 1
		s.Evidence(&e)
	}
	for id := uint64(1); id <= 2; id++ {
		s.Hold(Call{ID: id, Writer: reader, Start: id*10*ms + 1, End: id*10*ms + 2*ms}, func(Answer) {})
	}
	s.Ended(100, 100, 100*ms, reader)
	for now := 400 * ms; now < 4000*ms; now += 400 * ms {
		s.Tick(now)
	}
	require.Equal(t, 2, s.Waiting())
	require.EqualValues(t, 1, s.processes.of(1).trials[unsureChain].all)
	s.Flush()
	require.EqualValues(t, 1, s.processes.of(1).trials[unsureChain].all)
}
