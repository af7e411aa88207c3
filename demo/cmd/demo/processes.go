package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/launch"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
)

// runVariable marks the processes of one run. The collector selects by it, so that it traces what
// this demo started and nothing else, even when another demo runs.
const runVariable = "OTELCOL_EBPF_DEMO_RUN"

// beforeCollector says which services exist when the collector starts.
func beforeCollector(order, service string) bool {
	switch order {
	case orderBefore:
		return true
	case orderAfter:
		return false
	}
	return service != plan.Catalog && service != plan.Frontend
}

// buildServices compiles the Go services. One of them is stripped of its symbols, as many are in
// production.
func (d *demo) buildServices(ctx context.Context) error {
	for name, ldflags := range map[string]string{plan.Frontend: "", plan.Inventory: "", plan.Catalog: "-s -w"} {
		if err := build(ctx, d.root, d.dir, "go", "build", "-ldflags="+ldflags, "-o", filepath.Join(d.dir, name), "./demo/"+name); err != nil {
			return err
		}
	}
	return nil
}

// startService starts one of plan.Services, whose peers run already.
func (d *demo) startService(ctx context.Context, name string) error {
	spec := launch.Spec{Name: name, Listening: true, Env: append(cleanEnviron(),
		"OTEL_SERVICE_NAME="+name, runVariable+"="+d.id)}
	script := filepath.Join(d.root, "demo", "pricing.py")
	switch name {
	case plan.Redis:
		return d.startRedis(ctx, spec)
	case plan.Tax:
		spec.Path, spec.Args = d.python, []string{"-u", script, "-role", "tax"}
	case plan.Pricing:
		spec.Path, spec.Args = d.python, []string{
			"-u", script, "-role", "pricing",
			"-tax", d.load.addr[plan.Tax], "-redis", d.load.addr[plan.Redis],
		}
	case plan.Inventory:
		spec.Path, spec.Args = filepath.Join(d.dir, name), []string{"-redis", d.load.addr[plan.Redis]}
	case plan.Catalog:
		spec.Path, spec.Args = filepath.Join(d.dir, name), []string{"-pricing", d.load.addr[plan.Pricing]}
	case plan.Frontend:
		spec.Path, spec.Args = filepath.Join(d.dir, name), []string{
			"-pricing", d.load.addr[plan.Pricing],
			"-catalog", d.load.addr[plan.Catalog], "-inventory", d.load.addr[plan.Inventory],
		}
	}
	c, err := d.group.Start(ctx, spec)
	if err != nil {
		return err
	}
	d.load.addr[name] = c.Addr
	return nil
}

// startRedis: Redis cannot choose a port itself, so another process may take ours in between; then
// it ends and we try again.
func (d *demo) startRedis(ctx context.Context, spec launch.Spec) error {
	spec.Path, spec.Listening = d.redis, false
	var last error
	for range 3 {
		port, err := freePort()
		if err != nil {
			return err
		}
		// set-proc-title would write over the environment that the collector selects by.
		spec.Args = []string{
			"--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no",
			"--dir", d.dir, "--daemonize", "no", "--set-proc-title", "no",
		}
		c, err := d.group.Start(ctx, spec)
		if err != nil {
			return err
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if last = connectable(ctx, c, addr, 10*time.Second); last == nil {
			d.load.addr[plan.Redis] = addr
			return nil
		}
		_ = c.Stop(time.Second)
	}
	return last
}

// connectable waits until somebody accepts on addr, as long as c runs.
func connectable(ctx context.Context, c *launch.Child, addr string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if gone, end := c.Exited(); gone {
			return fmt.Errorf("%s ended while starting (%w); its output:\n%s", c.Name, ended(end), c.Tail(20))
		}
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s after %s: %w; its output:\n%s", c.Name, addr, limit, err, c.Tail(20))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// cleanEnviron is our environment without what would name or configure a service or a collector,
// and without proxies, which loopback calls must not take.
func cleanEnviron() []string {
	var out []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		upper := strings.ToUpper(name)
		if strings.HasPrefix(upper, "OTEL_") || strings.HasPrefix(upper, "OTELCOL_") || strings.HasPrefix(upper, "DD_") ||
			strings.HasPrefix(upper, "DK_") || strings.HasSuffix(upper, "_PROXY") {
			continue
		}
		out = append(out, kv)
	}
	return out
}
