package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// inService is spans of one service: the resource that an SDK and the receiver give it.
func inService(name string, specs ...spanSpec) ptrace.Traces {
	td := batchOf(specs...)
	for _, rs := range td.ResourceSpans().All() {
		rs.Resource().Attributes().PutStr(rawspan.ResService, name)
	}
	return td
}

// TestHeaderPassedOn: several SERVER spans read one header: that of a proxy, that of the service with an SDK, and
// that of one that this service calls with the header it got. The SDK's span goes under that of its own service.
func TestHeaderPassedOn(t *testing.T) {
	carry := func(s spanSpec) spanSpec {
		s.link.AppTraceID, s.link.AppParentID = traceID(77), spanID(1)
		return s
	}
	type hop struct {
		client, server spanSpec
	}
	var hops [3]hop
	for i := range hops {
		inside := uint64(0)
		if i > 0 {
			inside = uint64(6 + i)
		}
		c, s := call(uint64(10+2*i), uint64(11+2*i), host(i), host(i+1), 1+10*i, 98-20*i, uint32(10+10*i), inside, uint64(7+i))
		hops[i] = hop{carry(c), carry(s)}
	}
	caller := spanSpec{id: 1, kind: ptrace.SpanKindClient, duration: 100, trace: 77}
	sdk := spanSpec{id: 2, kind: ptrace.SpanKindServer, start: 13, duration: 70, trace: 77, parent: 1}
	below := spanSpec{id: 3, kind: ptrace.SpanKindServer, start: 25, duration: 50, trace: 77, parent: 1}
	for name, tt := range map[string]struct {
		services     [3]string // of the SERVER spans
		sdk          string
		seen         int // SERVER spans that were captured are those before
		want, lowest uint64
	}{
		"a proxy before":                 {[3]string{"nginx", "shop", ""}, "shop", 2, 13, 0},
		"and a service behind":           {[3]string{"nginx", "shop", "stock"}, "shop", 3, 13, 15},
		"nobody says":                    {[3]string{}, "", 2, 1, 0},
		"by another name":                {[3]string{"nginx", "python3", ""}, "shop", 2, 1, 0},
		"a proxy alone":                  {[3]string{"nginx", "", ""}, "shop", 1, 11, 0},
		"twice the same":                 {[3]string{"shop", "shop", ""}, "shop", 2, 1, 0},
		"another name, but the only one": {[3]string{"python3", "", ""}, "shop", 1, 11, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			send := func(service string, specs ...spanSpec) {
				require.NoError(t, r.ConsumeTraces(t.Context(), inService(service, specs...)))
			}
			send("web", caller, hops[0].client)
			for i, service := range tt.services[:tt.seen] {
				send(service, hops[i].server)
				if i+1 < tt.seen {
					send(service, hops[i+1].client)
				}
			}
			send(tt.sdk, sdk)
			if tt.lowest != 0 {
				send(tt.services[2], below)
			}
			r.pass(30 * time.Second)
			require.Equal(t, tt.want, parentOf(r.sink.one(t, 2)))
			if tt.lowest != 0 {
				require.Equal(t, tt.lowest, parentOf(r.sink.one(t, 3)))
			}
			for i := range tt.seen {
				require.Equal(t, uint64(10+2*i), parentOf(r.sink.one(t, uint64(11+2*i))), "a request goes under its call")
			}
			for id, spans := range r.sink.spans() {
				require.Equal(t, traceID(77), spans[0].TraceID(), "span %d", id)
			}
		})
	}
}

// TestNotUnderWhatItCalls: where only the callee was captured, which got the same header, the span of the SDK
// outlasts it and is not of it.
func TestNotUnderWhatItCalls(t *testing.T) {
	r := newRig(t)
	_, s := call(0, 11, "", "b", 20, 50, 10, 0, 7)
	s.link.AppTraceID, s.link.AppParentID = traceID(77), spanID(1)
	require.NoError(t, r.ConsumeTraces(t.Context(), inService("stock", s)))
	require.NoError(t, r.ConsumeTraces(t.Context(), inService("shop",
		spanSpec{id: 2, kind: ptrace.SpanKindServer, start: 10, duration: 70, trace: 77, parent: 1})))
	r.pass(30 * time.Second)
	require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
}

