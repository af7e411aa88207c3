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

// observe registers every counter. Each callback reads atomics, or the kernel's own counters.
func (r *ebpfReceiver) observe() error {
	c, t := r.counts, r.telemetry
	for _, register := range []func() error{
		func() error { return t.RegisterReceiverEbpfSpanEventsLostCallback(r.observeLosses) },
		func() error {
			return t.RegisterReceiverEbpfSpanBytesSkippedCallback(func(_ context.Context, o metric.Int64Observer) error {
				for i, name := range protocol.Reasons {
					add(o, &c.exchange.Skipped[i], "reason", name)
				}
				add(o, &c.exchange.GapBytes, "reason", "gap")
				add(o, &c.exchange.MidStreamBytes, "reason", "no_message_yet")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanConnectionsIgnoredCallback(func(_ context.Context, o metric.Int64Observer) error {
				add(o, &c.exchange.UnknownConns, "reason", "unknown_protocol")
				add(o, &c.exchange.TLSConns, "reason", "tls")
				add(o, &c.exchange.ForgottenConns, "reason", "forgotten")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanRecordsIrregularCallback(func(_ context.Context, o metric.Int64Observer) error {
				add(o, &c.exchange.ParkedFull, "reason", "order_buffer_full")
				add(o, &c.exchange.Duplicates, "reason", "duplicate")
				add(o, &c.undecodable, "reason", "undecodable")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanExchangesDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
				add(o, &c.exchange.Unpaired, "reason", "unpaired")
				add(o, &c.ownerless, "reason", "process_unknown")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanCallsCallback(func(_ context.Context, o metric.Int64Observer) error {
				for i, name := range causality.Outcomes {
					add(o, &c.causality.Outcomes[i], "outcome", name)
				}
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanEvidenceCallback(func(_ context.Context, o metric.Int64Observer) error {
				for i := range c.causality.Evidence {
					if name := causality.Kind(i); name != "" {
						add(o, &c.causality.Evidence[i], "kind", name)
					}
				}
				add(o, &c.causality.Unknown, "kind", "unknown")
				add(o, &c.causality.Forgotten, "kind", "forgotten")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanEvidenceOverruledCallback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(int64(c.causality.Overruled.Load()))
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanSpansDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
				add(o, &c.send.QueueFull, "reason", "queue_full")
				add(o, &c.send.Refused, "reason", "refused")
				add(o, &c.send.Shutdown, "reason", "shutdown")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanGoFailuresCallback(func(_ context.Context, o metric.Int64Observer) error {
				add(o, &c.golang.Unreadable, "reason", "unreadable")
				add(o, &c.golang.Missing, "reason", "site_missing")
				add(o, &c.golang.Failed, "reason", "attach_failed")
				return nil
			})
		},
		func() error {
			return t.RegisterReceiverEbpfSpanGoExecutablesCallback(gauge(c.golang.Attached.Load))
		},
		func() error { return t.RegisterReceiverEbpfSpanConnectionsCallback(gauge(c.conns.Load)) },
		func() error { return t.RegisterReceiverEbpfSpanCallsWaitingCallback(gauge(c.held.Load)) },
		func() error {
			return t.RegisterReceiverEbpfSpanProcessesCallback(gauge(func() int64 { return int64(r.scanner.Len()) }))
		},
		func() error {
			return t.RegisterReceiverEbpfSpanProcessesSkippedCallback(func(_ context.Context, o metric.Int64Observer) error {
				r.scanner.Counters().Snapshot(func(reason process.Reason, n uint64) {
					o.Observe(int64(n), metric.WithAttributes(attribute.String("reason", reason.String())))
				})
				return nil
			})
		},
		func() error { return t.RegisterReceiverEbpfSpanHooksCallback(r.observeHooks) },
	} {
		if err := register(); err != nil {
			return err
		}
	}
	return nil
}

func (r *ebpfReceiver) observeLosses(_ context.Context, o metric.Int64Observer) error {
	losses, err := r.tracer.Losses()
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

func add(o metric.Int64Observer, n *atomic.Uint64, key, value string) {
	o.Observe(int64(n.Load()), metric.WithAttributes(attribute.String(key, value)))
}

func gauge(read func() int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(read())
		return nil
	}
}
