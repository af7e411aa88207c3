package block

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// encode shows what equality of pdata cannot compare: NaN, and what is empty.
func encode(t testing.TB, td ptrace.Traces) []byte {
	var m ptrace.ProtoMarshaler
	b, err := m.MarshalTraces(td)
	require.NoError(t, err)
	return b
}

// spans that have one thing each, and whether a block has a place for it.
var spans = map[string]struct {
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
		a.PutStr("empty", "not utf-8 \xff\x00")
		a.PutInt("i", -1)
		a.PutInt("zero", 0)
		a.PutInt("least", math.MinInt64)
		a.PutInt("most", math.MaxInt64)
		a.PutBool("b", true)
		a.PutBool("no", false)
		a.PutDouble("d", math.NaN())
		l := a.PutEmptySlice("strings")
		l.AppendEmpty().SetStr("a")
		l.AppendEmpty().SetStr("")
		a.PutEmptySlice("none")
	}, true},
	"strange numbers": {func(s ptrace.Span) {
		s.SetKind(-1)
		s.Status().SetCode(-7)
		s.SetStartTimestamp(1)
		s.SetEndTimestamp(math.MaxUint64)
	}, true},
	"the key is a value":    {func(s ptrace.Span) { s.Attributes().PutStr("name", "name"); s.SetName("name") }, true},
	"bytes":                 {func(s ptrace.Span) { s.Attributes().PutEmptyBytes("b").Append(1, 2) }, false},
	"a map":                 {func(s ptrace.Span) { s.Attributes().PutEmptyMap("m").PutStr("k", "v") }, false},
	"no value":              {func(s ptrace.Span) { s.Attributes().PutEmpty("e") }, false},
	"list of others":        {func(s ptrace.Span) { s.Attributes().PutEmptySlice("l").AppendEmpty().SetInt(1) }, false},
	"an event":              {func(s ptrace.Span) { s.Events().AppendEmpty().SetName("e") }, false},
	"a link":                {func(s ptrace.Span) { s.Links().AppendEmpty().SetSpanID(pcommon.SpanID{1}) }, false},
	"an attribute is twice": {func(s ptrace.Span) { twice(s) }, false},
}

// twice gives s an attribute twice, as only the wire can.
func twice(s ptrace.Span) {
	one := func(k string) []byte {
		td := ptrace.NewTraces()
		td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().Attributes().PutStr(k, "v")
		var m ptrace.ProtoMarshaler
		b, _ := m.MarshalTraces(td)
		return b
	}
	b := one("k") // 0a n 12 n 12 n span
	span := b[6:]
	span = append(span, span...)
	b = append([]byte{0x0a, byte(len(span) + 4), 0x12, byte(len(span) + 2), 0x12, byte(len(span))}, span...)
	var u ptrace.ProtoUnmarshaler
	td, err := u.UnmarshalTraces(b)
	if err != nil || td.SpanCount() != 1 {
		panic(fmt.Sprint(td.SpanCount(), err))
	}
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).CopyTo(s)
}

func one(write func(ptrace.Span)) ptrace.Traces {
	td := ptrace.NewTraces()
	write(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty())
	return td
}

func TestSpanComesBackAsItWas(t *testing.T) {
	// One of each: what is left of one block must not be in the next.
	var w Writer
	var r Reader
	for round := range 4 {
		w.Share, r.Share = round&1 != 0, round&2 != 0
		for name, tt := range spans {
			t.Run(name, func(t *testing.T) {
				td := one(tt.write)
				b, ok, err := w.Write(td, nil)
				require.NoError(t, err)
				require.Equal(t, tt.usual, ok)
				if !ok {
					return
				}
				n, err := Count(b)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				got := ptrace.NewTraces()
				require.NoError(t, r.Take(got, b, []uint32{0}, nil))
				require.Equal(t, encode(t, td), encode(t, got))
			})
		}
	}
}

