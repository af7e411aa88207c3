package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/engine"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// troubled is traffic with everything that may go wrong on the way, small.
func troubled(name string) forest.Scenario {
	return with(name, "", func(s *forest.Scenario) {
		s.Traces, s.Retry, s.App, s.Skew, s.Proxies, s.Lasts = 40, .1, forest.SDK, 300*ms, .2, 3*time.Second
	})
}

// unseen is traffic of whose headers many are not captured.
func unseen(s *forest.Scenario) {
	missed(s)
	s.Words, s.Untraced, s.Gap = true, .3, 20*ms
}

func mustRun(t *testing.T, f *forest.Forest, o engine.Options) engine.Result {
	t.Helper()
	out, err := engine.Run(f, o)
	require.NoError(t, err)
	return out
}

// same compares what came out, span by span, and says which differs.
func same(t *testing.T, f *forest.Forest, want, got engine.Result, what string) {
	t.Helper()
	for _, s := range f.Spans {
		if want[s] != got[s] {
			t.Fatalf("%s: span %d (%x): %+v before, %+v now", what, s.N, s.ID, want[s], got[s])
		}
	}
}

// TestOrderOfArrivalChangesNothing, nor how spans are put into batches, as long as they come within half
// a window.
func TestOrderOfArrivalChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		sc := troubled("order")
		if seed >= 4 {
			unseen(&sc)
		}
		f := forest.Grow(sc, seed)
		want := mustRun(t, f, engine.Options{Seed: seed})
		rng := rand.New(rand.NewPCG(seed, 9))
		for turn := range 4 {
			// Any order within the 6 s that traffic takes.
			at := make([]int64, len(f.Delivery))
			for i := range f.Delivery {
				at[i] = f.Delivery[i].At
			}
			rng.Shuffle(len(f.Delivery), func(i, j int) { f.Delivery[i], f.Delivery[j] = f.Delivery[j], f.Delivery[i] })
			for i := range f.Delivery {
				f.Delivery[i].At = at[i]
			}
			got := mustRun(t, f, engine.Options{Seed: 100*seed + uint64(turn)})
			same(t, f, want, got, fmt.Sprintf("seed %d, turn %d", seed, turn))
		}
	}
}

// TestRestartsChangeNothing: a processor that is stopped or killed between any two batches, and started
// again on its directory, delivers what one that ran through does.
func TestRestartsChangeNothing(t *testing.T) {
	for n, tt := range []struct {
		name   string
		change func(*forest.Scenario)
	}{
		{"prompt", func(*forest.Scenario) {}},
		{"shuffled, lost and twice", func(s *forest.Scenario) { s.Arrival, s.Loss, s.Duplicate = forest.Shuffled, .05, .1 }},
		{"late children", func(s *forest.Scenario) { s.Arrival = forest.LateChildren }},
		{"parents late too", func(s *forest.Scenario) { s.Arrival, s.Duplicate = forest.LateAny, .1 }},
		{"each hop a window later", func(s *forest.Scenario) { s.Arrival = forest.ByHop }},
		{"headers that nobody saw", unseen},
		{"headers that nobody saw, any order, some late", func(s *forest.Scenario) {
			unseen(s)
			s.Arrival, s.Loss = forest.LateAny, .05
		}},
		{"open for a minute", func(s *forest.Scenario) {
			s.Lasts, s.PendingAfter, s.Traces = time.Minute, 10*time.Second, 20
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seed := uint64(n)
			sc := troubled(tt.name)
			tt.change(&sc)
			f := forest.Grow(sc, seed)
			want := mustRun(t, f, engine.Options{Seed: seed})
			for _, what := range []engine.Interruption{engine.Restart, engine.Crash} {
				rng := rand.New(rand.NewPCG(seed, 5))
				left := 6
				got := mustRun(t, f, engine.Options{Seed: seed, Directory: t.TempDir(), Interrupt: func(int) engine.Interruption {
					if left > 0 && rng.IntN(8) == 0 {
						left--
						return what
					}
					return engine.None
				}})
				require.Less(t, left, 6, "it was interrupted")
				same(t, f, want, got, fmt.Sprintf("interruption %d", what))
			}
		})
	}
}

// unsynced is enough for a process that ends.
func unsynced(c *engine.Config) { c.Storage.Sync = store.Never }