// TestSDKTraceThatBeginsHere: the request came without a header, so the SDK began a trace in it. Its call carries that
// trace's header, which shows in which request it began: all is one trace, and no call is in it twice.
func TestSDKTraceThatBeginsHere(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {2, 0, 5, 1, 4, 3}} {
		r := newRig(t)
		c1, s1 := call(10, 11, "web", "a", 0, 100, 10, 0, 7)
		c2, s2 := call(12, 13, "a", "b", 20, 50, 20, 7, 8)
		for _, s := range []*spanSpec{&c2, &s2} {
			s.link.AppTraceID, s.link.AppParentID = traceID(77), spanID(2)
		}
		db, _ := call(14, 0, "a", "", 75, 5, 30, 7, 0)
		shop := []spanSpec{
			s1, c2, db,
			{id: 1, kind: ptrace.SpanKindServer, start: 2, duration: 96, trace: 77},
			{id: 2, kind: ptrace.SpanKindClient, start: 19, duration: 52, trace: 77, parent: 1},
		}
		batches := []ptrace.Traces{inService("web", c1), inService("stock", s2)}
		for _, s := range shop {
			batches = append(batches, inService("shop", s))
		}
		for _, i := range append(order, 6) {
			require.NoError(t, r.ConsumeTraces(t.Context(), batches[i]))
		}
		r.pass(30 * time.Second)
		for id, parent := range map[uint64]uint64{10: 0, 11: 10, 1: 11, 2: 1, 12: 2, 13: 12, 14: 11} {
			sp := r.sink.one(t, id)
			require.Equal(t, parent, parentOf(sp), "parent of %d, order %v", id, order)
			require.Equal(t, traceID(77), sp.TraceID(), "span %d", id)
		}
		rule, _ := r.sink.one(t, 1).Attributes().Get(rawspan.AttrRule)
		require.Equal(t, "app_context", rule.Str())
	}
}

// TestSDKTraceBelowAnother: a trace of an SDK that began in a request of another trace takes that one's id, as the root's
// wins, and each of its spans links to where it was. The whole component gets one id, up and down, also where
// that of no application is taken.
func TestSDKTraceBelowAnother(t *testing.T) {
	for _, use := range []bool{true, false} {
		r := newRig(t, func(c *Config) { c.UseAppTraceID = use })
		c1, s1 := call(10, 11, "web", "edge", 0, 100, 10, 0, 7)
		c1.link.AppTraceID, c1.link.AppParentID = traceID(5), spanID(50)
		s1.link.AppTraceID, s1.link.AppParentID = traceID(5), spanID(50)
		c2, s2 := call(12, 13, "edge", "a", 10, 80, 20, 7, 8) // the edge takes headers off
		c3, s3 := call(14, 15, "a", "b", 30, 40, 30, 8, 9)
		c3.link.AppTraceID, c3.link.AppParentID = traceID(6), spanID(2)
		s3.link.AppTraceID, s3.link.AppParentID = traceID(6), spanID(2)
		for service, specs := range map[string][]spanSpec{
			"web": {c1}, "edge": {s1, c2}, "stock": {s3, {id: 3, kind: ptrace.SpanKindServer, start: 32, duration: 30, trace: 6, parent: 2}},
			"shop": {
				s2, c3,
				{id: 1, kind: ptrace.SpanKindServer, start: 12, duration: 70, trace: 6},
				{id: 2, kind: ptrace.SpanKindClient, start: 29, duration: 42, trace: 6, parent: 1},
			},
		} {
			require.NoError(t, r.ConsumeTraces(t.Context(), inService(service, specs...)))
		}
		r.pass(30 * time.Second)
		of := r.sink.one(t, 10).TraceID()
		require.Equal(t, use, of == traceID(5))
		for id, parent := range map[uint64]uint64{11: 10, 12: 11, 13: 12, 1: 13, 2: 1, 14: 2, 15: 14, 3: 15} {
			sp := r.sink.one(t, id)
			require.Equal(t, parent, parentOf(sp), "parent of %d", id)
			require.Equal(t, of, sp.TraceID(), "span %d", id)
		}
		for id, own := range map[uint64]uint64{1: 1, 2: 2, 3: 3, 14: 2, 15: 2} {
			links := r.sink.one(t, id).Links()
			require.Equal(t, 1, links.Len(), "span %d", id)
			require.Equal(t, traceID(6), links.At(0).TraceID())
			require.Equal(t, spanID(own), links.At(0).SpanID(), "span %d", id)
		}
	}
}