// batch has the given numbers of spans per scope per resource.
func batch(rnd *rand.Rand, shape [][]int) ptrace.Traces {
	td := ptrace.NewTraces()
	n := 0
	for r, scopes := range shape {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("host.id", fmt.Sprint(r))
		rs.Resource().SetDroppedAttributesCount(3)
		rs.SetSchemaUrl("resource schema")
		for s, count := range scopes {
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName(fmt.Sprint(s))
			ss.Scope().SetVersion("v1")
			ss.Scope().Attributes().PutStr("scope", "attribute")
			ss.SetSchemaUrl("scope schema")
			for range count {
				sp := ss.Spans().AppendEmpty()
				sp.SetName(fmt.Sprintf("span %d", n))
				a := sp.Attributes()
				for range rnd.IntN(8) {
					k := fmt.Sprintf("key %d", rnd.IntN(20))
					switch rnd.IntN(4) {
					case 0:
						a.PutInt(k, rnd.Int64N([]int64{3, math.MaxInt64}[rnd.IntN(2)]))
					case 1:
						a.PutStr(k, fmt.Sprint(rnd.Int64()))
					default:
						a.PutStr(k, fmt.Sprintf("value %d", rnd.IntN(3)))
					}
				}
				n++
			}
		}
	}
	return td
}

// picked is the slow way: remove from td what was not chosen.
func picked(td ptrace.Traces, chosen map[uint32]bool, strip func(string) bool) ptrace.Traces {
	out := ptrace.NewTraces()
	td.CopyTo(out)
	n := uint32(0)
	out.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool {
				if n%2 == 1 {
					s.Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return strip(k) })
				}
				n++
				return !chosen[n-1]
			})
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
	return out
}

func TestTakeGivesWhatWasChosen(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	strip := func(k string) bool { return k < "key 14" }
	var w Writer
	r := Reader{Strip: strip, Room: 3}
	for _, shape := range [][][]int{{{1}}, {{500}}, {{3, 4}, {0}, {}, {5, 0, 2}}, {{0, 0}, {1}, {2, 2, 2}}, {}} {
		total := 0
		for _, scopes := range shape {
			for _, n := range scopes {
				total += n
			}
		}
		for round := range 50 {
			r.Share, w.Share = round&1 != 0, round&2 != 0
			td := batch(rnd, shape)
			b, ok, err := w.Write(td, nil)
			require.NoError(t, err)
			require.True(t, ok)
			n, err := Count(b)
			require.NoError(t, err)
			require.Equal(t, total, n)
			chosen := map[uint32]bool{}
			var ordinals []uint32
			var stripped []bool
			some := rnd.IntN(4)
			for i := range uint32(total) {
				if rnd.IntN(4) <= some {
					chosen[i] = true
					ordinals, stripped = append(ordinals, i), append(stripped, i%2 == 1)
				}
			}
			got := ptrace.NewTraces()
			require.NoError(t, r.Take(got, b, ordinals, stripped))
			require.Equal(t, encode(t, picked(td, chosen, strip)), encode(t, got))
			require.ErrorIs(t, r.Take(ptrace.NewTraces(), b, append(ordinals, uint32(total)), append(stripped, false)), ErrMalformed)
		}
	}
}

// TestTooManyWords: keys without end are no case for a block; values without end are not numbered.
func TestTooManyWords(t *testing.T) {
	var w Writer
	_, ok, err := w.Write(one(func(s ptrace.Span) {
		for i := range maxWords {
			s.Attributes().PutInt(fmt.Sprint("key ", i), 1)
		}
	}), nil)
	require.NoError(t, err)
	require.False(t, ok)

	td := ptrace.NewTraces()
	ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range 2 * maxWords {
		for range 2 {
			ss.AppendEmpty().Attributes().PutStr("k", fmt.Sprintf("value %100d", i))
		}
	}
	b, ok, err := w.Write(td, nil)
	require.NoError(t, err)
	require.True(t, ok)
	p, err := parse(b)
	require.NoError(t, err)
	require.LessOrEqual(t, p.wordCount, maxWords)
	require.LessOrEqual(t, len(p.words), maxWordBytes+2*maxWords)
	all := make([]uint32, ss.Len())
	for i := range all {
		all[i] = uint32(i)
	}
	got := ptrace.NewTraces()
	var r Reader
	require.NoError(t, r.Take(got, b, all, nil))
	require.Equal(t, encode(t, td), encode(t, got))
}