// TestARestartAtAnyMoment: whatever the moment, between any two batches or while spans leave. Requests of minutes that
// share x-request-ids with others fix ids and change parents while most of their spans still wait.
func TestARestartAtAnyMoment(t *testing.T) {
	sc := troubled("any moment")
	sc.Lasts, sc.PendingAfter, sc.Traces, sc.FanMax, sc.Window = 30*time.Second, 5*time.Second, 8, 2, 6*time.Second
	f := forest.Grow(sc, 0)
	want := mustRun(t, f, engine.Options{})
	moments := 2 // at least; the first run says how many
	// Every third: with every one it takes minutes on a busy machine, and it passed.
	for n := 2; n <= moments; n += 3 {
		got := mustRun(t, f, engine.Options{Directory: t.TempDir(), Steps: true, Change: unsynced, Interrupt: func(at int) engine.Interruption {
			moments = max(moments, at)
			switch {
			case at != n:
				return engine.None
			case n%2 == 0:
				return engine.Restart
			default:
				return engine.Crash
			}
		}})
		same(t, f, want, got, fmt.Sprintf("moment %d", n))
	}
	require.Greater(t, moments, 50)
}

// TestTanglesComeOutAsTrees: few values for every key, so that references collide, contradict and close
// cycles. Each span comes out once, has one parent that it was with, and none is above itself.
func TestTanglesComeOutAsTrees(t *testing.T) {
	linked := 0
	for seed := range uint64(20) {
		f := tangle(seed)
		out := mustRun(t, f, engine.Options{Seed: seed})
		found := parentsOf(f, out)
		for _, s := range f.Spans {
			require.Equal(t, 1, out[s].Times)
			steps := 0
			for up := s; found[up] != nil && !up.SDK; up = found[up] {
				steps++
				require.LessOrEqual(t, steps, len(f.Spans), "seed %d: a cycle through span %d", seed, s.N)
			}
			if p := found[s]; p != nil {
				linked++
				require.Equal(t, out[p].Trace, out[s].Trace, "seed %d: parent and child share a trace", seed)
			}
		}
		slices.Reverse(f.Delivery)
		for i := range f.Delivery {
			f.Delivery[i].At = forest.Epoch.UnixNano() + int64(i)*int64(time.Millisecond)
		}
		same(t, f, out, mustRun(t, f, engine.Options{Seed: seed + 1}), fmt.Sprintf("seed %d reversed", seed))
	}
	require.Greater(t, linked, 500)
}

func tangle(seed uint64) *forest.Forest {
	rng := rand.New(rand.NewPCG(seed, 3))
	var ps []*forest.Process
	for i := range 3 {
		s := newStage()
		s.p.Host = &forest.Host{Name: fmt.Sprintf("host-%d", i), Addr: s.p.Host.Addr}
		ps = append(ps, s.p)
	}
	var spans []*forest.Span
	for range 150 {
		start := rng.Int64N(int64(time.Second))
		s := &forest.Span{
			Kind: forest.Kind(1 + rng.IntN(2)), Process: ps[rng.IntN(3)], Start: start, End: start + rng.Int64N(int64(time.Second)),
			Conn: 1 + rng.IntN(5), ReqSeq: 1 + rng.Uint32N(20), RespSeq: rng.Uint32N(3), Request: 1 + rng.Uint64N(20), Known: true,
			Begin: forest.Thread(1 + rng.Uint64N(9)),
		}
		if rng.IntN(3) == 0 {
			s.Trace[15], s.CtxParent[7] = byte(1+rng.IntN(2)), byte(1+rng.IntN(3))
		}
		if rng.IntN(4) == 0 {
			s.ReqID = fmt.Sprintf("request-id-%d", rng.IntN(4))
		}
		spans = append(spans, s)
	}
	f := forest.Of(forest.Scenario{Keys: forest.AllKeys | forest.Lineage}, spans...)
	seen := map[[8]byte]bool{}
	for _, s := range f.Spans {
		// Several requests share a systrace id here, and spans must still be told apart.
		for seen[s.ID] {
			s.ID[0]++
		}
		seen[s.ID] = true
	}
	slices.SortFunc(f.Delivery, func(a, b forest.Arriving) int { return int(a.At - b.At) })
	return f
}
