package ebpflinkprocessor

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// NewFactory makes the factory of the ebpf_link processor.
func NewFactory() processor.Factory { return NewFactoryWithClock(window.System{}) }

// NewFactoryWithClock makes processors that live by clock: whoever measures hours of traffic does not
// wait for them.
func NewFactoryWithClock(clock window.Clock) processor.Factory {
	create := func(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Traces) (processor.Traces, error) {
		c, ok := cfg.(*Config)
		if !ok {
			return nil, fmt.Errorf("ebpf_link got a configuration of type %T, want %T", cfg, c)
		}
		return newProcessor(set, c, next, clock)
	}
	return processor.NewFactory(
		metadata.Type,
		createDefaultConfig,
		processor.WithTraces(create, metadata.TracesStability),
	)
}
