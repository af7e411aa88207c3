//go:build linux

package ebpfspanreceiver

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// part is one value of a counter's attribute.
type part struct {
	value string
	n     *atomic.Uint64
}

// observe registers a callback for every instrument; each reads atomics, or the kernel's own counters.
func (r *ebpfReceiver) observe() error {
	c, t := r.counts, r.telemetry
	skipped := []part{{"gap", &c.exchange.GapBytes}, {"no_message_yet", &c.exchange.MidStreamBytes}}
	for i, name := range protocol.Reasons {
		skipped = append(skipped, part{name, &c.exchange.Skipped[i]})
	}
	for _, row := range []struct {
		register func(metric.Int64Callback) error
		callback metric.Int64Callback
	}{
		{t.RegisterReceiverEbpfSpanEventsLostCallback, r.observeLosses},
		{t.RegisterReceiverEbpfSpanHooksCallback, r.observeHooks},
		{t.RegisterReceiverEbpfSpanProcessesSkippedCallback, r.observeProcesses},
		{t.RegisterReceiverEbpfSpanBytesSkippedCallback, counter("reason", skipped...)},
		{t.RegisterReceiverEbpfSpanCallsCallback, r.perService("outcome", func(s *causality.ServiceCounts, i int) (string, uint64) {
			return causality.Outcomes[i], s.Outcomes[i].Load()
		}, len(causality.Outcomes))},
		{t.RegisterReceiverEbpfSpanRequestsCallback, r.perService("outcome", func(s *causality.ServiceCounts, i int) (string, uint64) {
			return causality.Fates[i], s.Fates[i].Load()
		}, len(causality.Fates))},
		{t.RegisterReceiverEbpfSpanMissingCallback, r.observeMissing},
		{t.RegisterReceiverEbpfSpanLinksCallback, r.perService("class", func(s *causality.ServiceCounts, i int) (string, uint64) {
			return causality.Classes[i], s.Links[i].Load()
		}, len(causality.Classes))},
		{t.RegisterReceiverEbpfSpanEvidenceCallback, r.perService("kind", func(s *causality.ServiceCounts, i int) (string, uint64) {
			return causality.Kind(i), s.Evidence[i].Load()
		}, causality.Kinds)},
		{t.RegisterReceiverEbpfSpanEvidenceContradictedCallback, r.perService("kind", func(s *causality.ServiceCounts, i int) (string, uint64) {
			return causality.Kind(i), s.Contradicted[i].Load()
		}, causality.Kinds)},
		{t.RegisterReceiverEbpfSpanEvidenceRefusedCallback, r.observeRefused},
		{t.RegisterReceiverEbpfSpanEvidenceUnusedCallback, counter("reason",
			part{"unknown", &c.causality.Unknown}, part{"forgotten", &c.causality.Forgotten},
			part{"overruled", &c.causality.Overruled})},
		{t.RegisterReceiverEbpfSpanConnectionsIgnoredCallback, counter("reason",
			part{"unknown_protocol", &c.exchange.UnknownConns}, part{"tls", &c.exchange.TLSConns},
			part{"forgotten", &c.exchange.ForgottenConns})},
		{t.RegisterReceiverEbpfSpanRecordsIrregularCallback, counter("reason",
			part{"order_buffer_full", &c.exchange.ParkedFull}, part{"duplicate", &c.exchange.Duplicates},
			part{"position_derived", &c.exchange.Derived}, part{"undecodable", &c.undecodable})},
		{t.RegisterReceiverEbpfSpanExchangesDroppedCallback, counter("reason",
			part{"unpaired", &c.exchange.Unpaired}, part{"process_unknown", &c.ownerless})},
		{t.RegisterReceiverEbpfSpanSpansDroppedCallback, counter("reason",
			part{"queue_full", &c.send.QueueFull}, part{"refused", &c.send.Refused}, part{"shutdown", &c.send.Shutdown})},
		{t.RegisterReceiverEbpfSpanGoFailuresCallback, counter("reason",
			part{"unreadable", &c.golang.Unreadable}, part{"site_missing", &c.golang.Missing},
			part{"attach_failed", &c.golang.Failed})},
		{t.RegisterReceiverEbpfSpanJavaFailuresCallback, counter("reason",
			part{"unreadable", &c.java.Unreadable}, part{"never_ready", &c.java.NeverReady})},
		{t.RegisterReceiverEbpfSpanNodeFailuresCallback, counter("reason",
			part{"unreadable", &c.node.Unreadable}, part{"attach_failed", &c.node.Failed})},
		{t.RegisterReceiverEbpfSpanNodeExecutablesCallback, gauge(c.node.Attached.Load)},
		{t.RegisterReceiverEbpfSpanJavaProcessesCallback, gauge(c.java.Readable.Load)},
		{t.RegisterReceiverEbpfSpanCallsHurriedCallback, gauge(func() int64 { return int64(c.causality.Hurried.Load()) })},
		{t.RegisterReceiverEbpfSpanGoExecutablesCallback, gauge(c.golang.Attached.Load)},
		{t.RegisterReceiverEbpfSpanConnectionsCallback, gauge(c.conns.Load)},
		{t.RegisterReceiverEbpfSpanCallsWaitingCallback, gauge(c.held.Load)},
		{t.RegisterReceiverEbpfSpanProcessesCallback, gauge(func() int64 { return int64(r.scanner.Len()) })},
	} {
		if err := row.register(row.callback); err != nil {
			return err
		}
	}
	return t.RegisterReceiverEbpfSpanEvidenceAgreementCallback(r.observeAgreement)
}

