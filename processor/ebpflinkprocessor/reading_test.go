package ebpflinkprocessor

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// TestReadingAgain: nothing of a batch is in what is read into its room.
func TestReadingAgain(t *testing.T) {
	plain := ptrace.NewTraces()
	plain.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("plain")
	rich := ptrace.NewTraces()
	rs := rich.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(rawspan.ResHostID, "host")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for range 3 {
		s := spans.AppendEmpty()
		s.SetSpanID([8]byte{1})
		s.TraceState().FromRaw("ot=th:8")
	}
	var fresh, used reader
	want := fresh.read(plain, false)
	for range 100 { // whether a pool has kept something is up to it
		in := used.read(rich, false)
		require.Len(t, in.facts, 3)
		require.NotEmpty(t, in.hosts)
		require.NotEmpty(t, in.besides)
		used.done(in)
		in = used.read(plain, false)
		require.Equal(t, want.facts, in.facts)
		require.Empty(t, in.hosts)
		require.Empty(t, in.besides)
		require.Zero(t, in.malformed)
		used.done(in)
	}
}

// sameReading compares what linking needs.
func sameReading(t *testing.T, want, got *reading) {
	t.Helper()
	require.Equal(t, append([]link.Fact{}, want.facts...), append([]link.Fact{}, got.facts...))
	require.Equal(t, want.besides, got.besides)
	require.Equal(t, append([]origin{}, want.hosts...), append([]origin{}, got.hosts...))
	require.Equal(t, want.malformed, got.malformed)
	require.Equal(t, want.paired, got.paired)
}

// anyBatch has spans with attributes of linking and of exchanges, some of them wrong, and unusual spans here and there.
func anyBatch(rnd *rand.Rand) ptrace.Traces {
	values := []func(pcommon.Value){
		func(v pcommon.Value) { v.SetStr(fmt.Sprintf("%016x", rnd.IntN(3))) },
		func(v pcommon.Value) { v.SetStr(fmt.Sprintf("10.0.%d.%d", rnd.IntN(20), rnd.IntN(30))) },
		func(v pcommon.Value) {
			v.SetStr([]string{"", "::1", "fe80::1%eth0", "999.1.1.1", "GET", "http://a/b"}[rnd.IntN(6)])
		},
		func(v pcommon.Value) { v.SetInt([]int64{-1, 0, 200, 8080, 1 << 40}[rnd.IntN(5)]) },
		func(v pcommon.Value) { v.SetBool(rnd.IntN(2) == 0) },
		func(v pcommon.Value) { v.SetDouble(rnd.Float64()) },
		func(v pcommon.Value) { v.SetEmptySlice().AppendEmpty().SetStr("request-id") },
	}
	keys := []string{
		rawspan.AttrReqSeq, rawspan.AttrRespSeq, rawspan.AttrSystrace, rawspan.AttrPseudoThread, rawspan.AttrLateOf,
		rawspan.AttrLocalAddress, rawspan.AttrLocalPort, rawspan.AttrPeerAddress, rawspan.AttrPeerPort, rawspan.AttrReqRequestID,
		rawspan.AttrPending, rawspan.AttrCalls, rawspan.AttrCompatProducer, rawspan.AttrCompatHost, rawspan.AttrLinkHint,
		"http.request.method", "http.method", "url.path", "url.full", "http.status_code", "server.port", "rpc.system", "other",
	}
	td := ptrace.NewTraces()
	unusual := rnd.IntN(2) == 0
	for range 1 + rnd.IntN(3) {
		rs := td.ResourceSpans().AppendEmpty()
		if rnd.IntN(3) > 0 {
			rs.Resource().Attributes().PutStr(rawspan.ResHostID, fmt.Sprint("host ", rnd.IntN(2)))
			rs.Resource().Attributes().PutInt(rawspan.ResPID, int64(rnd.IntN(3)))
			rs.Resource().Attributes().PutStr(rawspan.ResService, "service")
		}
		for range 1 + rnd.IntN(2) {
			ss := rs.ScopeSpans().AppendEmpty()
			if rnd.IntN(2) == 0 {
				ss.Scope().SetName(rawspan.ScopeName)
			}
			for range rnd.IntN(40) {
				s := ss.Spans().AppendEmpty()
				s.SetSpanID([8]byte{1, byte(rnd.IntN(256))})
				s.SetTraceID([16]byte{1})
				s.SetKind(ptrace.SpanKind(rnd.IntN(6)))
				if rnd.IntN(2) == 0 {
					s.SetParentSpanID([8]byte{2})
				}
				if rnd.IntN(8) == 0 {
					s.TraceState().FromRaw([]string{"ot=th:8", "ot=th:wrong", "a=b"}[rnd.IntN(3)])
				}
				for range rnd.IntN(12) {
					values[rnd.IntN(len(values))](s.Attributes().PutEmpty(keys[rnd.IntN(len(keys))]))
				}
				if unusual && rnd.IntN(30) == 0 {
					s.Events().AppendEmpty()
				}
			}
		}
	}
	return td
}

