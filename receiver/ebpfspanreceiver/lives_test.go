//go:build linux

package ebpfspanreceiver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// livingServer answers one request, in which it makes a thread that makes a call: to the backend that is its argument. The
// path says whether that thread ends then. Nobody waits for it, and soon after the response the process ends.
const livingServer = `
import os, socket, sys, threading, time

def call(path):
    b = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    b.sendall(("GET %s HTTP/1.1\r\nHost: b\r\n\r\n" % path).encode())
    b.recv(4096)
    if path == "/lives":
        time.sleep(60)

s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print("http://127.0.0.1:%d" % s.getsockname()[1], flush=True)
c, _ = s.accept()
path = c.recv(4096).split()[1].decode()
threading.Thread(target=call, args=(path,)).start()
time.sleep(0.5)
c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
time.sleep(0.05)
os._exit(0)
`

// TestThreadThatEndsWithItsProcess: a thread that was made for a request may be given others while it lives. That all end
// with the process does not say that it was made for one.
func TestThreadThatEndsWithItsProcess(t *testing.T) {
	bpftest.Need(t)
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer backend.Close()
	to, err := url.Parse(backend.URL)
	require.NoError(t, err)
	for path, linked := range map[string]bool{"/ends": true, "/lives": false} {
		t.Run(path, func(t *testing.T) {
			cmd := exec.Command(findPython(t), "-c", livingServer, to.Port())
			base := startCommand(t, cmd)
			sink := startReceiver(t, func(c *Config) {
				c.Discovery.Include = []SelectorConfig{{PIDs: []int{cmd.Process.Pid}}}
				c.Hold = 2 * time.Second
			})
			resp, err := http.Get(base + path)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			var server, client seen
			require.Eventually(t, func() bool {
				server, client = seen{}, seen{}
				for _, s := range spansOf(sink) {
					if s.Kind() == ptrace.SpanKindServer {
						server = s
					} else {
						client = s
					}
				}
				return server.path == path && client.path == path
			}, 10*time.Second, 50*time.Millisecond)
			if linked {
				require.Equal(t, server.link.Systrace, client.link.Systrace)
				require.Equal(t, []string{"thread_spawn"}, client.link.Hints)
			} else {
				require.Zero(t, client.link.Systrace, client.link.Hints)
			}
		})
	}
}
