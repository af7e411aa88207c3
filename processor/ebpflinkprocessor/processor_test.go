package ebpflinkprocessor

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// epoch0 is the wall time of the tests' spans: the millisecond offsets below count from it.
var epoch0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// spanSpec describes one span.
type spanSpec struct {
	id       uint64
	host     string
	kind     ptrace.SpanKind
	start    int // ms
	duration int // ms
	link     rawspan.Link
	// trace and parent make it an SDK span.
	trace, parent uint64
}

func spanID(id uint64) (s pcommon.SpanID) {
	binary.BigEndian.PutUint64(s[:], id)
	return s
}

func traceID(id uint64) (t pcommon.TraceID) {
	binary.BigEndian.PutUint64(t[8:], id)
	return t
}

func (s spanSpec) write(sp ptrace.Span) {
	sp.SetSpanID(spanID(s.id))
	if s.trace != 0 {
		sp.SetTraceID(traceID(s.trace))
		if s.parent != 0 {
			sp.SetParentSpanID(spanID(s.parent))
		}
	} else {
		sp.SetTraceID(rawspan.RawTraceID(s.link.ReqSeq, s.link.RespSeq, spanID(s.id)))
	}
	sp.SetName("op")
	sp.SetKind(s.kind)
	start := epoch0.Add(time.Duration(s.start) * time.Millisecond)
	sp.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
	if !s.link.Pending {
		sp.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Duration(s.duration) * time.Millisecond)))
	}
	s.link.Put(sp.Attributes())
}

// batchOf puts each span in a resource of its host.
func batchOf(specs ...spanSpec) ptrace.Traces {
	td := ptrace.NewTraces()
	at := map[string]ptrace.SpanSlice{}
	for _, s := range specs {
		spans, ok := at[s.host]
		if !ok {
			rs := td.ResourceSpans().AppendEmpty()
			rs.SetSchemaUrl(rawspan.SchemaURL)
			if s.host != "" {
				rs.Resource().Attributes().PutStr(rawspan.ResHostID, s.host)
			}
			ss := rs.ScopeSpans().AppendEmpty()
			ss.SetSchemaUrl("scope-schema")
			ss.Scope().SetName("test")
			spans = ss.Spans()
			at[s.host] = spans
		}
		s.write(spans.AppendEmpty())
	}
	return td
}

// sink is a next consumer that remembers, and refuses on demand.
type sink struct {
	mu     sync.Mutex
	calls  []ptrace.Traces
	refuse func(call int) error
	seen   int
}

func (s *sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (s *sink) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if s.refuse != nil {
		if err := s.refuse(s.seen); err != nil {
			// What is refused may have been changed: a retry must not be built on it.
			td.ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true })
			return err
		}
	}
	s.calls = append(s.calls, td)
	return ctx.Err()
}

func (s *sink) spans() map[uint64][]ptrace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[uint64][]ptrace.Span{}
	for _, td := range s.calls {
		for _, sp := range eachSpan(td) {
			id := sp.SpanID()
			n := binary.BigEndian.Uint64(id[:])
			out[n] = append(out[n], sp)
		}
	}
	return out
}

func (s *sink) one(t *testing.T, id uint64) ptrace.Span {
	t.Helper()
	got := s.spans()[id]
	require.Len(t, got, 1, "span %d", id)
	return got[0]
}

func eachSpan(td ptrace.Traces) (out []ptrace.Span) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				out = append(out, sp)
			}
		}
	}
	return out
}

func parentOf(sp ptrace.Span) uint64 {
	id := sp.ParentSpanID()
	return binary.BigEndian.Uint64(id[:])
}

// manualClock stands still until told.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a processor whose rounds the test runs itself.
type rig struct {
	*linkProcessor
	t     testing.TB
	sink  *sink
	clock *manualClock
	tel   *componenttest.Telemetry
}