// perService observes what is counted for each service: of is the value of the attribute key and the count
// with each index below n. What never happened is not shown: services times kinds are many.
func (r *ebpfReceiver) perService(key string, of func(*causality.ServiceCounts, int) (string, uint64), n int) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		for _, s := range r.counts.causality.Services() {
			for i := range n {
				if value, count := of(s, i); value != "" && count > 0 {
					o.Observe(int64(count), metric.WithAttributes(attribute.String(key, value), attribute.String("service", s.Service)))
				}
			}
		}
		return nil
	}
}

func (r *ebpfReceiver) observeAgreement(_ context.Context, o metric.Float64Observer) error {
	for _, s := range r.counts.causality.Services() {
		s.Bounds(func(kind string, bound float64) {
			o.Observe(bound, metric.WithAttributes(attribute.String("kind", kind), attribute.String("service", s.Service)))
		})
	}
	return nil
}

func (r *ebpfReceiver) observeRefused(_ context.Context, o metric.Int64Observer) error {
	for _, s := range r.counts.causality.Services() {
		s.EachRefused(func(kind, reason string, calls uint64) {
			o.Observe(int64(calls), metric.WithAttributes(
				attribute.String("kind", kind), attribute.String("reason", reason), attribute.String("service", s.Service)))
		})
	}
	return nil
}

func counter(key string, parts ...part) metric.Int64Callback {
	options := make([]metric.ObserveOption, len(parts))
	for i, p := range parts {
		options[i] = metric.WithAttributes(attribute.String(key, p.value))
	}
	return func(_ context.Context, o metric.Int64Observer) error {
		for i, p := range parts {
			o.Observe(int64(p.n.Load()), options[i])
		}
		return nil
	}
}

func gauge(read func() int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(read())
		return nil
	}
}

func (r *ebpfReceiver) observeLosses(_ context.Context, o metric.Int64Observer) error {
	losses, err := r.losses()
	if err != nil {
		r.log.Warn("Loss counters cannot be read", zap.Error(err))
		return err
	}
	for _, l := range losses {
		o.Observe(int64(l.Count), metric.WithAttributes(attribute.String("reason", l.Reason)))
	}
	return nil
}

func (r *ebpfReceiver) observeHooks(_ context.Context, o metric.Int64Observer) error {
	n := map[probe.State]int64{}
	for _, s := range r.tracer.Status() {
		n[s.State]++
	}
	for state, count := range n {
		o.Observe(count, metric.WithAttributes(attribute.String("state", state.String())))
	}
	return nil
}

func (r *ebpfReceiver) observeProcesses(_ context.Context, o metric.Int64Observer) error {
	r.scanner.Counters().Snapshot(func(reason process.Reason, n uint64) {
		o.Observe(int64(n), metric.WithAttributes(attribute.String("reason", reason.String())))
	})
	return nil
}
