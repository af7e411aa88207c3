package ebpfspanreceiver

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

func sampleExchange() *exchange.Exchange {
	return &exchange.Exchange{
		Protocol: &protocol.Protocol{Name: "http"},
		Request: &protocol.Message{
			Name:       "GET",
			Attributes: []protocol.Attr{protocol.String("http.request.method", "GET"), protocol.String("url.path", "/a")},
		},
		Response: &protocol.Message{Attributes: []protocol.Attr{protocol.Int("http.response.status_code", 200)}},
		Conn:     0xabc, Local: netip.MustParseAddrPort("10.0.0.1:4000"), Peer: netip.MustParseAddrPort("10.0.0.2:80"),
		Tgid: 7, Turn: 11, Tid: 8, Context: 9, ContextKind: 1, ReqSeq: 100, RespSeq: 200, Start: 1000, End: 2000,
	}
}

func writeSpan(x *exchange.Exchange, owner *causality.Answer, lineage uint64) (ptrace.Span, rawspan.Link) {
	w := spanWriter{host: rawspan.Host{ID: "h", Boot: "b"}, clock: event.NewClock()}
	spans := ptrace.NewSpanSlice()
	w.write(spans, x, origin{owner: owner, lineage: lineage})
	l, malformed := rawspan.ReadLink(spans.At(0))
	if malformed != 0 {
		panic("malformed link attributes")
	}
	return spans.At(0), l
}

// Why a call has no request is on its span where the receiver was asked to say so.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		owner causality.Answer
		want  []any
	}{
		{causality.Answer{Outcome: causality.Untrusted, Refused: []string{"wake: never_alone"}}, []any{"wake: never_alone"}},
		{causality.Answer{Outcome: causality.Untrusted}, nil},
		{causality.Answer{Outcome: causality.Late, Request: 7, Refused: []string{"wake: never_alone"}}, nil},
	} {
		s, _ := writeSpan(sampleExchange(), &tc.owner, 0)
		v, ok := s.Attributes().Get(rawspan.AttrRefused)
		require.Equal(t, tc.want != nil, ok)
		if ok {
			require.Equal(t, tc.want, v.Slice().AsRaw())
		}
	}
}

func TestClientSpan(t *testing.T) {
	x := sampleExchange()
	s, l := writeSpan(x, &causality.Answer{Outcome: causality.Linked, Request: 77, Hints: []string{"channel"}, Confidence: 0.995}, 5)
	require.Equal(t, ptrace.SpanKindClient, s.Kind())
	require.Equal(t, "GET", s.Name())
	require.Equal(t, time.Duration(1000), s.EndTimestamp().AsTime().Sub(s.StartTimestamp().AsTime()))
	require.False(t, s.SpanID().IsEmpty())
	require.False(t, s.TraceID().IsEmpty())
	require.True(t, s.ParentSpanID().IsEmpty(), "a raw span has no parent")
	require.Equal(t, rawspan.Link{
		ReqSeq: 100, RespSeq: 200, Systrace: 77, PseudoThread: 5, Hints: []string{"channel"}, HintConfidence: 0.995, HintClass: "exact",
		Local: x.Local, Peer: x.Peer, Connection: "0000000000000abc",
	}, l)
	require.Equal(t, map[string]any{
		"http.request.method": "GET", "url.path": "/a", "http.response.status_code": int64(200),
		"server.address": "10.0.0.2", "server.port": int64(80), "network.transport": "tcp", "network.type": "ipv4",
		"network.protocol.name": "http", "thread.id": int64(8), "go.goroutine.id": int64(9),
		"network.local.address": "10.0.0.1", "network.local.port": int64(4000),
		"network.peer.address": "10.0.0.2", "network.peer.port": int64(80), "network.connection.id": "0000000000000abc",
	}, withoutLink(s))

	again, _ := writeSpan(sampleExchange(), nil, 0)
	require.Equal(t, s.SpanID(), again.SpanID(), "the same exchange has the same id")
	_, l = writeSpan(sampleExchange(), &causality.Answer{Outcome: causality.Conflict}, 0)
	require.Zero(t, l.Systrace)
	require.Empty(t, l.Hints)
	_, l = writeSpan(sampleExchange(), &causality.Answer{Outcome: causality.Late, Request: 78}, 0)
	require.Zero(t, l.Systrace, "a call after the response is no child")
	require.EqualValues(t, 78, l.LateOf)
}

