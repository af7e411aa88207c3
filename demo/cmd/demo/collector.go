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

// overlay is merged over the configuration that users get. It only narrows the selection to this
// run; everything else is set by the environment variables that the configuration offers.
const overlay = `# Written by the demo, merged over the standalone configuration.
receivers:
  ebpf_span:
    discovery:
      include:
        - env: ["%s=%s"]
`

// earlyOverlay says where traced processes have their addresses. The requests of the load come from elsewhere
// then, so it is known that no span of a caller is missing.
const earlyOverlay = `processors:
  ebpf_link:
    traced_networks: [127.0.0.0/8]
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
	defer d.sayEach(30*time.Second, "still building the collector")()
	if err := build(ctx, d.root, d.dir, "make", "--no-print-directory", "build"); err != nil {
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
	selection := filepath.Join(d.dir, "selection.yaml")
	text := fmt.Appendf(nil, overlay, runVariable, d.id)
	if d.o.early {
		text = append(text, earlyOverlay...)
	}
	if err := os.WriteFile(selection, text, 0o600); err != nil {
		return nil, err
	}
	env := append(cleanEnviron(),
		"OTELCOL_EBPF_WINDOW="+d.o.window.String(),
		"OTELCOL_EBPF_DATA="+filepath.Join(d.dir, "data"),
		"OTELCOL_EBPF_EXPORTERS=[otlp_grpc]",
		"OTELCOL_EBPF_BACKEND=http://"+d.sink.Addr(),
		// Nothing of the demo sends OTLP to the collector: any free ports.
		"OTELCOL_EBPF_GRPC_PORT=0", "OTELCOL_EBPF_HTTP_PORT=0",
		fmt.Sprintf("OTELCOL_EBPF_HEALTH_PORT=%d", health),
		fmt.Sprintf("OTELCOL_EBPF_METRICS_PORT=%d", metrics))
	if err := os.MkdirAll(filepath.Join(d.dir, "data"), 0o700); err != nil {
		return nil, err
	}
	child, err := d.group.Start(ctx, launch.Spec{
		Name: "collector", Path: d.binary,
		Args: []string{"--config", config, "--config", selection}, Env: env,
	})
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

// ended is how a process ended, never nil.
func ended(err error) error {
	if err == nil {
		return errCleanExit
	}
	return err
}

// alive is an error once the collector has ended.
func (c *collector) alive() error {
	gone, err := c.child.Exited()
	if !gone {
		return nil
	}
	return fmt.Errorf("the collector ended (%w); its output:\n%s", ended(err), c.child.Tail(30))
}

func (c *collector) read(ctx context.Context) (selfmetrics.Metrics, error) {
	return selfmetrics.Read(ctx, c.metrics)
}
