package ebpflinkprocessor

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func ratio(share float64) func(*Config) { return func(c *Config) { c.SamplingRatio = share } }

// hops makes a chain of n calls, host after host, with spans first, first+1, …
func hops(first uint64, n int, seq uint32, systrace uint64) (out []spanSpec) {
	inside := uint64(0)
	for i := range n {
		c, s := call(first+uint64(2*i), first+uint64(2*i)+1, host(i), host(i+1), 10*i, 2000-20*i, seq+uint32(10*i), inside, systrace+uint64(i))
		inside = systrace + uint64(i)
		out = append(out, c, s)
	}
	return out
}

func host(i int) string { return string(rune('a' + i)) }

// TestTracesAreSampledWhole: every trace leaves with all of its spans or with none, in the share asked
// for, and what left says how probable that was.
func TestTracesAreSampledWhole(t *testing.T) {
	const traces, size = 400, 6
	r := newRig(t, ratio(.25))
	for i := range uint64(traces) {
		r.consume(hops(1+i*size, size/2, uint32(1+i*100), 1+i*10)...)
	}
	r.pass(21 * time.Second)
	kept := 0
	for i := range uint64(traces) {
		n := 0
		for k := range uint64(size) {
			for _, sp := range r.sink.spans()[1+i*size+k] {
				n++
				require.Equal(t, "ot=th:c", sp.TraceState().AsRaw())
			}
		}
		require.Contains(t, []int{0, size}, n, "trace %d", i)
		kept += n / size
	}
	require.InDelta(t, traces/4, kept, 4*math.Sqrt(traces*.25*.75))
	require.EqualValues(t, kept, r.metric("traces_decided", "sampled"))
	require.EqualValues(t, traces-kept, r.metric("traces_decided", "sampling_ratio"))
	require.EqualValues(t, size*kept, r.metric("spans_emitted", ""))
	require.EqualValues(t, size*(traces-kept), r.metric("spans_dropped", "sampling_ratio"))
	require.Zero(t, r.held.Load())
	require.Empty(t, r.payloads.(*inMemory).batches, "what is not exported is not kept either")
}

// TestDecisionHoldsForLateSpans: those that come before and after the others have left.
func TestDecisionHoldsForLateSpans(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRig(t, ratio(.5), inDir(dir))
		const traces = 40
		for i := range uint64(traces) {
			r.consume(hops(1+i*10, 1, uint32(1+i*100), 1+i*10)...)
		}
		r.pass(15 * time.Second)
		late := func(i uint64) spanSpec {
			c, _ := call(5+i*10, 0, "b", "", 20, 5, uint32(50+i*100), 1+i*10, 0)
			return c
		}
		for i := range uint64(traces / 2) {
			r.consume(late(i))
		}
		r.pass(30 * time.Second)
		for i := uint64(traces / 2); i < traces; i++ {
			r.consume(late(i))
		}
		r.pass(30 * time.Second)
		got := r.sink.spans()
		kept := 0
		for i := range uint64(traces) {
			require.Len(t, got[5+i*10], len(got[1+i*10]), "trace %d", i)
			kept += len(got[1+i*10])
		}
		require.Positive(t, kept)
		require.Less(t, kept, traces)
	}
}

// TestDecisionSurvivesARestart: also where the ratio is another one then.
func TestDecisionSurvivesARestart(t *testing.T) {
	const traces = 40
	dir := t.TempDir()
	r := newRig(t, ratio(.5), inDir(dir), func(c *Config) { c.MaxSpansPerExport = traces })
	var all []spanSpec
	for i := range uint64(traces) {
		all = append(all, hops(1+i*10, 1, uint32(1+i*100), 1+i*10)...)
	}
	r.consume(all...)
	r.clock.advance(21 * time.Second)
	require.True(t, r.round(t.Context(), false), "half of the batch leaves, so its marks stay")
	before := r.sink.spans()
	require.NoError(t, r.payloads.close())

	r = newRig(t, ratio(1e-9), inDir(dir))
	for i := range uint64(traces) {
		c, _ := call(5+i*10, 0, "b", "", 20, 5, uint32(50+i*100), 1+i*10, 0)
		r.consume(c)
	}
	r.pass(30 * time.Second)
	got := r.sink.spans()
	kept := 0
	for i := range uint64(traces) {
		require.Empty(t, got[1+i*10], "delivered before, or not to be")
		require.Len(t, got[5+i*10], len(before[1+i*10]), "trace %d", i)
		kept += len(before[1+i*10])
	}
	require.Positive(t, kept)
	require.Less(t, kept, traces/2)
}