// FuzzTake: whatever the bytes, an error or spans, of which a block can be made again.
func FuzzTake(f *testing.F) {
	var w Writer
	for _, tt := range spans {
		if b, ok, _ := w.Write(one(tt.write), nil); ok {
			f.Add(append([]byte(nil), b...))
		}
	}
	b, _, _ := w.Write(batch(rand.New(rand.NewPCG(1, 2)), [][]int{{3, 4}, {0}, {5, 0, 2}}), nil)
	f.Add(append([]byte(nil), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Reader{Share: true}
		var apart Reader
		n, err := Count(b)
		if err != nil {
			return
		}
		all := make([]uint32, n)
		for i := range all {
			all[i] = uint32(i)
		}
		got := ptrace.NewTraces()
		if err := r.Take(got, b, all, nil); err != nil {
			require.Error(t, apart.Take(ptrace.NewTraces(), b, all, nil))
			return
		}
		require.Equal(t, n, got.SpanCount())
		other := ptrace.NewTraces()
		require.NoError(t, apart.Take(other, b, all, nil))
		require.Equal(t, encode(t, got), encode(t, other))
		w := Writer{Share: true}
		again, ok, err := w.Write(got, nil)
		if err != nil || !ok {
			return
		}
		once := ptrace.NewTraces()
		require.NoError(t, r.Take(once, again, all, nil))
		require.Equal(t, encode(t, got), encode(t, once))
	})
}

// request is 500 spans of ten attributes, as receivers send them.
func request() ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("host.id", "a")
	ss := rs.ScopeSpans().AppendEmpty().Spans()
	for i := range 500 {
		s := ss.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1, 15: byte(i)})
		s.SetSpanID(pcommon.SpanID{1, 7: byte(i)})
		s.SetName("GET /api/items")
		s.SetKind(ptrace.SpanKindServer)
		s.SetStartTimestamp(pcommon.Timestamp(1<<60 + i))
		s.SetEndTimestamp(pcommon.Timestamp(1<<60 + 2*i))
		a := s.Attributes()
		a.PutInt("ebpf.link.req_tcp_seq", int64(i)<<20)
		a.PutInt("ebpf.link.resp_tcp_seq", int64(i)<<21)
		a.PutStr("ebpf.link.systrace", fmt.Sprintf("%016x", i))
		a.PutStr("network.local.address", "10.0.1.2")
		a.PutInt("network.local.port", 8080)
		a.PutStr("network.peer.address", "10.0.1.3")
		a.PutInt("network.peer.port", int64(20000+i))
		a.PutStr("http.request.method", "GET")
		a.PutStr("url.path", "/api/items/12345")
		a.PutInt("http.response.status_code", 200)
	}
	return td
}

func perSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
}

func BenchmarkWrite(b *testing.B) {
	td := request()
	b.Run("block", func(b *testing.B) {
		b.ReportAllocs()
		w := Writer{Share: CanShare()}
		size := 0
		for range b.N {
			out, ok, err := w.Write(td, nil)
			if !ok || err != nil {
				b.Fatal(ok, err)
			}
			size = len(out)
		}
		b.ReportMetric(float64(size)/500, "bytes/span")
		perSpan(b, 500)
	})
	b.Run("OTLP", func(b *testing.B) {
		b.ReportAllocs()
		size := 0
		for range b.N {
			size = len(encode(b, td))
		}
		b.ReportMetric(float64(size)/500, "bytes/span")
		perSpan(b, 500)
	})
}

func BenchmarkTake(b *testing.B) {
	td := request()
	var w Writer
	block, _, _ := w.Write(td, nil)
	r := Reader{Strip: func(k string) bool { return strings.HasPrefix(k, "ebpf.") }, Room: 3}
	var some []uint32
	stripped := make([]bool, 125)
	for i := range uint32(125) {
		some, stripped[i] = append(some, 4*i), true
	}
	for _, share := range []bool{true, false} {
		b.Run(fmt.Sprintf("share=%t", share), func(b *testing.B) {
			r.Share = share
			b.ReportAllocs()
			for range b.N {
				if err := r.Take(ptrace.NewTraces(), block, some, stripped); err != nil {
					b.Fatal(err)
				}
			}
			perSpan(b, len(some))
		})
	}
	b.Run("all", func(b *testing.B) {
		r.Share = CanShare()
		all := make([]uint32, 500)
		for i := range all {
			all[i] = uint32(i)
		}
		b.ReportAllocs()
		for range b.N {
			if err := r.Take(ptrace.NewTraces(), block, all, nil); err != nil {
				b.Fatal(err)
			}
		}
		perSpan(b, len(all))
	})
}
