package main

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor"
)

// newLinker is the ebpf_link processor in front of next, with all rules and nothing on disk.
func newLinker(ctx context.Context, log *zap.Logger, telemetry *componenttest.Telemetry, hold time.Duration, next consumer.Traces) (processor.Traces, error) {
	f := ebpflinkprocessor.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpflinkprocessor.Config)
	cfg.Storage.Directory = ""
	cfg.Storage.Sync = "never"
	// Calls come up to hold after their request. What still waits at the end leaves at Shutdown.
	cfg.Window = 2 * hold
	cfg.LinkRetention = time.Minute
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	set := processor.Settings{
		ID:                component.NewID(f.Type()),
		TelemetrySettings: telemetry.NewTelemetrySettings(),
		BuildInfo:         component.NewDefaultBuildInfo(),
	}
	set.Logger = log
	return f.CreateTraces(ctx, set, cfg, next)
}
