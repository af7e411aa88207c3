package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver"
)

// hold is how long a call waits for its request to end. No request here takes as long.
const hold = time.Second

// span is what the score needs of a raw span.
type span struct {
	path     string
	server   bool
	systrace uint64
	hints    []string
	attrs    pcommon.Map
}

// tracer is a receiver that traces one program.
type tracer struct {
	receiver  receiver.Traces
	telemetry *componenttest.Telemetry

	mu    sync.Mutex // guards spans
	spans []span
}

// startTracer returns when every process of p is traced. Those that it starts later are, by the mark in
// their environment; by their pids those that write their title where it was.
func startTracer(ctx context.Context, p *program) (*tracer, error) {
	pids := p.pids()
	t := &tracer{telemetry: componenttest.NewTelemetry()}
	tracing := make(chan struct{}, 1024)
	f := ebpfspanreceiver.NewFactory()
	set := receiver.Settings{
		ID:                component.NewID(f.Type()),
		TelemetrySettings: t.telemetry.NewTelemetrySettings(),
		BuildInfo:         component.NewDefaultBuildInfo(),
	}
	config := zap.NewDevelopmentConfig()
	config.Level = zap.NewAtomicLevelAt(zapcore.InfoLevel)
	logger, err := config.Build(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return &watchedCore{c, func(e zapcore.Entry) {
			if e.Message == "Tracing process" {
				tracing <- struct{}{}
			}
		}}
	}))
	if err != nil {
		return nil, err
	}
	set.Logger = logger
	cfg := f.CreateDefaultConfig().(*ebpfspanreceiver.Config)
	cfg.Discovery.Include = []ebpfspanreceiver.SelectorConfig{{PIDs: pids}, {Env: []string{markName + "=" + p.mark}}}
	cfg.Hold = hold
	cfg.RingBufferSize = 64 << 20
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sink, err := consumer.NewTraces(t.consume)
	if err != nil {
		return nil, err
	}
	if t.receiver, err = f.CreateTraces(ctx, set, cfg, sink); err != nil {
		return nil, err
	}
	if err := t.receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, err
	}
	late := time.After(20 * time.Second)
	for range pids {
		select {
		case <-tracing:
			continue
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-late:
			err = fmt.Errorf("the receiver did not select the processes %v within 20s", pids)
		}
		return nil, errors.Join(err, t.stop())
	}
	return t, nil
}

// watchedCore drops what is below warning and shows each message to watch.
type watchedCore struct {
	zapcore.Core
	watch func(zapcore.Entry)
}

func (c *watchedCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	c.watch(e)
	if e.Level < zapcore.WarnLevel {
		return to
	}
	return c.Core.Check(e, to)
}

func (t *tracer) consume(_ context.Context, td ptrace.Traces) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				l, _ := rawspan.ReadLink(s)
				if l.Pending {
					continue
				}
				path, _ := s.Attributes().Get("url.path")
				out := span{path: path.Str(), server: s.Kind() == ptrace.SpanKindServer, systrace: l.Systrace, hints: l.Hints}
				out.attrs = pcommon.NewMap()
				s.Attributes().CopyTo(out.attrs)
				t.spans = append(t.spans, out)
			}
		}
	}
	return nil
}

// settle waits until every held call was decided and nothing new comes, for a few seconds at most.
func (t *tracer) settle(ctx context.Context) error {
	deadline := time.Now().Add(hold + 3*time.Second)
	for before := -1; time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(300 * time.Millisecond) // more than a batch waits
		waiting, err := t.counts("calls_waiting")
		if err != nil {
			return err
		}
		t.mu.Lock()
		n := len(t.spans)
		t.mu.Unlock()
		if n == before && waiting[""] == 0 {
			return nil
		}
		before = n
	}
	return nil
}

func (t *tracer) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := t.receiver.Shutdown(ctx)
	return errors.Join(err, t.telemetry.Shutdown(ctx))
}

func (t *tracer) result() []span {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spans
}

// counts reads a metric of the receiver, by the value of its one attribute.
func (t *tracer) counts(metric string) (map[string]int, error) {
	m, err := t.telemetry.GetMetric("otelcol_receiver_ebpf_span_" + metric)
	if err != nil {
		return nil, err
	}
	var points []metricdata.DataPoint[int64]
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		points = d.DataPoints
	case metricdata.Gauge[int64]:
		points = d.DataPoints
	}
	out := map[string]int{}
	for _, p := range points {
		key := ""
		for it := p.Attributes.Iter(); it.Next(); {
			if it.Attribute().Value.Type() == attribute.STRING {
				key = it.Attribute().Value.AsString()
			}
		}
		out[key] += int(p.Value)
	}
	return out, nil
}
