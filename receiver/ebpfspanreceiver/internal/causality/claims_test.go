package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// claimed tells s of a request of a loop with calls, numbered from its turn on, in the order in which they
// were written, and that the response of one of them (0: none that was seen) led to the answer, when so many
// had arrived and one more may have been put off.
func claimed(s *Solver, turn uint64, calls, answers, arrived int) {
	at := turn * ms
	s.Began(turn, turn, at, reader)
	for i := range calls {
		s.Evidence(&event.Evidence{What: loop, Call: turn + uint64(i) + 1, Epoch: turn, Segment: 1, Uses: 1, Tgid: 1, Ts: at})
	}
	if answers > 0 {
		s.Evidence(&event.Evidence{
			What: answer, Call: turn + uint64(answers), Epoch: turn, Segment: 1, Uses: uint8(arrived) + 1, BaseUses: 1,
			Base: uint64(arrived), Tgid: 1, Ts: at,
		})
	}
	s.Ended(turn, turn, at+5*ms, reader)
}

// A call that a timer makes in the round in which a request was read looks like one of the request's.
func TestClaims(t *testing.T) {
	type requests struct{ n, calls, answers, arrived int }
	one := requests{300, 1, 1, 1}
	three := requests{300, 3, 3, 1}
	for name, tc := range map[string]struct {
		before []requests
		last   requests // n: 1
		want   Outcome  // of the call that led to the answer
	}{
		"the first request":           {nil, requests{1, 1, 1, 1}, Linked},
		"one, as always":              {[]requests{one}, requests{1, 1, 1, 1}, Linked},
		"one, among others that came": {[]requests{one}, requests{1, 1, 1, 2}, Linked},
		// Calls that wait for a connection are written when something else was read: what is written in the
		// round of their request is not theirs.
		"one, where many have none":                {[]requests{one, {30, 0, 1, 1}}, requests{1, 1, 1, 2}, Untrusted},
		"one alone, where many have none":          {[]requests{one, {30, 0, 1, 1}}, requests{1, 1, 1, 1}, Linked},
		"one, where many need none":                {[]requests{{30, 0, 0, 0}, one}, requests{1, 1, 1, 2}, Linked},
		"a second one":                             {[]requests{one}, requests{1, 2, 2, 1}, Untrusted},
		"a second one, and the first came back":    {[]requests{one}, requests{1, 2, 1, 1}, Linked},
		"a second one, and both came back":         {[]requests{one}, requests{1, 2, 1, 2}, Untrusted},
		"a second one, where the first led to all": {[]requests{one, {300, 2, 1, 1}}, requests{1, 2, 2, 1}, Untrusted},
		"where timers come first, as it seems":     {[]requests{one, {2, 2, 2, 2}}, requests{1, 2, 1, 1}, Linked},
		"where timers come first":                  {[]requests{one, {2, 2, 2, 1}}, requests{1, 2, 1, 1}, Untrusted},
		"three, as always":                         {[]requests{three}, requests{1, 3, 3, 2}, Linked},
		"a fourth one":                             {[]requests{three}, requests{1, 4, 4, 1}, Untrusted},
		"three, where some have two":               {[]requests{three, {2, 2, 2, 1}}, requests{1, 3, 3, 1}, Untrusted},
		"three, the first time":                    {nil, requests{1, 3, 3, 1}, Untrusted},
		"more than can be told apart":              {nil, requests{1, maxClaims, maxClaims, 1}, Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			turn := uint64(0)
			for _, r := range append(tc.before, tc.last) {
				for range r.n {
					turn += 100
					claimed(s, turn, r.calls, r.answers, r.arrived)
				}
			}
			call := turn + uint64(tc.last.answers)
			got := decide(s, Call{ID: call, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: turn*ms + ms, End: turn*ms + 2*ms})
			require.Equal(t, tc.want, got.Outcome)
		})
	}
}

