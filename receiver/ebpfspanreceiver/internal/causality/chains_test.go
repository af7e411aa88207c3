package causality

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// chain is calls 1, 2, … one after the other, each with evidence of kind next to the one before.
func chain(s *Solver, n, segment uint64, evidence ...event.Evidence) map[uint64]Answer {
	out := map[uint64]Answer{}
	for id := uint64(1); id <= n; id++ {
		if id > 1 {
			s.Evidence(&event.Evidence{What: next, Call: id, Epoch: id - 1, Segment: segment, Uses: 1, Tgid: 1, Ts: id * 10 * ms})
		}
	}
	for i := range evidence {
		evidence[i].Tgid = 1
		s.Evidence(&evidence[i])
	}
	for id := uint64(1); id <= n; id++ {
		s.Hold(Call{ID: id, Writer: reader, EndTid: 9, Start: id*10*ms + 1, End: id*10*ms + 2*ms, Operation: id}, func(a Answer) { out[id] = a })
	}
	s.Flush()
	return out
}

func prove(s *Solver, of sort, n int) {
	for range n {
		s.processes.of(1).tried(of, true)
	}
}

func TestChainOfALoop(t *testing.T) {
	first := event.Evidence{What: loop, Call: 1, Epoch: 100, Segment: 1, Uses: 1}
	last := event.Evidence{What: answer, Call: 3, Epoch: 100, Segment: 1, Uses: 1, BaseUses: 1}
	unsure := last
	unsure.Uses = 2
	elsewhere := last
	elsewhere.Epoch = 200
	manyRequests := first
	manyRequests.Uses = 2
	for name, tc := range map[string]struct {
		proven   sort
		evidence []event.Evidence
		linked   []uint64
	}{
		"closed":                         {sureChain, []event.Evidence{first, last}, []uint64{1, 2, 3}},
		"closed, not proven":             {0, []event.Evidence{first, last}, []uint64{3}},
		"closed, proven for others":      {unsureChain, []event.Evidence{first, last}, []uint64{3}},
		"unsure end":                     {unsureChain, []event.Evidence{first, unsure}, []uint64{1, 2, 3}},
		"unsure end, not proven":         {sureChain, []event.Evidence{first, unsure}, nil},
		"ends differ":                    {sureChain, []event.Evidence{first, elsewhere}, []uint64{3}},
		"no beginning":                   {sureChain, []event.Evidence{last}, []uint64{3}},
		"a beginning of one of several":  {sureChain, []event.Evidence{manyRequests, last}, []uint64{3}},
		"no end":                         {sureChain, []event.Evidence{first}, nil},
		"led to answers of two requests": {sureChain, []event.Evidence{first, last, {What: answer, Call: 2, Epoch: 200, Segment: 1, Uses: 1, BaseUses: 1}}, []uint64{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(100, 100, 5*ms, reader)
			s.Began(200, 200, 5*ms, reader)
			if tc.proven != 0 {
				prove(s, tc.proven, 400)
			}
			var linked []uint64
			got := chain(s, 3, 1, tc.evidence...)
			for id := uint64(1); id <= 3; id++ {
				if got[id].Outcome == Linked {
					linked = append(linked, id)
				}
			}
			require.Equal(t, tc.linked, linked)
			require.Equal(t, name == "ends differ" || name == "led to answers of two requests", s.processes.of(1).counts.Contradicted[next].Load() > 0)
			if len(linked) == 3 {
				require.Equal(t, Probable, got[2].Class)
				require.Contains(t, got[2].Hints, "next")
				require.EqualValues(t, 100, got[2].Request)
			}
		})
	}
}

