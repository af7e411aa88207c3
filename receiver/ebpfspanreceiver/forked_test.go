//go:build linux

package ebpfspanreceiver

import (
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// forkServer forks a process for each connection, which ends with its response.
const forkServer = `
import os, signal, socket, sys, threading

s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(128)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("http://127.0.0.1:%d" % s.getsockname()[1], flush=True)
if os.fork() == 0:
    sys.stdin.readline()
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(0)
while True:
    c, _ = s.accept()
    if os.fork() == 0:
        c.recv(4096)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        os._exit(0)
    c.close()
`

// TestProcessForEachRequest: most have ended before anybody could read what they were.
func TestProcessForEachRequest(t *testing.T) {
	bpftest.Need(t)
	cmd := exec.Command(findPython(t), "-c", forkServer)
	cmd.Env = append(os.Environ(), "EBPFSPAN_TEST_FORKS=1", "OTEL_SERVICE_NAME=forks")
	base := startCommand(t, cmd)
	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{Env: []string{"EBPFSPAN_TEST_FORKS"}}}
	})

	const requests, workers = 256, 16
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < requests; i += workers {
				resp, err := client.Get(base + "/" + strconv.Itoa(i))
				if err == nil {
					err = resp.Body.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return len(served(sink)) >= requests }, 10*time.Second, 50*time.Millisecond)
	pids := map[int64]bool{}
	for path, by := range served(sink) {
		require.Equal(t, "forks", by.service, path)
		require.False(t, pids[by.pid], "%s: process %d has served another request", path, by.pid)
		require.NotEqual(t, int64(cmd.Process.Pid), by.pid)
		pids[by.pid] = true
	}
	require.Len(t, pids, requests)
}

type server struct {
	service string
	pid     int64
}

// served says who served each path.
func served(sink *consumertest.TracesSink) map[string]server {
	by := map[string]server{}
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			name, _ := rs.Resource().Attributes().Get("service.name")
			pid, _ := rs.Resource().Attributes().Get("process.pid")
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					if path, ok := s.Attributes().Get("url.path"); ok {
						by[path.Str()] = server{name.Str(), pid.Int()}
					}
				}
			}
		}
	}
	return by
}