// TestReadingWhileWriting: what is read of a batch while it is made a block is what is read of it alone, also where it
// turns out to be none.
func TestReadingWhileWriting(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	encoders := [2]encoder{{share: true}, {}}
	blocks, others := 0, 0
	for _, sameCall := range []bool{false, true} {
		r := reader{sameCall: sameCall, everyProcess: sameCall}
		for round := range 400 {
			enc := &encoders[round%2]
			td := anyBatch(rnd)
			for _, exchanges := range []bool{false, sameCall} {
				in := r.begin(td, exchanges)
				_, err := enc.encode(td, in, func(b []byte) (uint64, error) {
					if block.Is(b) {
						blocks++
					} else {
						others++
					}
					return 0, nil
				})
				require.NoError(t, err)
				fresh := reader{sameCall: sameCall, everyProcess: sameCall}
				want := fresh.read(td, exchanges)
				require.Len(t, want.facts, td.SpanCount())
				sameReading(t, want, in)
				r.done(in)
			}
		}
	}
	require.Greater(t, blocks, 200)
	require.Greater(t, others, 200)
}

// BenchmarkTakingIn reads and encodes 500 spans of ten attributes.
func BenchmarkTakingIn(b *testing.B) {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(rawspan.ResHostID, "host")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName(rawspan.ScopeName)
	for i := range 500 {
		s := ss.Spans().AppendEmpty()
		s.SetTraceID([16]byte{1, 14: byte(i >> 8), 15: byte(i)})
		s.SetSpanID([8]byte{1, 6: byte(i >> 8), 7: byte(i)})
		s.SetName("GET /api/items")
		s.SetKind(ptrace.SpanKindServer)
		s.SetStartTimestamp(pcommon.Timestamp(1<<60 + i))
		s.SetEndTimestamp(pcommon.Timestamp(1<<60 + 2*i))
		l := rawspan.Link{
			ReqSeq: 1<<31 + uint32(i), RespSeq: 1<<30 + uint32(i), Systrace: 1<<60 + uint64(i),
			Local: netip.MustParseAddrPort("10.0.1.2:8080"), Peer: netip.AddrPortFrom(netip.MustParseAddr("10.0.1.3"), uint16(20000+i)),
		}
		a := s.Attributes()
		l.Put(a)
		a.PutStr("http.request.method", "GET")
		a.PutStr("url.path", "/api/items/12345")
		a.PutInt("http.response.status_code", 200)
	}
	var r reader
	enc := encoder{share: block.CanShare()}
	w := block.Writer{Share: enc.share}
	for _, way := range []struct {
		name string
		take func()
	}{
		{"at once", func() {
			in := r.begin(td, false)
			_, _ = enc.encode(td, in, func([]byte) (uint64, error) { return 0, nil })
			r.done(in)
		}},
		{"in turn", func() {
			r.done(r.read(td, false))
			_, _, _ = w.Write(td, nil)
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				way.take()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/span")
		})
	}
}
