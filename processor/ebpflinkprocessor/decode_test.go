package ebpflinkprocessor

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/splice"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

func encodedSpan(t testing.TB, write func(ptrace.Span)) []byte {
	td := ptrace.NewTraces()
	write(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty())
	var enc ptrace.ProtoMarshaler
	b, err := enc.MarshalTraces(td)
	require.NoError(t, err)
	var c splice.Cut
	_, err = c.Take(b, []uint32{0})
	require.NoError(t, err)
	return c.Spans[0]
}

// sameSpan encodes both, which shows what equality of pdata cannot compare: NaN, and what is empty.
func sameSpan(t testing.TB, want, got ptrace.Span) {
	require.Equal(t, encodedSpan(t, want.CopyTo), encodedSpan(t, got.CopyTo))
}

// spans that have one thing each, and whether the decoder knows it itself.
var decoded = map[string]struct {
	write func(ptrace.Span)
	usual bool
}{
	"nothing": {func(ptrace.Span) {}, true},
	"all that is usual": {func(s ptrace.Span) {
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID{2})
		s.SetParentSpanID(pcommon.SpanID{3})
		s.TraceState().FromRaw("a=b")
		s.SetName("name")
		s.SetKind(ptrace.SpanKindClient)
		s.SetStartTimestamp(math.MaxUint64)
		s.SetEndTimestamp(1)
		s.SetFlags(1 << 31)
		s.SetDroppedAttributesCount(1)
		s.SetDroppedEventsCount(2)
		s.SetDroppedLinksCount(math.MaxUint32)
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage("why")
		a := s.Attributes()
		a.PutStr("s", "v")
		a.PutStr("", "no key")
		a.PutStr("empty", "")
		a.PutInt("i", -1)
		a.PutInt("zero", 0)
		a.PutBool("b", true)
		a.PutBool("no", false)
		a.PutDouble("d", math.NaN())
		l := a.PutEmptySlice("strings")
		l.AppendEmpty().SetStr("a")
		l.AppendEmpty().SetStr("")
		a.PutEmptySlice("none")
	}, true},
	"link facts": {func(s ptrace.Span) {
		l := rawspan.Link{ReqSeq: 1, RespSeq: 1 << 31, Systrace: 7, Hints: []string{"same_thread"}, HintConfidence: .5}
		l.Put(s.Attributes())
	}, true},
	"bytes":          {func(s ptrace.Span) { s.Attributes().PutEmptyBytes("b").Append(1, 2) }, false},
	"a map":          {func(s ptrace.Span) { s.Attributes().PutEmptyMap("m").PutStr("k", "v") }, false},
	"no value":       {func(s ptrace.Span) { s.Attributes().PutEmpty("e") }, false},
	"list of others": {func(s ptrace.Span) { s.Attributes().PutEmptySlice("l").AppendEmpty().SetInt(1) }, false},
	"an event":       {func(s ptrace.Span) { s.Events().AppendEmpty().SetName("e") }, false},
	"a link":         {func(s ptrace.Span) { s.Links().AppendEmpty().SetSpanID(pcommon.SpanID{1}) }, false},
}

func TestDecoderGivesWhatPdataGives(t *testing.T) {
	for name, tt := range decoded {
		t.Run(name, func(t *testing.T) {
			var d decoder
			want, got := ptrace.NewSpan(), ptrace.NewSpan()
			tt.write(want)
			b := encodedSpan(t, tt.write)
			require.Equal(t, tt.usual, d.usual(ptrace.NewSpan(), string(b)))
			require.NoError(t, d.span(got, b))
			sameSpan(t, want, got)
		})
	}
}

// TestAttributeThatIsThereTwiceStays: OTLP forbids it, but what came in goes out.
func TestAttributeThatIsThereTwiceStays(t *testing.T) {
	one := encodedSpan(t, func(s ptrace.Span) { s.Attributes().PutStr("k", "a") })
	var d decoder
	got := ptrace.NewSpan()
	require.NoError(t, d.span(got, append(one, one...)))
	require.Equal(t, 2, got.Attributes().Len())
}

// FuzzDecodeSpan: of any bytes that the decoder takes for a span, pdata makes the same.
func FuzzDecodeSpan(f *testing.F) {
	for _, tt := range decoded {
		f.Add(encodedSpan(f, tt.write))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d decoder
		got := ptrace.NewSpan()
		if !d.usual(got, string(b)) {
			return
		}
		want, err := d.slow.UnmarshalTraces(splice.Wrap(b))
		require.NoError(t, err)
		sameSpan(t, want.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0), got)
	})
}

