package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// sameCallBatches are a request (11) and a query (13) as eBPF shows them, and the SDK's spans of both (1, 2), a batch
// each. The SDK writes with the names of old.
func sameCallBatches(old bool) map[uint64]ptrace.Traces {
	_, s := call(10, 11, "", "a", 0, 100, 10, 0, 7)
	s.start, s.duration = 0, 100
	c, _ := call(13, 14, "a", "", 40, 10, 20, 7, 0)
	out := map[uint64]ptrace.Traces{}
	for _, spec := range []spanSpec{
		s, c,
		{id: 1, host: "a", kind: ptrace.SpanKindServer, start: 1, duration: 98, trace: 77},
		{id: 2, host: "a", kind: ptrace.SpanKindClient, start: 39, duration: 12, trace: 77, parent: 1},
	} {
		td := inService("shop", spec)
		td.ResourceSpans().At(0).Resource().Attributes().PutInt(rawspan.ResPID, 42)
		a := eachSpan(td)[0].Attributes()
		names := []string{"http.request.method", "url.path", "http.response.status_code", "db.system.name", "server.port"}
		if old && spec.trace != 0 {
			names = []string{"http.method", "http.target", "http.status_code", "db.system", "net.peer.port"}
		}
		if spec.kind == ptrace.SpanKindServer {
			a.PutStr(names[0], "GET")
			a.PutStr(names[1], "/cart")
			a.PutInt(names[2], 200)
		} else {
			a.PutStr(names[3], "redis")
			a.PutInt(names[4], 6379)
		}
		out[spec.id] = td
	}
	return out
}

// inPlace has all run in a container of a pod, of which the SDK says what it does instead of its process.
func inPlace(batches map[uint64]ptrace.Traces, sdkSays ...string) map[uint64]ptrace.Traces {
	for id, td := range batches {
		a := td.ResourceSpans().At(0).Resource().Attributes()
		says := []string{rawspan.ResContainer, rawspan.ResPod}
		if id == 1 || id == 2 {
			says = sdkSays
			a.Remove(rawspan.ResPID)
			a.Remove(rawspan.ResHostID)
		}
		for _, key := range says {
			a.PutStr(key, "of "+key)
		}
	}
	return batches
}

// TestSameCallWithoutAHeader: one tree, whatever comes first, also when it comes from the storage, and however the SDK says
// whose its spans are.
func TestSameCallWithoutAHeader(t *testing.T) {
	for _, tt := range []struct {
		order []uint64
		old   bool
		turn  int      // a restart before that batch
		place []string // what the SDK says of it, instead of its process
	}{
		{[]uint64{11, 13, 1, 2}, false, -1, nil},
		{[]uint64{2, 1, 13, 11}, true, -1, nil},
		{[]uint64{13, 2, 11, 1}, false, -1, nil},
		{[]uint64{11, 13, 1, 2}, true, 1, nil},
		{[]uint64{11, 13, 1, 2}, false, 2, nil},
		{[]uint64{13, 2, 11, 1}, false, 2, nil},
		{[]uint64{2, 11, 13, 1}, false, 4, nil},
		{[]uint64{11, 13, 1, 2}, false, -1, []string{rawspan.ResContainer}},
		{[]uint64{2, 1, 13, 11}, true, -1, []string{rawspan.ResPod}},
		{[]uint64{13, 2, 11, 1}, false, 2, []string{rawspan.ResPod, rawspan.ResContainer}},
		{[]uint64{11, 13, 1, 2}, true, 2, []string{rawspan.ResContainer}},
		{[]uint64{2, 11, 13, 1}, false, 4, []string{rawspan.ResPod}},
	} {
		batches := sameCallBatches(tt.old)
		if tt.place != nil {
			batches = inPlace(batches, tt.place...)
		}
		dir := t.TempDir()
		open := func() *rig {
			return newRig(t, func(c *Config) { c.Storage.Directory = dir })
		}
		r := open()
		for i, id := range append(tt.order, 0) {
			if i == tt.turn {
				require.NoError(t, r.payloads.close())
				r = open()
			}
			if id != 0 {
				require.NoError(t, r.ConsumeTraces(t.Context(), batches[id]))
			}
		}
		r.pass(30 * time.Second)
		for id, parent := range map[uint64]uint64{11: 0, 1: 11, 2: 1, 13: 2} {
			sp := r.sink.one(t, id)
			require.Equal(t, parent, parentOf(sp), "parent of %d, %+v", id, tt)
			require.Equal(t, traceID(77), sp.TraceID(), "span %d", id)
		}
		for _, id := range []uint64{1, 13} {
			rule, _ := r.sink.one(t, id).Attributes().Get(rawspan.AttrRule)
			require.Equal(t, link.SDKSameCall, rule.Str())
		}
	}
}

// TestExplainNamesTheRival that keeps a call from the SDK's span that may be of the same.
func TestExplainNamesTheRival(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Explain = true })
	for _, td := range sameCallBatches(false) {
		require.NoError(t, r.ConsumeTraces(t.Context(), td))
	}
	again := sameCallBatches(false)[13]
	eachSpan(again)[0].SetSpanID(spanID(14))
	require.NoError(t, r.ConsumeTraces(t.Context(), again))
	r.pass(20 * time.Second)
	for id, rival := range map[uint64]string{13: "000000000000000e", 14: "000000000000000d"} {
		why, ok := r.sink.one(t, id).Attributes().Get(rawspan.AttrExplain)
		require.True(t, ok)
		first := why.Map().AsRaw()["searches"].([]any)[0].(map[string]any)
		require.Equal(t, "ambiguous", first["outcome"])
		require.Equal(t, []any{map[string]any{"span": "0000000000000002", "why": "rival_child", "rival": rival}}, first["losers"])
	}
}

// TestNoSDKNoExchanges: where no SDK names its process, nothing is kept of what spans say of their exchanges, nor where
// a raw span was linked by another gateway.
func TestNoSDKNoExchanges(t *testing.T) {
	dir := t.TempDir()
	all := sameCallBatches(false)
	for _, id := range []uint64{1, 2} {
		all[id].ResourceSpans().At(0).Resource().Attributes().Remove(rawspan.ResPID)
	}
	linked := sameCallBatches(false)[13]
	eachSpan(linked)[0].SetSpanID(spanID(99))
	eachSpan(linked)[0].SetParentSpanID(spanID(5))
	for range 2 { // the second time from the storage
		r := newRig(t, func(c *Config) { c.Storage.Directory = dir })
		for _, td := range []ptrace.Traces{all[11], all[13], all[1], all[2], linked} {
			require.NoError(t, r.ConsumeTraces(t.Context(), td))
		}
		require.False(t, r.paired.Load())
		for id := range link.ID(r.index.Len()) {
			rare := r.index.Rare(id)
			require.False(t, rare.Exchange.Known())
		}
		require.NoError(t, r.payloads.close())
	}
}
