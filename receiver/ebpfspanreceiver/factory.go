package ebpfspanreceiver

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
)

// NewFactory makes the factory of the ebpf_span receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(
		metadata.Type,
		func() component.Config { return defaultConfig() },
		receiver.WithTraces(createTraces, metadata.TracesStability),
	)
}
