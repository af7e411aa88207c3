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
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver"
)

// tracer is a receiver that traces one program, and the processor that makes traces of its spans.
type tracer struct {
	receiver  receiver.Traces
	linker    processor.Traces
	telemetry *componenttest.Telemetry
	hold      time.Duration // the receiver's

	mu            sync.Mutex // guards raw and linked
	raw, finished []span
}

// tracing is how a program is traced.
type tracing struct {
	hold    time.Duration
	guess   bool // with the statistical fallback
	explain bool // calls without a request say why
}

// startTracer returns when every process of p is traced. Those that it starts later are, by the mark in
// their environment; by their pids those that write their title where it was.
func startTracer(ctx context.Context, p *program, how tracing) (*tracer, error) {
	pids := p.pids()
	t := &tracer{telemetry: componenttest.NewTelemetry(), hold: how.hold}
	tracing := make(chan struct{}, 1024)
	logger, err := newLogger(func(e zapcore.Entry) {
		if e.Message == "Tracing process" {
			select {
			case tracing <- struct{}{}:
			default: // nobody waits any more
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if err := t.assemble(ctx, logger, how, []ebpfspanreceiver.SelectorConfig{{PIDs: pids}, {Env: []string{markName + "=" + p.mark}}}); err != nil {
		return nil, err
	}
	if err := t.linker.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, err
	}
	if err := t.receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, errors.Join(err, t.linker.Shutdown(ctx))
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

// assemble makes receiver → linker → t, and keeps what flows between the two as well.
func (t *tracer) assemble(ctx context.Context, logger *zap.Logger, how tracing, include []ebpfspanreceiver.SelectorConfig) error {
	end, err := consumer.NewTraces(t.finish)
	if err != nil {
		return err
	}
	// Its warning that nothing is on disk is what is meant here.
	if t.linker, err = newLinker(ctx, zap.NewNop(), t.telemetry, t.hold, end); err != nil {
		return err
	}
	middle, err := consumer.NewTraces(t.pass)
	if err != nil {
		return err
	}
	f := ebpfspanreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfspanreceiver.Config)
	cfg.Discovery.Include = include
	cfg.Hold = t.hold
	cfg.Statistical.Enabled = how.guess
	cfg.Explain = how.explain
	cfg.RingBufferSize = 64 << 20
	cfg.DropCapabilities = false // the programs that this process starts need theirs
	cfg.RawArguments = true      // the truth about a Redis command is in its key
	if err := cfg.Validate(); err != nil {
		return err
	}
	set := receiver.Settings{
		ID:                component.NewID(f.Type()),
		TelemetrySettings: t.telemetry.NewTelemetrySettings(),
		BuildInfo:         component.NewDefaultBuildInfo(),
	}
	set.Logger = logger
	t.receiver, err = f.CreateTraces(ctx, set, cfg, middle)
	return err
}

// newLogger writes warnings, and shows each message to watch.
func newLogger(watch func(zapcore.Entry)) (*zap.Logger, error) {
	config := zap.NewDevelopmentConfig()
	config.Level = zap.NewAtomicLevelAt(zapcore.InfoLevel)
	config.DisableStacktrace = true
	return config.Build(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return &watchedCore{c, watch} }))
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

func (t *tracer) pass(ctx context.Context, td ptrace.Traces) error {
	t.mu.Lock()
	t.raw = readSpans(t.raw, td, rawOwner)
	t.mu.Unlock()
	return t.linker.ConsumeTraces(ctx, td)
}

func (t *tracer) finish(_ context.Context, td ptrace.Traces) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finished = readSpans(t.finished, td, linkedOwner)
	return nil
}

// settle waits until every held call was decided and nothing new comes, for a few seconds at most.
func (t *tracer) settle(ctx context.Context) error {
	deadline := time.Now().Add(t.hold + 3*time.Second)
	for before := -1; time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(300 * time.Millisecond) // more than a batch waits
		waiting, err := t.counts("calls_waiting")
		if err != nil {
			return err
		}
		t.mu.Lock()
		n := len(t.raw)
		t.mu.Unlock()
		if n == before && waiting[""] == 0 {
			return nil
		}
		before = n
	}
	return nil
}

// stop ends both; every span has come out then.
func (t *tracer) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := t.receiver.Shutdown(ctx)
	return errors.Join(err, t.linker.Shutdown(ctx), t.telemetry.Shutdown(ctx))
}

// counts reads a metric of the receiver, by the value of its one attribute besides the service.
func (t *tracer) counts(metric string) (map[string]int, error) {
	m, err := t.telemetry.GetMetric("otelcol_receiver_ebpf_span_" + metric)
	if err != nil {
		return map[string]int{}, nil //nolint:nilerr // a metric that has counted nothing is not there
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
			if it.Attribute().Value.Type() == attribute.STRING && it.Attribute().Key != "service" {
				key = it.Attribute().Value.AsString()
			}
		}
		out[key] += int(p.Value)
	}
	return out, nil
}
