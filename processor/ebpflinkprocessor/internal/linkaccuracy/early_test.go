package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/engine"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// TestEarlyReleaseChangesNothingButTime: what leaves as a whole leaves with all its spans, and ids and parents are
// those of the full window, whatever is lost, late or twice.
func TestEarlyReleaseChangesNothingButTime(t *testing.T) {
	for n, tt := range []struct {
		name   string
		change func(*forest.Scenario)
		least  float64 // share of the traces of which nothing is lost
	}{
		{"prompt", func(*forest.Scenario) {}, .9},
		{"shuffled", func(s *forest.Scenario) { s.Arrival = forest.Shuffled }, .2},
		{"lost and twice", func(s *forest.Scenario) { s.Arrival, s.Loss, s.Duplicate = forest.Shuffled, .02, .1 }, .05},
		{"late children", func(s *forest.Scenario) { s.Arrival = forest.LateChildren }, .1},
		{"late, any", func(s *forest.Scenario) { s.Arrival = forest.LateAny }, .05},
		{"each hop a window later", func(s *forest.Scenario) { s.Arrival = forest.ByHop }, 0},
		{"half unknown", func(s *forest.Scenario) { s.Style, s.Unknown = forest.Pool, .1 }, .05},
		{"skew", func(s *forest.Scenario) { s.Skew = 300 * ms }, .5},
		// The gateway's address says nothing of whether who called through it is traced.
		{"a gateway between", func(s *forest.Scenario) { s.NAT = true }, 0},
		{"retries", func(s *forest.Scenario) { s.Retry = .1 }, .1},
		{"pipelining", func(s *forest.Scenario) { s.Pipelining, s.Parallel, s.Style = true, true, forest.Goroutines }, .5},
		{"proxies", func(s *forest.Scenario) { s.Proxies = .2 }, .02},
		{"hidden proxies", func(s *forest.Scenario) { s.Hidden = .1 }, .02},
		{"headers", func(s *forest.Scenario) { s.App = forest.Headers }, 0},
		{"SDKs", func(s *forest.Scenario) { s.App = forest.SDK }, 0},
		{"twins", func(s *forest.Scenario) { s.Twins = .05 }, .1},
		{"open for a minute", func(s *forest.Scenario) { s.Lasts, s.PendingAfter = time.Minute, 10*time.Second }, .1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seed := uint64(n)
			sc := base()
			sc.Name, sc.Traces, sc.Lasts, sc.Counts = tt.name, 100, 3*time.Second, true
			tt.change(&sc)
			f := forest.Grow(sc, seed)
			networks := func(early bool) func(*engine.Config) {
				return func(c *engine.Config) { c.EarlyRelease, c.TracedNetworks = early, f.Networks() }
			}
			want := mustRun(t, f, engine.Options{Seed: seed, Change: networks(false)})
			left := map[*forest.Span]time.Time{}
			got := mustRun(t, f, engine.Options{Seed: seed, Change: networks(true), Left: func(s *forest.Span, at time.Time) {
				left[s] = at
			}})
			same(t, f, want, got, "early release")
			early, traces := wholes(t, f, got, left)
			t.Logf("%d of %d traces left before the window was over", early, traces)
			require.GreaterOrEqual(t, float64(early), tt.least*float64(sc.Traces))
		})
	}
}

// wholes counts the traces that left early, and fails where a span of one did not leave with the others.
func wholes(t *testing.T, f *forest.Forest, out engine.Result, left map[*forest.Span]time.Time) (early, traces int) {
	t.Helper()
	window := 20 * time.Second
	came := map[*forest.Span]time.Time{}
	for _, a := range f.Delivery {
		if at := time.Unix(0, a.At); !a.Pending && (came[a.Span].IsZero() || at.Before(came[a.Span])) {
			came[a.Span] = at
		}
	}
	of := map[[16]byte][]*forest.Span{}
	for s, at := range left {
		require.False(t, at.IsZero())
		of[out[s].Trace] = append(of[out[s].Trace], s)
	}
	for _, spans := range of {
		first := left[spans[0]]
		for _, s := range spans {
			if left[s].Before(first) {
				first = left[s]
			}
		}
		// Without early release something of a trace has waited for the window when it leaves.
		soon := true
		for _, s := range spans {
			soon = soon && (!left[s].Equal(first) || first.Sub(came[s]) < window-2*time.Second)
		}
		if !soon {
			continue
		}
		early++
		for _, s := range spans {
			require.Equal(t, first, left[s], "span %d came after its trace had left as a whole", s.N)
		}
	}
	return early, len(of)
}
