//go:build linux

package ebpfspanreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
)

// queuedBatches bounds what waits for the next consumer; a batch holds at most batchSpans spans.
const (
	queuedBatches = 256
	batchSpans    = 512
	firstRetry    = 50 * time.Millisecond
	lastRetry     = 5 * time.Second
)

// sender hands batches to the next consumer on a goroutine of its own, so that a slow pipeline never
// holds up the ring buffer. A retryable refusal is repeated until it succeeds or the sender stops;
// what does not fit the queue meanwhile is dropped and counted.
type sender struct {
	next   consumer.Traces
	obs    *receiverhelper.ObsReport
	counts *sendCounts
	log    *zap.Logger
	queue  chan ptrace.Traces
	done   chan struct{}
}

func newSender(next consumer.Traces, obs *receiverhelper.ObsReport, counts *sendCounts, log *zap.Logger) *sender {
	return &sender{
		next: next, obs: obs, counts: counts, log: log,
		queue: make(chan ptrace.Traces, queuedBatches), done: make(chan struct{}),
	}
}

// offer queues a batch without waiting.
func (s *sender) offer(td ptrace.Traces) {
	select {
	case s.queue <- td:
	default:
		s.counts.QueueFull.Add(uint64(td.SpanCount()))
	}
}

// run delivers until the queue is closed, or until ctx ends.
func (s *sender) run(ctx context.Context) {
	defer close(s.done)
	for td := range s.queue {
		s.deliver(ctx, td)
	}
}

func (s *sender) deliver(ctx context.Context, td ptrace.Traces) {
	n := td.SpanCount()
	wait := firstRetry
	for {
		op := s.obs.StartTracesOp(ctx)
		err := s.next.ConsumeTraces(op, td)
		s.obs.EndTracesOp(op, "bpf", n, err)
		switch {
		case err == nil:
			return
		case consumererror.IsPermanent(err):
			s.counts.Refused.Add(uint64(n))
			s.log.Error("The pipeline refused spans for good", zap.Int("spans", n), zap.Error(err))
			return
		case ctx.Err() != nil:
			s.counts.Shutdown.Add(uint64(n))
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastRetry)
	}
}

// close stops taking batches; run ends when those queued are delivered.
func (s *sender) close() { close(s.queue) }