func withoutLink(s ptrace.Span) map[string]any {
	out := s.Attributes().AsRaw()
	for k := range out {
		if rawspan.IsLinkAttr(k) {
			delete(out, k)
		}
	}
	return out
}

func TestServerSpan(t *testing.T) {
	x := sampleExchange()
	x.Server, x.Epoch = true, 0x1234
	s, l := writeSpan(x, nil, 0)
	require.Equal(t, ptrace.SpanKindServer, s.Kind())
	require.Equal(t, uint64(0x1234), l.Systrace)
	require.EqualValues(t, rawspan.ServerSpanID("h", 0x1234), s.SpanID())
	address, _ := s.Attributes().Get("server.address")
	require.Equal(t, "10.0.0.1", address.Str())
	client, _ := s.Attributes().Get("client.address")
	require.Equal(t, "10.0.0.2", client.Str())
	require.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())

	x.Request.Context = protocol.TraceContext{TraceID: [16]byte{1}, ParentID: [8]byte{2}, Sampled: true, HasSampled: true}
	_, l = writeSpan(x, nil, 0)
	require.Equal(t, [16]byte{1}, l.AppTraceID)
	require.True(t, l.HasAppSampled)
}

func TestStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*exchange.Exchange)
		code    ptrace.StatusCode
		errType string
	}{
		"fine":                          {func(*exchange.Exchange) {}, ptrace.StatusCodeUnset, ""},
		"no answer owed":                {func(x *exchange.Exchange) { x.Response, x.Outcome = nil, exchange.NotOwed }, ptrace.StatusCodeUnset, ""},
		"server's fault":                {fault(protocol.ServerFault, true), ptrace.StatusCodeError, "500"},
		"server's fault too":            {fault(protocol.ServerFault, false), ptrace.StatusCodeError, "500"},
		"caller's fault, at the caller": {fault(protocol.CallerFault, false), ptrace.StatusCodeError, "500"},
		"caller's fault, at the server": {fault(protocol.CallerFault, true), ptrace.StatusCodeUnset, ""},
		"connection broke": {
			func(x *exchange.Exchange) { x.Response, x.Outcome = nil, exchange.Broken },
			ptrace.StatusCodeError, "connection_closed",
		},
		"answer not seen": {func(x *exchange.Exchange) { x.Response, x.Outcome = nil, exchange.Lost }, ptrace.StatusCodeUnset, ""},
		"pending":         {func(x *exchange.Exchange) { x.Response, x.Pending = nil, true }, ptrace.StatusCodeUnset, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := sampleExchange()
			tc.change(x)
			s, l := writeSpan(x, nil, 0)
			require.Equal(t, tc.code, s.Status().Code())
			kind, _ := s.Attributes().Get("error.type")
			require.Equal(t, tc.errType, kind.Str())
			require.Equal(t, x.Pending, l.Pending)
		})
	}
}

func fault(f protocol.Fault, server bool) func(*exchange.Exchange) {
	return func(x *exchange.Exchange) {
		x.Server, x.Epoch = server, 1
		x.Response.Fault = f
		x.Response.Attributes = append(x.Response.Attributes, protocol.String("error.type", "500"))
	}
}

