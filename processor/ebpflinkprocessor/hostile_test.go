package ebpflinkprocessor

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// script makes choices from bytes; when they run out it chooses the first.
type script struct{ rest []byte }

func (s *script) of(n int) int {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return int(b) % n
}

// long is long enough for most places; TestMegabyteAttributes has the rest.
var long = strings.Repeat("0123456789abcdef", 1<<8)

// absurd are values that any attribute may have.
var absurd = []func(pcommon.Value){
	func(v pcommon.Value) { v.SetInt(1) },
	func(v pcommon.Value) { v.SetInt(2) },
	func(v pcommon.Value) { v.SetInt(math.MaxUint32) },
	func(v pcommon.Value) { v.SetStr("0000000000000001") },
	func(v pcommon.Value) { v.SetStr("0000000000000002") },
	func(v pcommon.Value) { v.SetStr("00000000000000000000000000000001") },
	func(v pcommon.Value) { v.SetStr("10.0.0.1") },
	func(v pcommon.Value) { v.SetBool(true) },
	func(v pcommon.Value) { v.SetDouble(.5) },
	func(v pcommon.Value) { v.SetInt(0) },
	func(v pcommon.Value) { v.SetInt(-1) },
	func(v pcommon.Value) { v.SetInt(math.MinInt64) },
	func(v pcommon.Value) { v.SetInt(math.MaxInt64) },
	func(v pcommon.Value) { v.SetDouble(math.NaN()) },
	func(v pcommon.Value) { v.SetDouble(math.Inf(1)) },
	func(v pcommon.Value) { v.SetStr("") },
	func(v pcommon.Value) { v.SetStr("\x00\xff") },
	func(v pcommon.Value) { v.SetStr(long) },
	func(v pcommon.Value) { v.SetEmptyBytes().FromRaw([]byte(long)) },
	func(v pcommon.Value) { v.SetEmptyMap().PutStr(rawspan.AttrSystrace, "0000000000000001") },
	func(v pcommon.Value) {
		for range 1000 {
			v.SetEmptySlice().AppendEmpty().SetStr("00000001")
		}
	},
	func(pcommon.Value) {},
}

var hostileKeys = []string{
	rawspan.AttrReqSeq, rawspan.AttrRespSeq, rawspan.AttrSystrace, rawspan.AttrPseudoThread, rawspan.AttrLinkHint,
	rawspan.AttrLinkConfidence, rawspan.AttrLinkClass, rawspan.AttrLateOf, rawspan.AttrLocalAddress, rawspan.AttrLocalPort,
	rawspan.AttrPeerAddress, rawspan.AttrPeerPort, rawspan.AttrConnection, rawspan.AttrReqRequestID, rawspan.AttrRespRequestID,
	rawspan.AttrAppTraceID, rawspan.AttrAppParentID, rawspan.AttrAppSampled, rawspan.AttrPending, rawspan.AttrCalls,
	rawspan.AttrCompatProducer, rawspan.AttrCompatHost, rawspan.AttrCompatProcess, rawspan.AttrCompatRequestID,
	rawspan.AttrCompatResponseID, rawspan.AttrCompatTap,
	rawspan.AttrRule, rawspan.AttrConfidence, rawspan.AttrCandidates, rawspan.AttrExplain,
	"http.request.method", "db.system.name", "url.path", "url.full", "http.response.status_code", "server.port",
}

var hostileTimes = []pcommon.Timestamp{
	pcommon.NewTimestampFromTime(epoch0), pcommon.NewTimestampFromTime(epoch0.Add(time.Millisecond)),
	pcommon.NewTimestampFromTime(epoch0.Add(2 * time.Millisecond)), pcommon.NewTimestampFromTime(epoch0.Add(time.Hour)),
	pcommon.NewTimestampFromTime(epoch0.Add(-time.Hour)), 0, 1, math.MaxInt64, math.MaxUint64,
}

