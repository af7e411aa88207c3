package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// calledFromElsewhere is sameCallBatches where the request came with a header of trace 77 that names span 5 and that
// eBPF did not see.
func calledFromElsewhere() map[uint64]ptrace.Traces {
	all := sameCallBatches(false)
	eachSpan(all[1])[0].SetParentSpanID(spanID(5))
	return all
}

// TestRequestInheritsItsContext: a request whose header eBPF did not see gets the trace and the parent that the SDK's
// span of it names, in any order and over restarts; and the SDK's span goes under it.
func TestRequestInheritsItsContext(t *testing.T) {
	for _, tt := range []struct {
		order  []uint64
		turn   int // a restart before that batch
		others bool
	}{
		{[]uint64{11, 13, 1, 2}, -1, false},
		{[]uint64{2, 1, 13, 11}, -1, false},
		{[]uint64{1, 2, 11, 13}, 3, false},
		{[]uint64{13, 11, 2, 1}, 4, false},
		{[]uint64{11, 13, 1, 2}, -1, true},
	} {
		dir := t.TempDir()
		open := func() *rig {
			return newRig(t, func(c *Config) { c.Storage.Directory, c.UseAppTraceID = dir, !tt.others })
		}
		r := open()
		for i, id := range append(tt.order, 0) {
			if i == tt.turn {
				require.NoError(t, r.payloads.close())
				r = open()
			}
			if id != 0 {
				require.NoError(t, r.ConsumeTraces(t.Context(), calledFromElsewhere()[id]))
			}
		}
		r.pass(30 * time.Second)
		request := r.sink.one(t, 11)
		above := uint64(5)
		if tt.others {
			above = 0 // its trace is another one, which that parent is not in
		}
		for id, parent := range map[uint64]uint64{11: above, 1: 11, 2: 1, 13: 2} {
			sp := r.sink.one(t, id)
			require.Equal(t, parent, parentOf(sp), "parent of %d, %+v", id, tt)
			require.Equal(t, request.TraceID(), sp.TraceID(), "span %d", id)
		}
		require.Equal(t, tt.others, request.TraceID() != traceID(77))
		if !tt.others {
			require.Equal(t, map[string]any{
				rawspan.AttrRule: link.SDKSameCall, rawspan.AttrConfidence: link.SameCallConfidence, rawspan.AttrCandidates: int64(1),
			}, saysWho(request), "it says who says so")
		}
	}
}

func saysWho(s ptrace.Span) map[string]any {
	out := map[string]any{}
	for _, k := range []string{rawspan.AttrRule, rawspan.AttrConfidence, rawspan.AttrCandidates} {
		if v, ok := s.Attributes().Get(k); ok {
			out[k] = v.AsRaw()
		}
	}
	return out
}

// TestNoTraceOfAnSDKIsCut: where the request has left with a trace of its own, the SDK's span stays with what it names,
// and where that has left, the request does not take what it names.
func TestNoTraceOfAnSDKIsCut(t *testing.T) {
	for _, first := range [][]uint64{{11}, {1}, {11, 2}, {2, 13}} {
		for _, restart := range []bool{false, true} {
			dir := t.TempDir()
			open := func() *rig { return newRig(t, func(c *Config) { c.Storage.Directory = dir }) }
			r := open()
			all := calledFromElsewhere()
			for _, id := range first {
				require.NoError(t, r.ConsumeTraces(t.Context(), all[id]))
				delete(all, id)
			}
			r.pass(30 * time.Second)
			left := r.sink
			for _, id := range []uint64{11, 13, 1, 2} {
				if td, ok := all[id]; ok {
					require.NoError(t, r.ConsumeTraces(t.Context(), td))
				}
			}
			if restart {
				require.NoError(t, r.payloads.close())
				r = open()
			}
			r.pass(30 * time.Second)
			one := func(id uint64) ptrace.Span {
				if len(r.sink.spans()[id]) > 0 {
					return r.sink.one(t, id)
				}
				return left.one(t, id)
			}
			for _, id := range []uint64{1, 2} {
				require.Equal(t, traceID(77), one(id).TraceID(), "%d, after %v", id, first)
			}
			require.EqualValues(t, 1, parentOf(one(2)))
			switch own := parentOf(one(1)); own {
			case 5:
				require.NotEqual(t, traceID(77), one(11).TraceID(), "after %v", first)
			case 11:
				require.Equal(t, traceID(77), one(11).TraceID(), "after %v", first)
				require.EqualValues(t, 5, parentOf(one(11)), "after %v", first)
			default:
				require.Failf(t, "lost", "%d, after %v", own, first)
			}
		}
	}
}
