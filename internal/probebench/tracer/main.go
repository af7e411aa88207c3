// Command tracer is the receiver in a process of its own, for probebench: without a pipeline behind
// it, so that what is measured is capture alone.
//
// Its argument is a JSON array of the pids to trace. It prints one JSON object a line: that it is
// ready, then, for each line on stdin, the spans and counters so far. It ends when stdin does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver"
)

// message has the fields of probebench's own.
type message struct {
	Ready    bool              `json:"ready,omitempty"`
	Error    string            `json:"error,omitempty"`
	Spans    map[string]uint64 `json:"spans,omitempty"`
	Counters map[string]int64  `json:"counters,omitempty"`
}

func main() {
	out := json.NewEncoder(os.Stdout)
	if err := run(context.Background(), out); err != nil {
		_ = out.Encode(message{Error: err.Error()})
		fmt.Fprintln(os.Stderr, "tracer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out *json.Encoder) (err error) {
	var pids []any
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s '[pid, …]'", os.Args[0])
	}
	if err := json.Unmarshal([]byte(os.Args[1]), &pids); err != nil {
		return fmt.Errorf("pids %q: %w", os.Args[1], err)
	}
	factory := ebpfspanreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	settings := confmap.NewFromStringMap(map[string]any{
		"discovery": map[string]any{"include": []any{map[string]any{"pids": pids}}},
	})
	if err := settings.Unmarshal(config); err != nil {
		return fmt.Errorf("configure the receiver: %w", err)
	}
	if v, ok := config.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("configure the receiver: %w", err)
		}
	}
	reader := sdkmetric.NewManualReader()
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer func() { err = errors.Join(err, metrics.Shutdown(ctx)) }()

	// Warnings only, to stderr: probebench shows them when something fails.
	log := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig()),
		zapcore.Lock(os.Stderr), zapcore.WarnLevel))
	sink := &counter{byKind: map[string]uint64{}}
	r, err := factory.CreateTraces(ctx, receiver.Settings{
		ID: component.NewID(factory.Type()),
		TelemetrySettings: component.TelemetrySettings{
			Logger: log, MeterProvider: metrics, TracerProvider: noop.NewTracerProvider(), Resource: pcommon.NewResource(),
		},
		BuildInfo: component.NewDefaultBuildInfo(),
	}, config, sink)
	if err != nil {
		return fmt.Errorf("create the receiver: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err = errors.Join(err, r.Shutdown(ctx))
	}()
	if err := r.Start(ctx, host{}); err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	if err := out.Encode(message{Ready: true}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		counters, err := collect(ctx, reader)
		if err != nil {
			return fmt.Errorf("read the receiver's metrics: %w", err)
		}
		if err := out.Encode(message{Spans: sink.snapshot(), Counters: counters}); err != nil {
			return err
		}
	}
	return in.Err()
}

// host offers no extensions.
type host struct{}

func (host) GetExtensions() map[component.ID]component.Component { return nil }

// counter is a consumer that counts spans by kind and forgets them.
type counter struct {
	mu     sync.Mutex
	byKind map[string]uint64
}

func (*counter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (c *counter) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				c.byKind[span.Kind().String()]++
			}
		}
	}
	return nil
}

func (c *counter) snapshot() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]uint64, len(c.byKind))
	for k, n := range c.byKind {
		all[k] = n
	}
	return all
}

// collect reads every integer sum, as name{attribute=value,…}.
func collect(ctx context.Context, reader *sdkmetric.ManualReader) (map[string]int64, error) {
	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		return nil, err
	}
	counters := map[string]int64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			d, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				continue
			}
			for _, p := range d.DataPoints {
				counters[m.Name+attributes(p.Attributes)] += p.Value
			}
		}
	}
	return counters, nil
}

func attributes(set attribute.Set) string {
	var all []string
	for _, a := range set.ToSlice() {
		all = append(all, string(a.Key)+"="+a.Value.String())
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ",") + "}"
}