// newRig makes a processor without its loop: the test is the loop.
func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	cfg := defaultConfig()
	cfg.Storage.Directory = ""
	for _, fn := range change {
		fn(cfg)
	}
	require.NoError(t, cfg.Validate())
	clock := &manualClock{now: epoch0}
	tel := componenttest.NewTelemetry()
	set := processortest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	snk := &sink{}
	p, err := newProcessor(set, cfg, snk, clock)
	require.NoError(t, err)
	require.NoError(t, p.openPayloads(t.Context()))
	p.open = true
	r := &rig{p, t, snk, clock, tel}
	t.Cleanup(func() {
		require.NoError(t, p.payloads.close())
		p.tel.Shutdown()
		require.NoError(t, tel.Shutdown(context.Background()))
	})
	return r
}

var _ window.Clock = (*manualClock)(nil)

func (r *rig) consume(specs ...spanSpec) {
	r.t.Helper()
	require.NoError(r.t, r.ConsumeTraces(r.t.Context(), batchOf(specs...)))
}

// pass lets time go by in steps, releasing at each.
func (r *rig) pass(d time.Duration) {
	const step = 500 * time.Millisecond
	for ; d > 0; d -= step {
		r.clock.advance(min(d, step))
		for r.round(r.t.Context(), false) {
		}
		r.forget(r.t.Context())
	}
}

// metric sums the points of a metric that have the attribute value, or all.
func (r *rig) metric(name, value string) (sum int64) {
	m, err := r.tel.GetMetric("otelcol_processor_ebpf_link_" + name)
	if err != nil {
		return 0
	}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		match := value == ""
		for _, kv := range p.Attributes.ToSlice() {
			match = match || kv.Value.AsString() == value
		}
		if match {
			sum += p.Value
		}
	}
	return sum
}

// call makes the spans of one call between two hosts.
func call(client, server uint64, from, to string, at, lasts int, seq uint32, inside, opens uint64) (c, s spanSpec) {
	c = spanSpec{
		id: client, host: from, kind: ptrace.SpanKindClient, start: at, duration: lasts,
		link: rawspan.Link{ReqSeq: seq, RespSeq: seq + 1, Systrace: inside},
	}
	s = spanSpec{
		id: server, host: to, kind: ptrace.SpanKindServer, start: at + 1, duration: lasts - 2,
		link: rawspan.Link{ReqSeq: seq, RespSeq: seq + 1, Systrace: opens},
	}
	return c, s
}

func TestChainIsOneTrace(t *testing.T) {
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
	r.consume(s2, c1)
	r.consume(s1, c2)
	r.pass(20 * time.Second)
	require.Len(t, r.sink.calls, 1, "one delivery for the trace")
	trace := r.sink.one(t, 1).TraceID()
	for id, parent := range map[uint64]uint64{1: 0, 2: 1, 3: 2, 4: 3} {
		sp := r.sink.one(t, id)
		require.Equal(t, trace, sp.TraceID())
		require.Equal(t, parent, parentOf(sp), "parent of %d", id)
	}
	rule, _ := r.sink.one(t, 3).Attributes().Get(rawspan.AttrRule)
	require.Equal(t, "systrace", rule.Str())
	confidence, _ := r.sink.one(t, 3).Attributes().Get(rawspan.AttrConfidence)
	require.Equal(t, 1.0, confidence.Double())
	candidates, _ := r.sink.one(t, 3).Attributes().Get(rawspan.AttrCandidates)
	require.EqualValues(t, 1, candidates.Int())
	_, linked := r.sink.one(t, 1).Attributes().Get(rawspan.AttrRule)
	require.False(t, linked)
	for _, rs := range r.sink.calls[0].ResourceSpans().All() {
		require.Equal(t, rawspan.SchemaURL, rs.SchemaUrl())
		require.Equal(t, "scope-schema", rs.ScopeSpans().At(0).SchemaUrl())
		require.Equal(t, "test", rs.ScopeSpans().At(0).Scope().Name())
		_, ok := rs.Resource().Attributes().Get(rawspan.ResHostID)
		require.True(t, ok)
	}
	require.EqualValues(t, 2, r.metric("spans_linked", "tcp_seq"))
	require.EqualValues(t, 1, r.metric("spans_linked", "systrace"))
	require.EqualValues(t, 1, r.metric("spans_unlinked", "no_reference"))
	require.EqualValues(t, 4, r.metric("spans_emitted", ""))
	require.EqualValues(t, 0, r.held.Load())
}

