package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is a server under load.
type target struct {
	url  string
	pids []int
	cmd  *exec.Cmd
	log  strings.Builder
}

// bodySize is that of nginx's own welcome page, the usual body of such measurements.
const bodySize = 615

func startTarget(ctx context.Context, name, work string) (*target, error) {
	if name == "nginx" {
		return startNginx(ctx, work)
	}
	return startGoServer(ctx, work)
}

func (t *target) start(ctx context.Context, args ...string) error {
	t.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	// SIGTERM, not SIGKILL: nginx's master must take its worker with it.
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	t.cmd.Cancel = func() error { return t.cmd.Process.Signal(syscall.SIGTERM) }
	t.cmd.WaitDelay = 5 * time.Second
	t.cmd.Stderr = &t.log
	return nil
}

func (t *target) stop() {
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	limit := time.AfterFunc(5*time.Second, func() { _ = t.cmd.Process.Kill() })
	defer limit.Stop()
	_ = t.cmd.Wait()
}

// await asks until the server answers, so that a run never measures its start.
func (t *target) await(ctx context.Context) error {
	deadline := time.Now().Add(10 * time.Second)
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		r, err := client.Get(t.url)
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK && r.ContentLength == bodySize {
				return nil
			}
			err = fmt.Errorf("%s answered %s with %d bytes, want 200 with %d", t.url, r.Status, r.ContentLength, bodySize)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server did not come up: %w\n%s", err, t.log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const nginxConfig = `daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    default_type text/html;
    server {
        listen 127.0.0.1:%[2]d;
        location / { return 200 "%[3]s"; }
    }
}
`

func startNginx(ctx context.Context, work string) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	prefix, err := os.MkdirTemp(work, "nginx-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(prefix, 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(prefix, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, prefix, port, strings.Repeat("x", bodySize))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	t := &target{url: fmt.Sprintf("http://127.0.0.1:%d/", port)}
	if err := t.start(ctx, "nginx", "-p", prefix, "-c", config, "-e", "stderr"); err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	master := t.cmd.Process.Pid
	err = t.await(ctx)
	if err == nil {
		t.pids, err = children(master)
	}
	if err == nil && len(t.pids) != 1 {
		err = fmt.Errorf("nginx's master %d has %d children, want 1 worker", master, len(t.pids))
	}
	if err != nil {
		t.stop()
		return nil, err
	}
	t.pids = append(t.pids, master)
	return t, nil
}

func children(pid int) ([]int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range strings.Fields(string(data)) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, err
		}
		pids = append(pids, n)
	}
	return pids, nil
}

// freePort picks a port for a server that cannot say which one it got.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func startGoServer(ctx context.Context, work string) (*target, error) {
	binary, err := build(ctx, work, "server")
	if err != nil {
		return nil, err
	}
	t := &target{}
	if err := t.start(ctx, binary, strconv.Itoa(bodySize)); err != nil {
		return nil, err
	}
	stdout, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.stop()
		return nil, errors.Join(fmt.Errorf("the Go server gave no address: %w", err), errors.New(t.log.String()))
	}
	t.url = "http://" + strings.TrimSpace(address) + "/"
	t.pids = []int{t.cmd.Process.Pid}
	if err := t.await(ctx); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}