// Where several responses had come before the answer, the first call of a request is certain if the others' came
// only afterwards.
func TestOnlyBack(t *testing.T) {
	one, two := 300, 5 // requests with one call, and those with two that show the order
	for name, tc := range map[string]struct {
		one, two, none int
		calls, answers int      // of the last request, which ends 5 ms after it began
		ends           []uint64 // of its calls after that, in milliseconds from its beginning; 0: not known
		pipelined      bool
		want           Outcome
	}{
		"the other comes later":                     {one, two, 0, 2, 1, []uint64{2, 6}, false, Linked},
		"two others do":                             {one, two, 0, 3, 1, []uint64{2, 6, 200}, false, Linked},
		"one of two others does":                    {one, two, 0, 3, 1, []uint64{2, 6, 4}, false, Untrusted},
		"more than are remembered":                  {one, two, 0, 4, 1, []uint64{2, 6, 6, 6}, false, Untrusted},
		"the other was there":                       {one, two, 0, 2, 1, []uint64{2, 5}, false, Untrusted},
		"the other is not known":                    {one, two, 0, 2, 1, []uint64{2, 0}, false, Untrusted},
		"the other ends later than is waited for":   {one, two, 0, 2, 1, []uint64{2, 206}, false, Untrusted},
		"a timer answers, and the first comes late": {one, two, 0, 2, 2, []uint64{6, 2}, false, Untrusted},
		"the order was not seen":                    {one, 0, 0, 2, 1, []uint64{2, 6}, false, Untrusted},
		"some requests have none in their round":    {one, two, 30, 2, 1, []uint64{2, 6}, false, Untrusted},
		"several requests came together":            {one, two, 0, 2, 1, []uint64{2, 6}, true, Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			turn := uint64(0)
			add := func(n, calls, answers, arrived int) {
				for range n {
					turn += 100
					claimed(s, turn, calls, answers, arrived)
				}
			}
			add(tc.one, 1, 1, 1)
			add(tc.two, 2, 1, 1)
			add(tc.none, 0, 1, 1)
			add(1, tc.calls, tc.answers, 2)
			if tc.pipelined {
				s.Began(turn, turn+50, turn*ms+7*ms, reader)
			}
			got := map[int]Answer{}
			for i, end := range tc.ends {
				if end == 0 {
					continue
				}
				s.Hold(Call{
					ID: turn + uint64(i) + 1, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: turn*ms + ms, End: (turn + end) * ms,
				}, func(a Answer) { got[i+1] = a })
			}
			s.Flush()
			require.Equal(t, tc.want, got[tc.answers].Outcome)
			for i := range tc.ends {
				if other, over := got[i+1]; over && i+1 != tc.answers {
					require.NotEqual(t, Linked, other.Outcome)
				}
			}
		})
	}
}

// The response of a thread says nothing of loops, and one claim is not one too many.
func TestNoClaims(t *testing.T) {
	s, _ := newSolver()
	s.Evidence(&event.Evidence{What: answer, Call: 1, Epoch: 100, Uses: 1, BaseUses: 1, Tgid: 1})
	_, known := s.claims.get(100)
	require.False(t, known)
	var f fans
	f.saw(0)
	f.answered(1, 1)
	require.Zero(t, f.first)
}

func TestClaimsAreBounded(t *testing.T) {
	s, _ := newSolver()
	for turn := range uint64(5 * maxClaimed) {
		s.claims.claimed(turn, 1)
	}
	require.LessOrEqual(t, len(s.claims.now)+len(s.claims.old), 2*maxClaimed)
	f := fans{}
	for range 3 * fansCounted {
		f.saw(2)
		f.answered(1, 3)
		f.answered(2, 3)
	}
	require.LessOrEqual(t, f.seen[2], uint32(fansCounted))
	require.LessOrEqual(t, f.first+f.later, uint32(fansCounted)+1)
	require.False(t, f.inOrder())
}
