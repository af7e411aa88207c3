package ebpflinkprocessor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/metadata"
)

// TestManySendersAtOnce: the running processor, with senders on several goroutines.
func TestManySendersAtOnce(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		out := &sink{}
		p := running(t, out, inDir(dir))
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for n := range 20 {
					// Client and server of a call come from different senders.
					b := n*4 + (g+n)%4
					if err := p.ConsumeTraces(context.Background(), childBatch(b)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(childWindow / 2)
		require.NoError(t, p.Shutdown(t.Context()))
		got := out.spans()
		require.Len(t, got, 4*20*childCalls)
		for id, spans := range got {
			require.Len(t, spans, 1)
			if id%2 == 0 {
				require.Equal(t, id-1, parentOf(spans[0]))
				require.Equal(t, got[id-1][0].TraceID(), spans[0].TraceID())
			}
		}
	}
}

// TestShutdownSendsWhatWaits: nothing has waited its window yet, all goes out.
func TestShutdownSendsWhatWaits(t *testing.T) {
	out := &sink{}
	p := running(t, out, inDir(""), func(c *Config) { c.Window = time.Hour; c.LinkRetention = time.Hour })
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	require.NoError(t, p.ConsumeTraces(t.Context(), batchOf(c, s)))
	require.NoError(t, p.Shutdown(t.Context()))
	require.EqualValues(t, 1, parentOf(out.one(t, 2)))
}

// stuck is a next consumer that ignores its context until let go.
type stuck struct{ letGo, in chan struct{} }

func (stuck) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s stuck) ConsumeTraces(context.Context, ptrace.Traces) error {
	close(s.in)
	<-s.letGo
	return errors.New("late")
}

func TestShutdownDoesNotHangOnAStuckConsumer(t *testing.T) {
	next := stuck{make(chan struct{}), make(chan struct{})}
	p := running(t, next, inDir(""), func(c *Config) { c.Window = 10 * time.Millisecond })
	c, _ := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	require.NoError(t, p.ConsumeTraces(t.Context(), batchOf(c)))
	<-next.in
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, p.Shutdown(ctx), "still works on a batch")
	close(next.letGo)
	<-p.stopped
}

func TestBeforeStartSpansAreRefused(t *testing.T) {
	cfg := defaultConfig()
	cfg.Storage.Directory = ""
	p, err := NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, &sink{})
	require.NoError(t, err)
	c, _ := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	require.ErrorContains(t, p.ConsumeTraces(t.Context(), batchOf(c)), "not running")
	require.NoError(t, p.ConsumeTraces(t.Context(), ptrace.NewTraces()), "nothing to lose")
	require.NoError(t, p.Shutdown(t.Context()))
	_, err = NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), &struct{}{}, &sink{})
	require.ErrorContains(t, err, "want *ebpflinkprocessor.Config")
}

// TestFactsOfStorage: an append that fails is a retryable refusal and leaves nothing behind.
func TestStorageFailureIsRefused(t *testing.T) {
	r := newRig(t, inDir(t.TempDir()))
	require.NoError(t, r.payloads.close())
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	require.Error(t, r.ConsumeTraces(t.Context(), batchOf(c, s)))
	require.EqualValues(t, 2, r.metric("spans_refused", "storage"))
	require.EqualValues(t, 1, r.metric("store_errors", "append"))
	require.Zero(t, r.held.Load())
	require.Zero(t, r.index.Len())
}

// TestHostileSpans: absurd values cost a counted span, never a panic.
func TestHostileSpans(t *testing.T) {
	r := newRig(t)
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutInt("host.id", 7)
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	spans.AppendEmpty() // no ids at all
	spans.AppendEmpty()
	s := spans.AppendEmpty()
	s.SetStartTimestamp(1<<64 - 1)
	s.SetEndTimestamp(1)
	s.SetKind(99)
	s.Attributes().PutStr("tcp.req_seq", string(make([]byte, 1<<20)))
	require.NoError(t, r.ConsumeTraces(t.Context(), td))
	r.pass(30 * time.Second)
	n := 0
	for _, spans := range r.sink.spans() {
		n += len(spans)
	}
	require.Equal(t, 3, n, "spans without an id are not taken for duplicates")
	require.EqualValues(t, 1, r.metric("attributes_malformed", ""))
	require.EqualValues(t, 0, r.metric("spans_duplicate", ""))
}

func TestGaugesAreRegistered(t *testing.T) {
	tel := componenttest.NewTelemetry()
	set := processortest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	cfg := defaultConfig()
	cfg.Storage.Directory = t.TempDir()
	p, err := NewFactory().CreateTraces(t.Context(), set, cfg, &sink{})
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	c, _ := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	require.NoError(t, p.ConsumeTraces(t.Context(), batchOf(c)))
	for name, want := range map[string]int64{"spans_waiting": 1, "facts": 1, "spans_waiting_limit": 500_000} {
		m, err := tel.GetMetric("otelcol_processor_ebpf_link_" + name)
		require.NoError(t, err)
		require.Equal(t, want, gaugeValue(t, m), name)
	}
	for _, name := range []string{"window_lag", "oldest_fact_age"} {
		m, err := tel.GetMetric("otelcol_processor_ebpf_link_" + name)
		require.NoError(t, err)
		require.Zero(t, m.Data.(metricdata.Gauge[float64]).DataPoints[0].Value, name)
	}
	m, err := tel.GetMetric("otelcol_processor_ebpf_link_store_size")
	require.NoError(t, err)
	size := gaugeValue(t, m)
	require.Positive(t, size)
	require.Less(t, size, int64(64<<20), "room that is only reserved does not count")
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, tel.Shutdown(context.Background()))
}

func gaugeValue(t *testing.T, m metricdata.Metrics) int64 {
	t.Helper()
	g, ok := m.Data.(metricdata.Gauge[int64])
	require.True(t, ok)
	require.Len(t, g.DataPoints, 1)
	return g.DataPoints[0].Value
}