func TestSDKAndEBPFSpansNest(t *testing.T) {
	r := newRig(t)
	ctx := rawspan.Link{AppTraceID: traceID(77), AppParentID: spanID(1)}
	c, s := call(2, 3, "a", "b", 1, 98, 10, 0, 7)
	c.link.AppTraceID, c.link.AppParentID = ctx.AppTraceID, ctx.AppParentID
	s.link.AppTraceID, s.link.AppParentID = ctx.AppTraceID, ctx.AppParentID
	below, _ := call(5, 0, "b", "", 20, 10, 30, 7, 0)
	r.consume(
		spanSpec{id: 1, kind: ptrace.SpanKindClient, start: 0, duration: 100, trace: 77},
		c, s,
		spanSpec{id: 4, kind: ptrace.SpanKindServer, start: 3, duration: 90, trace: 77, parent: 1},
		below,
	)
	r.pass(20 * time.Second)
	for id, parent := range map[uint64]uint64{1: 0, 2: 1, 3: 2, 4: 3, 5: 3} {
		sp := r.sink.one(t, id)
		require.Equal(t, traceID(77), sp.TraceID(), "span %d", id)
		require.Equal(t, parent, parentOf(sp), "parent of %d", id)
		require.Zero(t, sp.Links().Len())
	}
}

func TestAppTraceIDHoldsForTheWholeComponent(t *testing.T) {
	// Defect 3 of reference/seeds.md: the id flowed downstream only.
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
	s2.link.AppTraceID, s2.link.AppParentID = traceID(5), spanID(99)
	r.consume(c1, s1, c2, s2)
	r.pass(20 * time.Second)
	for id := uint64(1); id <= 4; id++ {
		require.Equal(t, traceID(5), r.sink.one(t, id).TraceID())
	}

	r = newRig(t, func(c *Config) { c.UseAppTraceID = false })
	r.consume(c1, s1, c2, s2)
	r.pass(20 * time.Second)
	require.NotEqual(t, traceID(5), r.sink.one(t, 1).TraceID())
	require.Equal(t, r.sink.one(t, 1).TraceID(), r.sink.one(t, 4).TraceID())
	require.Equal(t, traceID(5), r.sink.one(t, 4).Links().At(0).TraceID())
}

func TestConflictingAppTraceIDsBecomeSpanLinks(t *testing.T) {
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c1.link.AppTraceID, c1.link.AppParentID = traceID(5), spanID(50)
	s1.link.AppTraceID, s1.link.AppParentID = traceID(6), spanID(60)
	r.consume(c1, s1)
	r.pass(20 * time.Second)
	require.Equal(t, traceID(5), r.sink.one(t, 2).TraceID())
	require.Equal(t, traceID(6), r.sink.one(t, 2).Links().At(0).TraceID())
	require.Equal(t, spanID(60), r.sink.one(t, 2).Links().At(0).SpanID())
	// The root's own parent is known by the header alone.
	require.EqualValues(t, 50, parentOf(r.sink.one(t, 1)))
	require.EqualValues(t, 1, r.metric("spans_unlinked", "parent_absent"))
}

func TestSDKSpansAlonePassUnchanged(t *testing.T) {
	for _, use := range []bool{true, false} {
		r := newRig(t, func(c *Config) { c.UseAppTraceID = use })
		r.consume(
			spanSpec{id: 1, kind: ptrace.SpanKindServer, trace: 5, duration: 10},
			spanSpec{id: 2, kind: ptrace.SpanKindInternal, trace: 5, parent: 1, start: 400, duration: 10},
			spanSpec{id: 3, kind: ptrace.SpanKindInternal, trace: 5, parent: 9, duration: 10},
		)
		r.pass(20 * time.Second)
		for id, parent := range map[uint64]uint64{1: 0, 2: 1, 3: 9} {
			sp := r.sink.one(t, id)
			require.Equal(t, traceID(5), sp.TraceID())
			require.Equal(t, parent, parentOf(sp))
			require.Zero(t, sp.Attributes().Len())
			require.Zero(t, sp.Links().Len())
		}
	}
}

