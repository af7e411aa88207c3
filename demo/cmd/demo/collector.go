package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/launch"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/selfmetrics"
)

// overlay is merged over the configuration that users get: it narrows the selection to this run,
// shortens the wait, and sends the traces here. Ports are free ones.
const overlay = `# Written by the demo, merged over the standalone configuration.
receivers:
  ebpf_span:
    discovery:
      include:
        - env: ["%[1]s=%[2]s"]
processors:
  ebpf_link:
    window: %[3]s
    storage:
      directory: %[4]q
exporters:
  otlp_http/demo:
    endpoint: http://%[5]s
extensions:
  health_check:
    endpoint: 127.0.0.1:%[6]d
service:
  extensions: [health_check]
  telemetry:
    metrics:
      level: detailed
      readers:
        - pull:
            exporter:
              prometheus:
                host: 127.0.0.1
                port: %[7]d
  pipelines:
    traces:
      receivers: [ebpf_span]
      exporters: [otlp_http/demo]
`

// collector is the running collector.
type collector struct {
	child   *launch.Child
	metrics string // URL of its own telemetry
}

// findCollector returns the binary, built when none was named.
func (d *demo) findCollector(ctx context.Context) (string, error) {
	if d.o.collector != "" {
		p, err := filepath.Abs(d.o.collector)
		if err == nil {
			_, err = os.Stat(p)
		}
		if err != nil {
			return "", fmt.Errorf("-collector=%s: %w", d.o.collector, err)
		}
		return p, nil
	}
	d.say("building the collector (the first time takes some minutes)")
	if err := build(ctx, d.root, "make", "--no-print-directory", "build"); err != nil {
		return "", err
	}
	return filepath.Join(d.root, "build", "otelcol-ebpf"), nil
}

// startCollector returns when its health check says that every component runs.
func (d *demo) startCollector(ctx context.Context) (*collector, error) {
	config := d.o.config
	if config == "" {
		config = filepath.Join(d.root, "otelcol-ebpf", "config", "standalone.yaml")
	}
	config, err := filepath.Abs(config)
	if err == nil {
		_, err = os.Stat(config)
	}
	if err != nil {
		return nil, fmt.Errorf("collector configuration: %w", err)
	}
	health, err := freePort()
	if err != nil {
		return nil, err
	}
	metrics, err := freePort()
	if err != nil {
		return nil, err
	}
	state := filepath.Join(d.dir, "link")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	second := filepath.Join(d.dir, "demo.yaml")
	text := fmt.Sprintf(overlay, runVariable, d.id, d.o.window, state, d.sink.Addr(), health, metrics)
	if err := os.WriteFile(second, []byte(text), 0o600); err != nil {
		return nil, err
	}
	child, err := d.group.Start(ctx, launch.Spec{Name: "collector", Path: d.binary,
		Args: []string{"--config", config, "--config", second}, Env: cleanEnviron()})
	if err != nil {
		return nil, err
	}
	c := &collector{child: child, metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)}
	return c, c.healthy(ctx, fmt.Sprintf("http://127.0.0.1:%d/", health), 60*time.Second)
}

func (c *collector) healthy(ctx context.Context, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if err := c.alive(); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the collector is not healthy after %s: %w; its output:\n%s", limit, err, c.child.Tail(30))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var errCleanExit = errors.New("exit code 0")

// alive is an error once the collector has ended.
func (c *collector) alive() error {
	gone, err := c.child.Exited()
	if !gone {
		return nil
	}
	if err == nil {
		err = errCleanExit
	}
	return fmt.Errorf("the collector ended (%w); its output:\n%s", err, c.child.Tail(30))
}

func (c *collector) read(ctx context.Context) (selfmetrics.Metrics, error) {
	return selfmetrics.Read(ctx, c.metrics)
}