// Two calls after the same response: what they lead to must be the same.
func TestChainThatForks(t *testing.T) {
	for _, other := range []uint64{100, 200} {
		s, _ := newSolver()
		prove(s, sureChain, 400)
		s.Began(100, 100, 5*ms, reader)
		s.Began(200, 200, 5*ms, reader)
		s.Evidence(&event.Evidence{What: loop, Call: 1, Epoch: 100, Segment: 1, Uses: 1, Tgid: 1})
		got := map[uint64]Answer{}
		for id, epoch := range map[uint64]uint64{2: 100, 3: other} {
			s.Evidence(&event.Evidence{What: next, Call: id, Epoch: 1, Segment: 1, Uses: 1, Tgid: 1})
			s.Evidence(&event.Evidence{What: answer, Call: id, Epoch: epoch, Segment: 1, Uses: 1, BaseUses: 1, Tgid: 1})
		}
		for id := uint64(1); id <= 3; id++ {
			s.Hold(Call{ID: id, Writer: reader, Start: id * 10 * ms, End: id*10*ms + ms}, func(a Answer) { got[id] = a })
		}
		s.Flush()
		require.Equal(t, other == 100, got[1].Outcome == Linked)
		require.EqualValues(t, 100, got[2].Request)
		require.EqualValues(t, other, got[3].Request)
	}
}

func TestClosureIsWhatProvesChains(t *testing.T) {
	for _, to := range []uint64{100, 200} {
		s, _ := newSolver()
		s.Began(100, 100, 5*ms, reader)
		s.Began(200, 200, 5*ms, reader)
		chain(s, 3, 1,
			event.Evidence{What: loop, Call: 1, Epoch: 100, Segment: 1, Uses: 1},
			event.Evidence{What: answer, Call: 3, Epoch: to, Segment: 1, Uses: 1, BaseUses: 1})
		want := trial{right: 1, all: 1}
		if to != 100 {
			want.right = 0
		}
		require.Equal(t, want, s.processes.of(1).trials[sureChain])
	}
}

// A worker's calls are told by the sequence that they always make, unless it is made of shorter ones.
func TestSegmentOfAThread(t *testing.T) {
	run := func(s *Solver, base uint64, operations ...uint64) []Outcome {
		s.Began(base, base, base*ms, reader)
		out := make([]Outcome, len(operations))
		for i, op := range operations {
			id := base + uint64(i)
			if i > 0 {
				s.Evidence(&event.Evidence{What: next, Call: id, Epoch: id - 1, Uses: 1, Tgid: 1})
			}
			if i == len(operations)-1 {
				s.Evidence(&event.Evidence{What: wakeBack, Call: id, Epoch: base, Tgid: 1})
			}
			s.Hold(Call{ID: id, Writer: reader, Start: base*ms + 1, End: base*ms + 2, Operation: op}, func(a Answer) { out[i] = a.Outcome })
		}
		s.Flush()
		s.Ended(base, base, base*ms+ms, reader)
		return out
	}
	all := []Outcome{Linked, Linked, Linked}
	last := []Outcome{Untrusted, Untrusted, Linked}
	t.Run("seen often", func(t *testing.T) {
		s, _ := newSolver()
		for i := range uint64(10) {
			got := run(s, 100+10*i, 1, 2, 3)
			if i == 0 {
				require.Equal(t, NoEvidence, got[0], "not seen yet")
				require.Equal(t, Linked, got[2])
			}
			if i > 5 {
				require.Equal(t, all, got)
			}
		}
		require.Equal(t, Untrusted, run(s, 900, 1, 3, 2)[1], "another sequence")
	})
	t.Run("made of shorter ones", func(t *testing.T) {
		s, _ := newSolver()
		for i := range uint64(10) {
			run(s, 100+20*i, 1)
			run(s, 105+20*i, 2, 3)
			got := run(s, 110+20*i, 1, 2, 3)
			require.Equal(t, last[1:], got[1:])
			require.NotEqual(t, Linked, got[0])
		}
	})
	t.Run("a part was lost", func(t *testing.T) {
		s, _ := newSolver()
		for i := range uint64(10) {
			run(s, 100+10*i, 1, 2, 3)
		}
		s.Evidence(&event.Evidence{What: next, Call: 500, Epoch: 499, Uses: 1, Tgid: 1})
		got := run(s, 500, 1, 2, 3)
		require.NotEqual(t, Linked, got[1], "what came before is not known")
	})
	t.Run("in a loop", func(t *testing.T) {
		s, _ := newSolver()
		for i := range uint64(10) {
			run(s, 100+10*i, 1, 2, 3)
		}
		s.Began(700, 700, 5*ms, reader)
		got := chain(s, 3, 1, event.Evidence{What: answer, Call: 3, Epoch: 700, Segment: 1, Uses: 1, BaseUses: 1})
		require.NotEqual(t, Linked, got[2].Outcome)
	})
}