func TestLateSpanFindsItsTrace(t *testing.T) {
	// Defects 1 and 2: a trace over several windows split.
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(c1, s1)
	r.pass(30 * time.Second)
	var last uint64 = 7
	id := uint64(3)
	for hop := range 4 { // each a window later than the one before
		c, s := call(id, id+1, "b", "b", 10+hop*5, 60-hop*10, uint32(100+hop*10), last, last+1)
		r.consume(c, s)
		r.pass(30 * time.Second)
		require.Equal(t, id-1, parentOf(r.sink.one(t, id)))
		require.Equal(t, id, parentOf(r.sink.one(t, id+1)))
		require.Equal(t, r.sink.one(t, 1).TraceID(), r.sink.one(t, id+1).TraceID())
		last, id = last+1, id+2
	}
	require.EqualValues(t, 8, r.metric("spans_late", ""))
}

func TestParentThatComesLateJoinsTheTrace(t *testing.T) {
	r := newRig(t)
	c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
	c3, _ := call(5, 0, "b", "", 30, 5, 90, 7, 0)
	r.consume(c2, s2)
	r.consume(c3)
	r.pass(25 * time.Second)
	require.Equal(t, r.sink.one(t, 3).TraceID(), r.sink.one(t, 5).TraceID(), "siblings without their parent share a trace")
	require.Zero(t, parentOf(r.sink.one(t, 3)))
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(c1, s1)
	r.pass(25 * time.Second)
	require.Equal(t, r.sink.one(t, 3).TraceID(), r.sink.one(t, 1).TraceID())
	require.Equal(t, r.sink.one(t, 3).TraceID(), r.sink.one(t, 2).TraceID())
	require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
}

func TestPendingSpanNamesTheParent(t *testing.T) {
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 600_000, 10, 0, 7)
	open := s1
	open.link.Pending, open.link.RespSeq = true, 0
	r.consume(open)
	r.pass(60 * time.Second)
	require.Empty(t, r.sink.spans(), "a pending span is never forwarded")
	c2, s2 := call(3, 4, "b", "c", 60_000, 50, 20, 7, 8)
	r.consume(c2, s2)
	r.pass(30 * time.Second)
	require.EqualValues(t, 2, parentOf(r.sink.one(t, 3)))
	r.consume(s1, c1)
	r.pass(30 * time.Second)
	require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
	for id := uint64(1); id <= 4; id++ {
		require.Equal(t, r.sink.one(t, 4).TraceID(), r.sink.one(t, id).TraceID())
	}
	require.EqualValues(t, 1, r.metric("spans_pending", ""))
	require.EqualValues(t, 0, r.metric("spans_duplicate", ""))
	require.EqualValues(t, 0, r.held.Load())
	require.Empty(t, r.payloads.(*inMemory).batches)
}

func TestDuplicatesLeaveOnce(t *testing.T) {
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(c1, s1)
	r.consume(c1, s1, c1)
	r.pass(30 * time.Second)
	r.consume(s1)
	r.pass(30 * time.Second)
	r.sink.one(t, 1)
	r.sink.one(t, 2)
	require.EqualValues(t, 4, r.metric("spans_duplicate", ""))
	require.EqualValues(t, 0, r.held.Load())
	require.Empty(t, r.payloads.(*inMemory).batches)
}

func TestCyclesAreCut(t *testing.T) {
	// A process that calls itself within one request: each span is the other's parent.
	r := newRig(t)
	c, s := call(1, 2, "a", "a", 0, 100, 10, 7, 7)
	s.start, s.duration = 0, 100
	r.consume(c, s)
	r.pass(20 * time.Second)
	require.Zero(t, parentOf(r.sink.one(t, 1)), "the weaker edge, systrace, is given up")
	require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
	require.EqualValues(t, 1, r.metric("spans_unlinked", "cycle"))

	r = newRig(t)
	r.consume(
		spanSpec{id: 1, kind: ptrace.SpanKindInternal, trace: 5, parent: 2},
		spanSpec{id: 2, kind: ptrace.SpanKindInternal, trace: 5, parent: 1},
		spanSpec{id: 3, kind: ptrace.SpanKindInternal, trace: 5, parent: 3},
	)
	r.pass(20 * time.Second)
	require.EqualValues(t, 2, parentOf(r.sink.one(t, 1)), "what an SDK says is not ours to change")
	require.EqualValues(t, 3, parentOf(r.sink.one(t, 3)))
}

