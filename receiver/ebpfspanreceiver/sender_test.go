package ebpfspanreceiver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap/zaptest"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
)

// startSender sends to consume. The returned function closes the queue and waits for the delivery.
func startSender(ctx context.Context, t *testing.T, consume consumer.ConsumeTracesFunc) (*sender, func()) {
	t.Helper()
	set := receivertest.NewNopSettings(metadata.Type)
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, ReceiverCreateSettings: set})
	require.NoError(t, err)
	next, err := consumer.NewTraces(consume)
	require.NoError(t, err)
	s := newSender(next, obs, &sendCounts{}, zaptest.NewLogger(t))
	go s.run(ctx)
	return s, func() { s.close(); <-s.done }
}

func oneSpan() ptrace.Traces {
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	return td
}

func TestSenderRepeatsWhatIsRefusedForNow(t *testing.T) {
	var tries atomic.Int32
	s, finish := startSender(context.Background(), t, func(context.Context, ptrace.Traces) error {
		if tries.Add(1) < 3 {
			return errors.New("full")
		}
		return nil
	})
	s.offer(oneSpan())
	finish()
	require.EqualValues(t, 3, tries.Load())
	require.Zero(t, s.counts.Refused.Load()+s.counts.Shutdown.Load()+s.counts.QueueFull.Load())
}

func TestSenderCountsWhatIsRefusedForGood(t *testing.T) {
	var tries atomic.Int32
	s, finish := startSender(context.Background(), t, func(context.Context, ptrace.Traces) error {
		tries.Add(1)
		return consumererror.NewPermanent(errors.New("never"))
	})
	s.offer(oneSpan())
	s.offer(oneSpan())
	finish()
	require.EqualValues(t, 2, tries.Load())
	require.EqualValues(t, 2, s.counts.Refused.Load())
}

func TestSenderStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	began := make(chan struct{}, 100)
	s, finish := startSender(ctx, t, func(context.Context, ptrace.Traces) error {
		began <- struct{}{}
		return errors.New("full")
	})
	s.offer(oneSpan())
	s.offer(oneSpan())
	<-began
	cancel()
	done := make(chan struct{})
	go func() { finish(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the sender goes on after its context")
	}
	require.EqualValues(t, 2, s.counts.Shutdown.Load())
}

func TestSenderNeverHoldsUpItsCaller(t *testing.T) {
	release := make(chan struct{})
	s, finish := startSender(context.Background(), t, func(context.Context, ptrace.Traces) error {
		<-release
		return nil
	})
	for range queuedBatches + 10 {
		s.offer(oneSpan())
	}
	require.InDelta(t, 9, s.counts.QueueFull.Load(), 1, "one is being delivered")
	close(release)
	finish()
}
