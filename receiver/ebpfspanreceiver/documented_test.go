package ebpfspanreceiver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/doctable"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// TestCountersAreDocumented: docs/troubleshooting.md has a row for each value of the labels that say why, and none
// for what does not exist. Those of events_lost are compared in internal/probe.
func TestCountersAreDocumented(t *testing.T) {
	shown := observed(t)
	for state := probe.Attached; state <= probe.Failed; state++ {
		shown.add("hooks{state=…}", state.String())
	}
	require.Greater(t, len(shown), 12)
	for title, values := range shown {
		require.ElementsMatch(t, values, doctable.FirstColumn(t, doctable.Counters, "`"+title+"`"), title)
	}
}

// labels are the values of one label of each metric, by the title of the table that has them.
type labels map[string][]string

func (l labels) add(title, value string) { l[title] = append(l[title], value) }

// observed is what the receiver shows when everything has happened in one service.
func observed(t *testing.T) labels {
	r := &ebpfReceiver{counts: &counts{}, tracer: &probe.Tracer{}}
	var err error
	r.scanner, err = process.NewScanner(process.Options{Rules: process.DefaultRules()})
	require.NoError(t, err)
	s := causality.NewSolver(causality.Options{MaxHeld: 10, Identify: func(uint32) (uint64, string) { return 1, "shop" }},
		&r.counts.causality)
	s.Uncountable(1, causality.Unwatched)
	for _, c := range r.counts.causality.Services() {
		for i := range c.Outcomes {
			c.Outcomes[i].Add(1)
		}
		for i := range c.Fates {
			c.Fates[i].Add(1)
		}
		for i := range c.Links {
			c.Links[i].Add(1)
		}
	}
	m := &meter{shown: labels{}}
	set := componenttest.NewNopTelemetrySettings()
	set.MeterProvider = provider{meter: m}
	r.telemetry, err = metadata.NewTelemetryBuilder(set)
	require.NoError(t, err)
	require.NoError(t, r.observe())
	return m.shown
}

// provider and meter keep what is observed; instruments are known by their names.
type provider struct {
	noop.MeterProvider
	meter *meter
}

func (p provider) Meter(string, ...metric.MeterOption) metric.Meter { return p.meter }

type meter struct {
	noop.Meter
	shown labels
}

type instrument struct {
	noop.Int64ObservableCounter
	name string
}

func (m *meter) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return instrument{name: name}, nil
}

func (m *meter) RegisterCallback(f metric.Callback, on ...metric.Observable) (metric.Registration, error) {
	if i, ok := on[0].(instrument); ok && i.name != "otelcol_receiver_ebpf_span_events_lost" { // which the kernel has
		_ = f(context.Background(), reading{shown: m.shown})
	}
	return noop.Registration{}, nil
}

type reading struct {
	noop.Observer
	shown labels
}

func (o reading) ObserveInt64(on metric.Int64Observable, _ int64, options ...metric.ObserveOption) {
	attributes := metric.NewObserveConfig(options).Attributes()
	for _, key := range []string{"reason", "outcome", "class"} {
		if v, ok := attributes.Value(attribute.Key(key)); ok {
			name := on.(instrument).name[len("otelcol_receiver_ebpf_span_"):]
			o.shown.add(name+"{"+key+"=…}", v.AsString())
		}
	}
}