// A call without evidence waits for the request of the call that came next.
func TestCallWaitsForItsChain(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 5*ms, reader)
	answered := map[uint64]bool{}
	for id := uint64(1); id <= 2; id++ {
		s.Hold(Call{ID: id, Writer: reader, Start: id * 10 * ms, End: id*10*ms + ms}, func(Answer) { answered[id] = true })
	}
	s.Evidence(&event.Evidence{What: next, Call: 2, Epoch: 1, Uses: 1, Tgid: 1})
	s.Evidence(&event.Evidence{What: wakeBack, Call: 2, Epoch: 100, Tgid: 1})
	s.Tick(400 * ms)
	require.Empty(t, answered, "the request is open")
	s.Ended(100, 100, 500*ms, reader)
	s.Tick(650 * ms)
	require.Empty(t, answered, "evidence may still come")
	s.Tick(750 * ms)
	require.Len(t, answered, 2, "not for as long as a call may wait")
}

// One open request of several that are named keeps a call waiting.
func TestCallWaitsForEveryRequest(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 5*ms, reader)
	s.Began(200, 200, 5*ms, reader)
	s.Ended(100, 100, 20*ms, reader)
	s.Evidence(evidence(channel, 1, 100))
	s.Evidence(evidence(channel, 1, 200))
	answered := false
	s.Hold(Call{ID: 1, Writer: reader, Start: 10 * ms, End: 11 * ms}, func(Answer) { answered = true })
	s.Tick(uint64(time.Second))
	require.False(t, answered)
}

func TestCalibration(t *testing.T) {
	p := &process{counts: (&Counts{}).service("")}
	of := sort(goParent << 1)
	n := 0
	for !p.trusted(of) {
		p.tried(of, true)
		n++
	}
	require.Equal(t, 189, n, "the Wilson bound of n right ones is n/(n+z²)")
	for range 10 {
		p.tried(of, false)
	}
	require.False(t, p.trusted(of))

	inexact, exactly := sort(channel<<1), sort(channelBack<<1)
	require.True(t, p.trusted(inexact))
	for i := range 20 {
		p.tried(inexact, i > 2)
		p.tried(exactly, i > 2)
	}
	require.False(t, p.trusted(inexact), "contradicted too often")
	require.True(t, p.trusted(exactly), "what contradicts it is wrong")
	require.False(t, p.trusted(sort(loop<<1)), "never alone")
	for range 3 * maxTrials {
		p.tried(of, true)
	}
	require.True(t, p.trusted(of), "what was long ago counts less and less")
	require.LessOrEqual(t, p.trials[of].all, uint32(maxTrials))
}

// Guesses are compared with stronger evidence that saw the other side, on the same call.
func TestCalibrationNeedsIndependentEvidence(t *testing.T) {
	for name, tc := range map[string]struct {
		guess, known uint8
		tried        uint32
	}{
		"there and back": {wake, channelBack, 1},
		"both there":     {wake, item, 0},
		"both ways":      {wake, sameThread, 1},
		"nothing else":   {wake, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(100, 100, 5*ms, reader)
			guess := evidence(tc.guess, 1, 100)
			guess.Tgid = 1
			s.Evidence(guess)
			if tc.known != 0 {
				s.Evidence(evidence(tc.known, 1, 100))
			}
			decide(s, Call{ID: 1, Start: 10 * ms, End: 11 * ms})
			require.Equal(t, tc.tried, s.processes.of(1).trials[tc.guess<<1].all)
		})
	}
}