func TestAmbiguityMakesNoLink(t *testing.T) {
	r := newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2 := c
	c2.id, c2.host = 3, "c"
	r.consume(c, s, c2)
	r.pass(20 * time.Second)
	require.Zero(t, parentOf(r.sink.one(t, 2)))
	require.EqualValues(t, 1, r.metric("spans_ambiguous", "tcp_seq"))
	require.EqualValues(t, 1, r.metric("spans_unlinked", "ambiguous"))
}

func TestMalformedAttributesAreCounted(t *testing.T) {
	r := newRig(t)
	td := batchOf(spanSpec{id: 1, host: "a", kind: ptrace.SpanKindServer, duration: 5})
	sp := eachSpan(td)[0]
	sp.Attributes().PutStr(rawspan.AttrReqSeq, "ten")
	sp.Attributes().PutInt(rawspan.AttrRespSeq, 1<<40)
	sp.Attributes().PutStr(rawspan.AttrSystrace, "0")
	require.NoError(t, r.ConsumeTraces(t.Context(), td))
	r.pass(20 * time.Second)
	require.EqualValues(t, 3, r.metric("attributes_malformed", ""))
	r.sink.one(t, 1)
}

func TestLimitRefusesForALittleOrForGood(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSpansWaiting = 2 })
	one := func(id uint64) spanSpec { return spanSpec{id: id, host: "a", kind: ptrace.SpanKindServer, duration: 5} }
	r.consume(one(1), one(2))
	err := r.ConsumeTraces(t.Context(), batchOf(one(3)))
	require.ErrorContains(t, err, "max_spans_waiting is 2")
	require.False(t, consumererror.IsPermanent(err))
	require.True(t, consumererror.IsPermanent(r.ConsumeTraces(t.Context(), batchOf(one(3), one(4), one(5)))))
	require.EqualValues(t, 1, r.metric("spans_refused", "max_spans_waiting"))
	require.EqualValues(t, 3, r.metric("spans_refused", "batch_too_large"))
	r.pass(20 * time.Second)
	r.consume(one(3))
	r.pass(20 * time.Second)
	require.Len(t, r.sink.spans(), 3)
}

func TestRefusalIsRetriedAndNothingLost(t *testing.T) {
	for _, dir := range []bool{false, true} {
		r := newRig(t, func(c *Config) {
			if dir {
				c.Storage.Directory = t.TempDir()
			}
		})
		r.sink.refuse = func(call int) error {
			if call < 3 {
				return errors.New("not now")
			}
			return nil
		}
		c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
		r.consume(c, s)
		r.pass(20 * time.Second)
		require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
		require.EqualValues(t, 2, r.metric("send_retries", ""))
		require.EqualValues(t, 2, r.metric("spans_emitted", ""))
	}
}

func TestPermanentRefusalDropsAndCounts(t *testing.T) {
	r := newRig(t)
	r.sink.refuse = func(int) error { return consumererror.NewPermanent(errors.New("never")) }
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(c, s)
	r.pass(20 * time.Second)
	require.EqualValues(t, 2, r.metric("spans_dropped", "refused_by_next"))
	require.EqualValues(t, 0, r.held.Load())
}

func TestLinkFactsAreForgotten(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxLinkFacts = 3 })
	for i := uint64(1); i <= 5; i++ {
		r.consume(spanSpec{id: i, host: "a", kind: ptrace.SpanKindServer, link: rawspan.Link{Systrace: i}, duration: 5})
	}
	r.pass(21 * time.Second)
	require.Equal(t, 3, r.index.Len())
	require.EqualValues(t, 2, r.metric("facts_retired", "max_link_facts"))
	r.pass(time.Hour)
	require.Equal(t, 0, r.index.Len())
	require.EqualValues(t, 3, r.metric("facts_retired", "link_retention"))
}

func TestLinkAttributesCanBeTakenOff(t *testing.T) {
	r := newRig(t, func(c *Config) { c.KeepLinkAttrs, c.Explain = false, true })
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(c, s)
	r.pass(20 * time.Second)
	attrs := r.sink.one(t, 2).Attributes()
	_, seq := attrs.Get(rawspan.AttrReqSeq)
	_, rule := attrs.Get(rawspan.AttrRule)
	require.False(t, seq)
	require.True(t, rule)
	why, _ := attrs.Get(rawspan.AttrExplain)
	require.Equal(t, pcommon.ValueTypeMap, why.Type())
}

