package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// unlinked is what spans_unlinked counts, by reason and rule.
func (r *rig) unlinked() map[nearest]int64 {
	m, err := r.tel.GetMetric("otelcol_processor_ebpf_link_spans_unlinked")
	require.NoError(r.t, err)
	out := map[nearest]int64{}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		reason, _ := p.Attributes.Value("reason")
		rule, _ := p.Attributes.Value("rule")
		require.Equal(r.t, 2, p.Attributes.Len())
		out[nearest{reason.AsString(), rule.AsString()}] += p.Value
	}
	return out
}

// TestUnlinkedSaysWhichRuleCameNearest: each reason, with the rule that got that far.
func TestUnlinkedSaysWhichRuleCameNearest(t *testing.T) {
	root := nearest{"no_reference", "none"}
	client := func(id uint64, host string, start int, l rawspan.Link) spanSpec {
		return spanSpec{id: id, host: host, kind: ptrace.SpanKindClient, start: start, duration: 10, link: l}
	}
	server := func(id uint64, host string, start int, l rawspan.Link) spanSpec {
		return spanSpec{id: id, host: host, kind: ptrace.SpanKindServer, start: start, duration: 100, link: l}
	}
	wire := rawspan.Link{ReqSeq: 10, RespSeq: 11}
	header := rawspan.Link{ReqSeq: 10, RespSeq: 11, AppTraceID: traceID(5), AppParentID: spanID(50)}
	for _, tt := range []struct {
		name  string
		spans []spanSpec
		want  map[nearest]int64
	}{
		{"nothing to go by", []spanSpec{client(1, "a", 0, wire)}, map[nearest]int64{root: 1}},
		{"the call was not seen", []spanSpec{server(1, "a", 0, wire)}, map[nearest]int64{{"no_candidate", "tcp_seq"}: 1}},
		{"the request was not seen", []spanSpec{client(1, "a", 0, rawspan.Link{ReqSeq: 10, Systrace: 7})}, map[nearest]int64{{"no_candidate", "systrace"}: 1}},
		{"neither its request nor its context was seen", []spanSpec{client(1, "a", 0, rawspan.Link{ReqSeq: 10, Systrace: 7, PseudoThread: 9})}, map[nearest]int64{{"no_candidate", "systrace"}: 1}},
		{"the header names who is not here", []spanSpec{server(1, "a", 0, header)}, map[nearest]int64{{"parent_absent", "app_context"}: 1}},
		{"an SDK names who is not here", []spanSpec{{id: 1, kind: ptrace.SpanKindInternal, trace: 5, parent: 9, duration: 10}}, map[nearest]int64{{"parent_absent", "app_context"}: 1}},
		{"a call of long before", []spanSpec{client(1, "a", -9000, wire), server(2, "b", 0, wire)}, map[nearest]int64{root: 1, {"inadmissible", "tcp_seq"}: 1}},
		{
			"the weaker rule came nearer",
			[]spanSpec{client(1, "a", 200, rawspan.Link{ReqSeq: 10, Systrace: 7, PseudoThread: 9}), server(2, "a", 0, rawspan.Link{ReqSeq: 12, PseudoThread: 9})},
			map[nearest]int64{root: 1, {"inadmissible", "pseudo_thread"}: 1},
		},
		{"two calls alike", []spanSpec{client(1, "a", 0, wire), client(2, "b", 0, wire), server(3, "c", 0, wire)}, map[nearest]int64{root: 2, {"ambiguous", "tcp_seq"}: 1}},
		{
			"more candidates than are looked at, by two rules",
			[]spanSpec{
				client(1, "a", 5, rawspan.Link{ReqSeq: 10, Systrace: 7, PseudoThread: 9}),
				server(2, "a", 0, rawspan.Link{Systrace: 7, PseudoThread: 9}), server(3, "a", 0, rawspan.Link{Systrace: 7, PseudoThread: 9}), server(4, "a", 0, rawspan.Link{Systrace: 7, PseudoThread: 9}),
			},
			map[nearest]int64{root: 3, {"candidate_limit", "systrace"}: 1},
		},
		{
			"a process that calls itself",
			[]spanSpec{client(1, "a", 0, rawspan.Link{ReqSeq: 10, RespSeq: 11, Systrace: 7}), {id: 2, host: "a", kind: ptrace.SpanKindServer, duration: 10, link: rawspan.Link{ReqSeq: 10, RespSeq: 11, Systrace: 7}}},
			map[nearest]int64{{"cycle", "systrace"}: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.MaxCandidates = 2 })
			r.consume(tt.spans...)
			r.pass(20 * time.Second)
			require.Equal(t, tt.want, r.unlinked())
			sum := r.metric("spans_linked", "")
			for _, n := range tt.want {
				sum += n
			}
			require.Equal(t, r.metric("spans_emitted", ""), sum, "each span is linked or not")
		})
	}

	t.Run("its trace was fixed before its parent came", func(t *testing.T) {
		r := newRig(t)
		c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
		c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
		r.consume(c1)
		r.pass(20 * time.Second)
		r.consume(s2)
		r.pass(15 * time.Second)
		r.consume(c2)
		// s2 leaves, whose trace begins with c2 by now.
		r.pass(6 * time.Second)
		r.consume(s1)
		r.pass(30 * time.Second)
		require.Equal(t, map[nearest]int64{root: 1, {"trace_conflict", "systrace"}: 1}, r.unlinked())
		require.EqualValues(t, 1, r.metric("trace_conflicts", ""))
	})

	t.Run("the SDK's span of it names who is not here", func(t *testing.T) {
		r := newRig(t)
		for _, id := range []uint64{11, 1} {
			require.NoError(t, r.ConsumeTraces(t.Context(), calledFromElsewhere()[id]))
		}
		r.pass(30 * time.Second)
		require.EqualValues(t, 5, parentOf(r.sink.one(t, 11)))
		require.Equal(t, map[nearest]int64{{"parent_absent", link.SDKSameCall}: 1}, r.unlinked())
	})
}