func TestLate(t *testing.T) {
	sec := uint64(time.Second)
	for name, tc := range map[string]struct {
		kinds   []uint8
		start   uint64
		request uint64
	}{
		"created by it":        {[]uint8{goCreated}, 20 * ms, 100},
		"long ago":             {[]uint8{goCreated}, 15*ms + 31*sec, 0},
		"no descent":           {[]uint8{sameThread}, 20 * ms, 0},
		"two requests":         {[]uint8{goCreated, item}, 20 * ms, 0},
		"and another, in time": {[]uint8{goCreated, 0}, 20 * ms, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			for i := range uint64(2) {
				s.Began(100+i, 100+i, 5*ms, reader)
				s.Ended(100+i, 100+i, 15*ms, reader)
			}
			s.Began(300, 300, 5*ms, reader)
			for i, k := range tc.kinds {
				if k == 0 {
					s.Evidence(evidence(channelBack, 1, 300))
					continue
				}
				s.Evidence(evidence(k, 1, 100+uint64(i)))
			}
			got := decide(s, Call{ID: 1, Start: tc.start, End: tc.start + ms})
			if got.Outcome == Late {
				require.Equal(t, tc.request, got.Request)
			} else {
				require.EqualValues(t, 300, got.Request)
			}
		})
	}
}

// guesser is a solver that has seen how long calls take, of three hundred that were certain, up to 30 s.
func guesser(posterior float64) *Solver {
	o := modelOptions()
	o.Posterior = posterior
	s := NewSolver(o, &Counts{})
	for i := uint64(1); i <= 300; i++ {
		at := i * 100 * ms
		s.Began(i, i, at, reader)
		s.Evidence(&event.Evidence{What: channelBack, Call: i, Epoch: i, Tgid: 1})
		s.Hold(Call{ID: i, Writer: reader, Start: at + 2*ms, End: at + 5*ms}, func(Answer) {})
		s.Ended(i, i, at+8*ms, reader)
		s.Flush()
	}
	return s
}

func TestStatistical(t *testing.T) {
	at := 40_000 * ms
	try := func(s *Solver, more ...*event.Evidence) Answer {
		s.Began(1000, 1000, at, reader)       // fits
		s.Began(1001, 1001, at-60*ms, reader) // does not
		s.Ended(1000, 1000, at+8*ms, reader)
		s.Ended(1001, 1001, at+60*ms, reader)
		for _, e := range more {
			s.Evidence(e)
		}
		return decide(s, Call{ID: 1000, Start: at + 2*ms, End: at + 5*ms})
	}
	require.Equal(t, NoEvidence, try(guesser(0)).Outcome, "off by default")
	got := try(guesser(0.95))
	require.Equal(t, Linked, got.Outcome)
	require.EqualValues(t, 1000, got.Request)
	require.Equal(t, Statistical, got.Class)
	require.GreaterOrEqual(t, got.Confidence, 0.95)

	s := guesser(0.95)
	s.Began(1002, 1002, at+1, reader)
	s.Ended(1002, 1002, at+8*ms, reader)
	require.Equal(t, NoEvidence, try(s).Outcome, "two that fit")
	require.Equal(t, Conflict, try(guesser(0.95), evidence(channelBack, 1000, 1000), evidence(channelBack, 1000, 1001)).Outcome,
		"never where evidence disagrees")
	require.EqualValues(t, 1001, try(guesser(0.95), evidence(channelBack, 1000, 1001)).Request, "never overrules")
	// A call of nobody comes at any moment while the only request is served: hardly ever at that one.
	hits := 0
	for i := uint64(0); i < 100; i++ {
		s := guesser(0.95)
		s.Began(1000, 1000, at, reader)
		s.Ended(1000, 1000, at+103*ms, reader)
		if decide(s, Call{ID: 1000, Start: at + i*ms, End: at + (i+3)*ms}).Outcome == Linked {
			hits++
		}
	}
	require.LessOrEqual(t, hits, 5)
	few := NewSolver(func() Options { o := modelOptions(); o.Posterior = 0.95; return o }(), &Counts{})
	require.Equal(t, NoEvidence, try(few).Outcome, "nothing learned")
}

// Evidence of calls whose protocol is not parsed is forgotten in two generations, however much there is.
func TestLedgerIsBounded(t *testing.T) {
	s, c := newSolver()
	for i := uint64(1); i <= 3*maxCalls; i++ {
		s.Evidence(&event.Evidence{What: channel, Call: i, Epoch: 1, Ts: 1, Tgid: 1})
	}
	require.LessOrEqual(t, len(s.ledger.now)+len(s.ledger.old), 2*maxCalls+2)
	require.Positive(t, c.Forgotten.Load())
}