// TestExplainIsAMap that a viewer can show without knowing the rules.
func TestExplainIsAMap(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Explain = true })
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	early, _ := call(3, 4, "a", "b", -9000, 100, 10, 0, 0)
	r.consume(c, s, early)
	r.pass(20 * time.Second)
	explain := func(id uint64) map[string]any {
		why, ok := r.sink.one(t, id).Attributes().Get(rawspan.AttrExplain)
		require.True(t, ok)
		return why.Map().AsRaw()
	}
	require.Equal(t, map[string]any{"searches": []any{}}, explain(1), "it refers to nothing")
	searches := explain(2)["searches"].([]any)
	require.Len(t, searches, 1)
	search := searches[0].(map[string]any)
	facts := search["facts"].([]any)
	require.Equal(t, map[string]any{"fact": "tcp.req_seq", "verdict": "equal", "child": "10", "parent": "10"}, facts[0])
	require.Equal(t, map[string]any{
		"fact": "time", "verdict": "inside",
		"child":  "2026-01-02T03:04:05.001000000Z/2026-01-02T03:04:05.099000000Z",
		"parent": "2026-01-02T03:04:05.000000000Z/2026-01-02T03:04:05.100000000Z",
	}, facts[len(facts)-1])
	delete(search, "facts")
	require.Equal(t, map[string]any{
		"rule": "tcp_seq", "class": "exact", "outcome": "linked", "parent": "0000000000000001",
		"key": []any{"tcp.req_seq", "tcp.resp_seq"}, "shared_by": int64(3), "shared_by_known": int64(3),
		"losers": []any{map[string]any{
			"span": "0000000000000003", "why": "after_response", "fact": "time", "verdict": "after_response",
			"child":  "2026-01-02T03:04:05.001000000Z/2026-01-02T03:04:05.099000000Z",
			"parent": "2026-01-02T03:03:56.000000000Z/2026-01-02T03:03:56.100000000Z",
		}},
	}, search)
}

// TestExplainCountsWhatHasLeft among the spans near in time, also after a restart, and apart from what else is known.
func TestExplainCountsWhatHasLeft(t *testing.T) {
	dir := t.TempDir()
	explaining := func(c *Config) { c.Explain = true }
	long, _ := call(3, 4, "a", "b", -60_000, 100, 10, 0, 0)
	near, _ := call(5, 6, "a", "b", -15_000, 100, 10, 0, 0)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r := newRig(t, inDir(dir), explaining)
	r.consume(near, long)
	r.pass(30 * time.Second)
	require.NoError(t, r.payloads.close())

	q := newRig(t, explaining)
	q.cfg.Storage.Directory = dir
	require.NoError(t, q.openPayloads(t.Context()))
	q.consume(s, c)
	q.pass(30 * time.Second)
	why, _ := q.sink.one(t, 2).Attributes().Get(rawspan.AttrExplain)
	search := why.Map().AsRaw()["searches"].([]any)[0].(map[string]any)
	require.EqualValues(t, 3, search["shared_by"])
	require.EqualValues(t, 4, search["shared_by_known"])
}

// TestWindowBounds: a span leaves when it has waited the window, never later, and takes along those
// that have waited half of it.
func TestWindowBounds(t *testing.T) {
	r := newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2, _ := call(3, 0, "b", "", 10, 5, 20, 7, 0)
	r.consume(c)
	r.pass(9 * time.Second)
	r.consume(s)
	r.pass(6 * time.Second)
	r.consume(c2)
	r.pass(4500 * time.Millisecond)
	require.Empty(t, r.sink.spans())
	r.pass(500 * time.Millisecond)
	ids := []uint64{}
	for id := range r.sink.spans() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	require.Equal(t, []uint64{1, 2}, ids)
	r.pass(15 * time.Second)
	require.Equal(t, r.sink.one(t, 1).TraceID(), r.sink.one(t, 3).TraceID())
	require.EqualValues(t, 2, parentOf(r.sink.one(t, 3)))
	require.Zero(t, r.metric("spans_late", ""), "it was there before the others left")
}