// sdk makes a span of an SDK with a tracestate.
func sdkBatch(state string, id, trace, parent uint64, kind ptrace.SpanKind) ptrace.Traces {
	td := batchOf(spanSpec{id: id, kind: kind, trace: trace, parent: parent, duration: 100})
	eachSpan(td)[0].TraceState().FromRaw(state)
	return td
}

// TestSDKSamplingIsHonoured: the randomness that an SDK states decides for the whole trace, and its
// threshold is that of the raw spans too, as they are here because of it.
func TestSDKSamplingIsHonoured(t *testing.T) {
	for name, tt := range map[string]struct{ state, want string }{
		"rv high":     {"ot=rv:ffffffffffffff", "ot=rv:ffffffffffffff;th:8"},
		"rv low":      {"ot=rv:00000000000000", ""},
		"th and rv":   {"ot=th:f;rv:ffffffffffffff", "ot=rv:ffffffffffffff;th:f"},
		"th, our own": {"ot=th:4;rv:ffffffffffffff", "ot=rv:ffffffffffffff;th:8"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ratio(.5))
			c, s := call(2, 3, "a", "b", 1, 98, 10, 0, 7)
			c.link.AppTraceID, c.link.AppParentID = traceID(77), spanID(1)
			r.consume(c, s)
			require.NoError(t, r.ConsumeTraces(t.Context(), sdkBatch(tt.state, 1, 77, 0, ptrace.SpanKindClient)))
			r.pass(30 * time.Second)
			late, _ := call(5, 0, "b", "", 20, 5, 50, 7, 0)
			r.consume(late)
			r.pass(30 * time.Second)
			got := r.sink.spans()
			if tt.want == "" {
				require.Empty(t, got)
				require.EqualValues(t, 4, r.metric("spans_dropped", "sampling_ratio"))
				return
			}
			for _, id := range []uint64{1, 2, 3, 5} {
				require.Equal(t, tt.want, r.sink.one(t, id).TraceState().AsRaw(), "span %d", id)
			}
		})
	}
}

// TestWhatTheApplicationDidNotSample: the flag that came with the trace's id decides, for spans up and down.
func TestWhatTheApplicationDidNotSample(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second *bool // flags of the first and the second call
		use           bool
		want          int
	}{
		"flag 00":             {ptr(false), ptr(false), true, 0},
		"not asked for":       {ptr(false), ptr(false), false, 4},
		"flag 01":             {ptr(true), ptr(true), true, 4},
		"no flag":             {nil, nil, true, 4},
		"deeper only":         {nil, ptr(false), true, 4},
		"nearest to the root": {ptr(true), ptr(false), true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.UseAppSampled = tt.use })
			specs := hops(1, 2, 10, 7)
			for i, flag := range []*bool{tt.first, tt.first, tt.second, tt.second} {
				specs[i].link.AppTraceID, specs[i].link.AppParentID = traceID(uint64(77+i/2)), spanID(1)
				if flag != nil {
					specs[i].link.HasAppSampled, specs[i].link.AppSampled = true, *flag
				}
			}
			r.consume(specs...)
			r.pass(30 * time.Second)
			require.Len(t, r.sink.spans(), tt.want)
			require.EqualValues(t, 4-tt.want, r.metric("spans_dropped", "app_not_sampled"))
		})
	}
}

func ptr[T any](v T) *T { return &v }

// TestSDKSpansProveThatItWasSampled: a span that an SDK exported is nearer to the root than the header.
func TestSDKSpansProveThatItWasSampled(t *testing.T) {
	r := newRig(t)
	c, s := call(2, 3, "a", "b", 1, 98, 10, 0, 7)
	for _, sp := range []*spanSpec{&c, &s} {
		sp.link.AppTraceID, sp.link.AppParentID = traceID(77), spanID(1)
		sp.link.HasAppSampled = true
	}
	r.consume(c, s, spanSpec{id: 1, kind: ptrace.SpanKindClient, duration: 100, trace: 77})
	r.pass(30 * time.Second)
	require.Len(t, r.sink.spans(), 3)
}

// TestBrokenTraceStateIsLeftAlone and counted.
func TestBrokenTraceStateIsLeftAlone(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.ConsumeTraces(t.Context(), sdkBatch("ot=th:zz", 1, 77, 0, ptrace.SpanKindClient)))
	r.pass(30 * time.Second)
	require.Equal(t, "ot=th:zz", r.sink.one(t, 1).TraceState().AsRaw())
	require.EqualValues(t, 1, r.metric("attributes_malformed", ""))
}