func TestBatchGroupsByProcess(t *testing.T) {
	self, err := process.NewReader("/proc", process.Host{ID: "h", Name: "n"}).Describe(os.Getpid())
	require.NoError(t, err)
	other := *self
	b := newBatch("1.2.3")
	require.False(t, b.due(time.Now().Add(time.Hour)))
	_, ok := b.take()
	require.False(t, ok)
	for range 3 {
		b.of(self).AppendEmpty()
		b.of(&other).AppendEmpty()
	}
	require.True(t, b.due(time.Now().Add(time.Hour)))
	td, ok := b.take()
	require.True(t, ok)
	require.Equal(t, 6, td.SpanCount())
	require.Equal(t, 2, td.ResourceSpans().Len())
	rs := td.ResourceSpans().At(0)
	require.Equal(t, rawspan.SchemaURL, rs.SchemaUrl())
	host, _ := rs.Resource().Attributes().Get("host.id")
	require.Equal(t, "h", host.Str())
	require.Equal(t, "1.2.3", rs.ScopeSpans().At(0).Scope().Version())
	require.Zero(t, b.spans)
}

func TestLineage(t *testing.T) {
	p := &process.Process{PID: 1, Start: 2}
	require.Zero(t, lineageID(p, 0))
	require.Equal(t, lineageID(p, 5), lineageID(&process.Process{PID: 1, Start: 2}, 5))
	require.NotEqual(t, lineageID(p, 5), lineageID(p, 6))
	require.NotEqual(t, lineageID(p, 5), lineageID(&process.Process{PID: 1, Start: 3}, 5))

	d := &described{Process: p, serving: map[uint64]int{}}
	server := &exchange.Exchange{Server: true, Context: 5}
	d.serving[5]++
	call := &exchange.Exchange{Context: 5, ParentContext: 4}
	require.Equal(t, lineageID(p, 5), d.lineage(call), "it serves a request itself")
	require.Equal(t, lineageID(p, 5), d.lineage(server))
	require.Equal(t, lineageID(p, 4), d.lineage(call), "it does not any more")
	require.Zero(t, d.lineage(&exchange.Exchange{Tid: 3}))
}

func BenchmarkWriteSpan(b *testing.B) {
	w := spanWriter{host: rawspan.Host{ID: "h", Boot: "b"}, clock: event.NewClock()}
	x := sampleExchange()
	b.ReportAllocs()
	for b.Loop() {
		w.write(ptrace.NewSpanSlice(), x, origin{})
	}
}

// A call waits for its answer until after its request: whether its goroutine served one is asked before.
func TestLineageOfACallThatWaits(t *testing.T) {
	p := &process.Process{PID: 7, Start: 2}
	r := &ebpfReceiver{
		config: &Config{}, counts: &counts{}, processes: processes{by: map[uint32]*described{7: {Process: p, serving: map[uint64]int{}}}},
		writer: spanWriter{host: rawspan.Host{ID: "h", Boot: "b"}, clock: event.NewClock()}, batch: newBatch("v"),
	}
	r.solver = causality.NewSolver(causality.Options{Grace: time.Second, Hold: time.Minute, MaxHeld: 8, MaxAge: time.Hour}, &r.counts.causality)

	request, call := sampleExchange(), sampleExchange()
	request.Server, request.Epoch, request.EndTid, request.EndContext, request.EndContextKind = true, 77, 8, 9, 1
	call.Turn, call.Start, call.End, call.EndTid, call.EndContext, call.ParentContext = 12, 1200, 1800, 8, 9, 4
	r.Began(request)
	const sameThread = 1 // EVIDENCE_SAME_THREAD
	r.solver.Evidence(&event.Evidence{What: sameThread, Call: call.Turn, Epoch: request.Turn, Ts: 1200})
	r.Done(call)
	r.Done(request)
	r.solver.Tick(uint64(time.Hour))

	td, ok := r.batch.take()
	require.True(t, ok)
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	require.Equal(t, 2, spans.Len())
	for i := range spans.Len() {
		l, _ := rawspan.ReadLink(spans.At(i))
		require.EqualValues(t, 77, l.Systrace)
		require.Equal(t, lineageID(p, 9), l.PseudoThread, spans.At(i).Kind())
	}
}
