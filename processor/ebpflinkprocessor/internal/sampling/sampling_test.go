package sampling

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	upstream "github.com/open-telemetry/opentelemetry-collector-contrib/pkg/sampling"
	"github.com/stretchr/testify/require"
)

// id makes a trace id whose randomness is r, 56 bits.
func id(r uint64) (t [16]byte) {
	t[0] = 1
	binary.BigEndian.PutUint64(t[8:], 0xff<<56|r)
	return t
}

func sampler(t *testing.T, ratio float64) Sampler {
	t.Helper()
	s, err := New(ratio)
	require.NoError(t, err)
	return s
}

func odds(t *testing.T, tracestate string) Odds {
	t.Helper()
	o, err := ReadOdds(tracestate)
	require.NoError(t, err)
	return o
}

func TestRatioIsChecked(t *testing.T) {
	for _, bad := range []float64{0, -1, 1.01, math.NaN(), math.Inf(1), 1e-18} {
		_, err := New(bad)
		require.ErrorIs(t, err, ErrRatio, "%g", bad)
	}
	for _, good := range []float64{1, .5, 1e-6, 1.0 / 3} {
		_, err := New(good)
		require.NoError(t, err, "%g", good)
	}
}

// TestShareAndSubset: the share is the ratio, and who keeps fewer keeps some of the same.
func TestShareAndSubset(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	tenth, half := sampler(t, .1), sampler(t, .5)
	const n = 100_000
	kept := 0
	for range n {
		trace := id(rng.Uint64() >> 8)
		if tenth.Decide(trace, Odds{}) == Kept {
			kept++
			require.Equal(t, Kept, half.Decide(trace, Odds{}))
		}
	}
	require.InDelta(t, n/10, kept, 4*math.Sqrt(n*.1*.9))
}

func TestDecide(t *testing.T) {
	const most = 1<<56 - 1
	for name, tt := range map[string]struct {
		ratio float64
		trace [16]byte
		state string
		want  Decision
	}{
		"all":                       {1, id(0), "", Kept},
		"just below":                {.5, id(1<<55 - 1), "", DroppedByRatio},
		"just not below":            {.5, id(1 << 55), "", Kept},
		"rv instead of the id":      {.5, id(0), "ot=rv:80000000000000", Kept},
		"rv against the id":         {.5, id(most), "ot=rv:7fffffffffffff", DroppedByRatio},
		"what was decided before":   {.5, id(most), "ot=th:c", Kept},
		"another vendor's word":     {.5, id(0), "dd=s:2", DroppedByRatio},
		"the last seven bytes only": {.5, [16]byte{0: 255, 8: 255}, "", DroppedByRatio},
	} {
		require.Equal(t, tt.want, sampler(t, tt.ratio).Decide(tt.trace, odds(t, tt.state)), name)
	}
}

func TestState(t *testing.T) {
	trace, other := id(0xd0000000000000), id(0xf0000000000000)
	for name, tt := range map[string]struct {
		ratio     float64
		state     string
		own       [16]byte
		trace     string // what the trace's odds were read from
		want      string
		untouched bool
	}{
		"nothing to say":                  {1, "", trace, "", "", true},
		"a vendor's state is not touched": {1, "dd=s:2 ,x=1", trace, "", "", true},
		"ours":                            {.5, "", other, "", "ot=th:8", false},
		"a third, in four digits":         {1.0 / 3, "", trace, "", "ot=th:aaab", false},
		"beside a vendor's":               {.5, "dd=s:2", trace, "", "ot=th:8,dd=s:2", false},
		"raises the SDK's":                {.5, "ot=th:4;k:v", trace, "ot=th:4", "ot=th:8;k:v", false},
		"never lowers it":                 {.5, "ot=th:c", trace, "ot=th:c", "ot=th:c", false},
		"a raw span gets the SDK's":       {1, "", other, "ot=th:c", "ot=th:c", false},
		"and its randomness":              {.5, "", other, "ot=th:c;rv:e0000000000000", "ot=rv:e0000000000000;th:c", false},
		"0 is a statement too":            {1, "", other, "ot=th:0", "ot=th:0", false},
		"of another trace":                {1, "ot=th:4;rv:ffffffffffffff", other, "", "", false},
		"of another trace, ours":          {.5, "ot=th:e;rv:ffffffffffffff;k:v", other, "", "ot=th:8;k:v", false},
		"rv that came too late":           {.5, "ot=th:8;rv:ffffffffffffff", trace, "", "ot=th:8", false},
		"contradicted by the randomness":  {.5, "ot=th:e", trace, "ot=th:e", "ot=th:8", false},
		"kept by another ratio before":    {.1, "", trace, "", "", false},
		"malformed":                       {.5, "ot=th:zz", trace, "", "", true},
	} {
		o := Odds{}
		if tt.trace != "" {
			o = odds(t, tt.trace)
		}
		want := tt.want
		if tt.untouched {
			want = tt.state
		}
		got := sampler(t, tt.ratio).State(tt.state, tt.own, trace, o)
		require.Equal(t, want, got, name)
		if !tt.untouched && got != "" {
			// What is written is what a sampler behind us reads, and it does not contradict itself.
			w3c, err := upstream.NewW3CTraceState(got)
			require.NoError(t, err, name)
			r, explicit := w3c.OTelValue().RValueRandomness()
			if !explicit {
				r = upstream.TraceIDToRandomness(trace)
			}
			if th, ok := w3c.OTelValue().TValueThreshold(); ok {
				require.True(t, th.ShouldSample(r), name)
			}
		}
	}
}

func TestMalformedSaysNothing(t *testing.T) {
	for _, s := range []string{"ot=th:xyz", "ot=rv:1", "=", "ot=th:123456789abcdef"} {
		o, err := ReadOdds(s)
		require.Error(t, err, s)
		require.Zero(t, o, s)
	}
}

func TestOr(t *testing.T) {
	a, b := odds(t, "ot=th:8"), odds(t, "ot=th:4;rv:ffffffffffffff")
	require.Equal(t, odds(t, "ot=th:8;rv:ffffffffffffff"), a.Or(b))
	require.Equal(t, b, b.Or(a))
	require.Equal(t, a, a.Or(Odds{}))
}

func FuzzState(f *testing.F) {
	f.Add("ot=th:8;rv:ffffffffffffff,dd=s:1", uint64(1), uint64(2), .5)
	f.Fuzz(func(t *testing.T, state string, own, trace uint64, ratio float64) {
		s, err := New(ratio)
		if err != nil {
			return
		}
		o, err := ReadOdds(state)
		if err != nil {
			require.Zero(t, o)
		}
		got := s.State(state, id(own>>8), id(trace>>8), o)
		if err != nil {
			require.Equal(t, state, got)
			return
		}
		// Saying it twice changes nothing.
		require.Equal(t, got, s.State(got, id(trace>>8), id(trace>>8), o))
	})
}

func BenchmarkState(b *testing.B) {
	for _, bb := range []struct {
		name  string
		ratio float64
		state string
	}{{"all, none", 1, ""}, {"half, none", .5, ""}, {"half, th", .5, "ot=th:4"}} {
		b.Run(bb.name, func(b *testing.B) {
			s, _ := New(bb.ratio)
			o, _ := ReadOdds(bb.state)
			trace := id(1<<56 - 1)
			b.ReportAllocs()
			for b.Loop() {
				s.State(bb.state, trace, trace, o)
			}
		})
	}
}
