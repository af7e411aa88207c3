package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
)

// FuzzBatchBytes: whatever bytes pdata takes for spans, each comes out, once, and what is read of them is what is read
// of them after they were stored.
func FuzzBatchBytes(f *testing.F) {
	var enc ptrace.ProtoMarshaler
	for _, td := range sameCallBatches(false) {
		b, err := enc.MarshalTraces(td)
		require.NoError(f, err)
		f.Add(b)
	}
	b, err := enc.MarshalTraces(hostileBatch(&script{[]byte("any bytes will do for this")}))
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var dec ptrace.ProtoUnmarshaler
		td, err := dec.UnmarshalTraces(b)
		if err != nil {
			return
		}
		r := newRig(t, func(c *Config) {
			c.Explain, c.Rules, c.Window, c.LinkRetention = true, link.AllRuleNames(), time.Second, 2*time.Second
		})
		in := r.reader.read(td, true)
		fs, besides := in.facts, in.besides
		require.Len(t, fs, td.SpanCount())
		stored, err := enc.MarshalTraces(td)
		require.NoError(t, err)
		again, err := dec.UnmarshalTraces(stored)
		require.NoError(t, err)
		sameReading(t, in, r.reader.read(again, true))
		written := r.reader.begin(td, true)
		_, err = (&encoder{share: block.CanShare()}).encode(td, written, func([]byte) (uint64, error) { return 0, nil })
		require.NoError(t, err)
		sameReading(t, in, written)
		for i := range fs {
			rare := besides[uint32(i)].rare
			fact, beside, rest, err := link.ReadFact(link.AppendFact(nil, &fs[i], &rare))
			require.NoError(t, err)
			require.Empty(t, rest)
			if fs[i].Raw {
				fact.OwnTrace = fs[i].OwnTrace // is not stored
			}
			require.Equal(t, fs[i], fact)
			require.Equal(t, rare, beside)
		}
		require.NoError(t, r.ConsumeTraces(t.Context(), td))
		r.pass(5 * time.Second)
		out := int64(0)
		for _, td := range r.sink.calls {
			out += int64(td.SpanCount())
		}
		require.Equal(t, int64(len(fs)), out+r.metric("spans_duplicate", "")+r.metric("spans_pending", ""))
		require.Zero(t, r.index.Len())
	})
}

// FuzzMemory: what is read back of spans that left takes any bytes, and says the same when it is written again.
func FuzzMemory(f *testing.F) {
	r := link.New(link.RuleNames(), time.Second)
	id := r.AddRare(link.Fact{Span: link.SpanID{1}, Raw: true, Role: link.Client, Start: 5}, link.Rare{RequestID: 7})
	var m memory
	m.left(r, &trace.Member{ID: id, Trace: link.TraceID{3}, Parent: link.SpanID{4}, Decision: sampling.Kept, Odds: sampling.OddsOf([2]uint64{1, 2})}, 300, 5)
	m.announced(r, id)
	m.fixed(r, &trace.Member{ID: id, Trace: link.TraceID{5}, Decision: sampling.DroppedByRatio})
	f.Add(m.b)
	f.Add([]byte{32})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if err := readMemory(b, func(*remembered) { n++ }); err != nil {
			require.ErrorIs(t, err, link.ErrStored)
		}
		require.LessOrEqual(t, n, len(b))
	})
}
