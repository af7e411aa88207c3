package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor"
)

// clockEnv names the file that says how far the Collector's wall clock has stepped.
const clockEnv = "LINKFAULTS_CLOCK"

// runCollector is the program under test: a Collector of otlp, ebpf_link and otlp again. Its only
// argument is the configuration.
func runCollector(config string) error {
	clock, err := openClock(os.Getenv(clockEnv))
	if err != nil {
		return err
	}
	c, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "linkfaults", Version: "0"},
		Factories: func() (f otelcol.Factories, err error) {
			f.Telemetry = otelconftelemetry.NewFactory()
			if f.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
				return f, err
			}
			if f.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](otlpexporter.NewFactory()); err != nil {
				return f, err
			}
			f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](ebpflinkprocessor.NewFactoryWithClock(clock))
			return f, err
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{"yaml:" + config},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err != nil {
		return err
	}
	return c.Run(context.Background())
}

// configuration of the Collector. The exporter neither queues nor retries: what it answers is what the
// receiver of the spans answered.
func configuration(in, out, dir string, s setup) string {
	return fmt.Sprintf(`{
receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}}}},
processors: {ebpf_link: {window: %s, link_retention: 10m, max_spans_waiting: %d, storage: {directory: "%s", sync: %s, sync_interval: 100ms}}},
exporters: {otlp_grpc: {endpoint: "%s", tls: {insecure: true}, timeout: 2m, compression: none, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}},
service: {
  pipelines: {traces: {receivers: [otlp], processors: [ebpf_link], exporters: [otlp_grpc]}},
  telemetry: {logs: {level: warn}, metrics: {level: none}}}}`,
		in, s.window, s.maxWaiting, dir, s.sync, out)
}