// FuzzDecodeBatch: of any bytes that pdata takes for a batch, the decoder cuts the same spans, whichever are asked for, or
// says that they are damaged.
func FuzzDecodeBatch(f *testing.F) {
	var enc ptrace.ProtoMarshaler
	td := ptrace.NewTraces()
	for _, tt := range decoded {
		ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
		tt.write(ss.Spans().AppendEmpty())
		tt.write(ss.Spans().AppendEmpty())
	}
	b, err := enc.MarshalTraces(td)
	require.NoError(f, err)
	f.Add(b, uint64(math.MaxUint64))
	f.Add(b, uint64(0x5a5a))
	f.Fuzz(func(t *testing.T, b []byte, which uint64) {
		d := newDecoder()
		whole, err := d.slow.UnmarshalTraces(b)
		if err != nil || block.Is(b) {
			return
		}
		all := eachSpan(whole)
		var ordinals []uint32
		for i := range all {
			if which>>(i%64)&1 == 1 {
				ordinals = append(ordinals, uint32(i))
			}
		}
		got := ptrace.NewTraces()
		if err := d.take(got, b, ordinals, make([]bool, len(ordinals))); err != nil {
			require.ErrorIs(t, err, store.ErrCorrupt)
			return
		}
		spans := eachSpan(got)
		require.Len(t, spans, len(ordinals))
		for i, n := range ordinals {
			sameSpan(t, all[n], spans[i])
		}
	})
}

func BenchmarkDecodeSpan(b *testing.B) {
	encoded := encodedSpan(b, func(s ptrace.Span) {
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID{1})
		s.SetName("GET /api/items")
		s.SetKind(ptrace.SpanKindServer)
		s.SetStartTimestamp(1 << 60)
		s.SetEndTimestamp(1<<60 + 1)
		l := rawspan.Link{ReqSeq: 1 << 31, RespSeq: 1 << 30, Systrace: 1 << 60}
		a := s.Attributes()
		l.Put(a)
		a.PutStr("network.local.address", "10.0.1.2")
		a.PutInt("network.local.port", 8080)
		a.PutStr("network.peer.address", "10.0.1.3")
		a.PutInt("network.peer.port", 34567)
		a.PutStr("http.request.method", "GET")
		a.PutStr("url.path", "/api/items/12345")
		a.PutInt("http.response.status_code", 200)
	})
	spans := make([][]byte, 500)
	for i := range spans {
		spans[i] = encoded
	}
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		var d decoder
		for range b.N {
			dst := ptrace.NewSpanSlice()
			dst.EnsureCapacity(len(spans))
			for _, s := range spans {
				require.NoError(b, d.span(dst.AppendEmpty(), s))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(spans)), "ns/span")
	})
	b.Run("pdata", func(b *testing.B) {
		b.ReportAllocs()
		td := ptrace.NewTraces()
		ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		var d decoder
		for _, s := range spans {
			require.NoError(b, d.span(ss.AppendEmpty(), s))
		}
		var enc ptrace.ProtoMarshaler
		message, err := enc.MarshalTraces(td)
		require.NoError(b, err)
		b.ResetTimer()
		for range b.N {
			_, err := d.slow.UnmarshalTraces(message)
			require.NoError(b, err)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(spans)), "ns/span")
	})
}

// TestBatchWaitsInEitherForm: what comes out does not depend on what else is in the batch.
func TestBatchWaitsInEitherForm(t *testing.T) {
	for _, form := range []struct {
		name  string
		block bool
		n     int
		write func(ptrace.Span)
	}{
		{"block", true, fewSpans, func(ptrace.Span) {}},
		{"OTLP", false, fewSpans, func(s ptrace.Span) { s.Events().AppendEmpty().SetName("e") }},
		{"OTLP as there are few", false, fewSpans - 1, func(ptrace.Span) {}},
	} {
		t.Run(form.name, func(t *testing.T) {
			td := ptrace.NewTraces()
			spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
			for range form.n {
				s := spans.AppendEmpty()
				l := rawspan.Link{ReqSeq: 1, RespSeq: 2, Systrace: 3}
				s.Attributes().PutStr("before", "a")
				l.Put(s.Attributes())
				s.Attributes().PutStr("after", "b")
			}
			form.write(spans.At(3))
			var e encoder
			in := (&reader{}).begin(td, false)
			_, err := e.encode(td, in, func(b []byte) (uint64, error) {
				require.Equal(t, form.block, block.Is(b))
				d := newDecoder()
				whole, err := d.all(b)
				require.NoError(t, err)
				sameBatch(t, td, whole)
				got := ptrace.NewTraces()
				require.NoError(t, d.take(got, b, []uint32{0, 2, 3}, []bool{false, true, false}))
				require.ErrorIs(t, d.take(ptrace.NewTraces(), b, []uint32{uint32(form.n)}, []bool{false}), store.ErrCorrupt)
				want := ptrace.NewTraces()
				td.CopyTo(want)
				left := want.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
				n := 0
				left.RemoveIf(func(ptrace.Span) bool { n++; return n == 2 || n > 4 })
				left.At(1).Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return k != "before" && k != "after" })
				sameBatch(t, want, got)
				return 0, nil
			})
			require.NoError(t, err)
		})
	}
}

func sameBatch(t *testing.T, want, got ptrace.Traces) {
	var enc ptrace.ProtoMarshaler
	a, err := enc.MarshalTraces(want)
	require.NoError(t, err)
	b, err := enc.MarshalTraces(got)
	require.NoError(t, err)
	require.Equal(t, a, b)
}