// hostileBatch writes up to 16 spans of few ids, hosts and values, so that they meet.
func hostileBatch(s *script) ptrace.Traces {
	td := ptrace.NewTraces()
	for range 1 + s.of(4) {
		rs := td.ResourceSpans().AppendEmpty()
		for _, key := range []string{rawspan.ResHostID, rawspan.ResPID, rawspan.ResService, rawspan.ResInstance, rawspan.ResContainer, rawspan.ResPod} {
			absurd[s.of(len(absurd))](rs.Resource().Attributes().PutEmpty(key))
		}
		ss := rs.ScopeSpans().AppendEmpty()
		if s.of(2) == 0 {
			ss.Scope().SetName(rawspan.ScopeName)
		}
		for range s.of(5) {
			sp := ss.Spans().AppendEmpty()
			sp.SetTraceID(traceID(uint64(s.of(3))))
			sp.SetSpanID(spanID(uint64(s.of(6))))
			sp.SetParentSpanID(spanID(uint64(s.of(6))))
			sp.SetKind(ptrace.SpanKind(s.of(7)))
			sp.SetStartTimestamp(hostileTimes[s.of(len(hostileTimes))])
			sp.SetEndTimestamp(hostileTimes[s.of(len(hostileTimes))])
			sp.TraceState().FromRaw([]string{"", "ot=th:8", "ot=th:zz;rv:1", long}[s.of(4)])
			if s.of(3) == 1 {
				// Without it the other attributes of its kind do not count.
				sp.Attributes().PutStr(rawspan.AttrCompatProducer, "deepflow")
				sp.Attributes().PutStr(rawspan.AttrCompatTap, []string{"", "c-p", "c-nd", "s-p"}[s.of(4)])
			}
			for range s.of(6) {
				absurd[s.of(len(absurd))](sp.Attributes().PutEmpty(hostileKeys[s.of(len(hostileKeys))]))
			}
		}
	}
	return td
}

// TestMegabyteAttributes: what a span says at length is handed on, and not kept where linking keeps facts.
func TestMegabyteAttributes(t *testing.T) {
	megabyte := strings.Repeat("0123456789abcdef", 1<<16)
	r := newRig(t, func(c *Config) { c.Explain = true })
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(rawspan.ResHostID, megabyte)
	sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	sp.SetSpanID(spanID(1))
	for _, key := range hostileKeys {
		if key == rawspan.AttrExplain {
			continue
		}
		sp.Attributes().PutStr(key, megabyte)
	}
	sp.Attributes().PutStr(rawspan.AttrReqRequestID, megabyte)
	require.NoError(t, r.ConsumeTraces(t.Context(), td))
	r.pass(20 * time.Second)
	why, _ := r.sink.one(t, 1).Attributes().Get(rawspan.AttrExplain)
	require.Less(t, len(fmt.Sprint(why.AsRaw())), 10_000)
}

// FuzzHostileSpans: whatever spans say, none is lost or comes out twice, none is its own parent and
// nothing panics.
func FuzzHostileSpans(f *testing.F) {
	for seed := range byte(40) {
		b := make([]byte, 400)
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Add(bytes.Repeat([]byte{3, 0, 0, 0, 0, 4}, 50))
	f.Fuzz(func(t *testing.T, choices []byte) {
		r := newRig(t, func(c *Config) {
			c.Explain, c.Rules = true, link.AllRuleNames()
			c.Window, c.LinkRetention = time.Second, 3*time.Second
		})
		s := &script{choices}
		for range 8 {
			require.NoError(t, r.ConsumeTraces(t.Context(), hostileBatch(s)))
			r.pass(time.Duration(s.of(4)) * 500 * time.Millisecond)
		}
		r.pass(3 * time.Second)
		require.Zero(t, r.held.Load(), "spans wait for ever")
		out := int64(0)
		for _, td := range r.sink.calls {
			out += int64(td.SpanCount())
			for _, rs := range td.ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					for _, sp := range ss.Spans().All() {
						if why, ok := sp.Attributes().Get(rawspan.AttrExplain); ok && why.Type() == pcommon.ValueTypeMap {
							// What it says is bounded, whatever came in.
							require.Less(t, len(fmt.Sprint(why.AsRaw())), 100_000)
						}
					}
				}
			}
		}
		require.Equal(t, r.metric("spans_emitted", ""), out)
		require.Equal(t, r.metric("spans_received", ""),
			out+r.metric("spans_dropped", "")+r.metric("spans_duplicate", "")+r.metric("spans_pending", ""))
		r.pass(5 * time.Second)
		require.Zero(t, r.index.Len(), "facts stay for ever")
	})
}
