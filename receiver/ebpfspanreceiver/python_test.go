package ebpfspanreceiver

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// pythonServer serves /leaf/<id>; /root/<id> calls /leaf/<id>-a from the serving thread and -b from a
// new thread. It prints its address and ends with its standard input.
const pythonServer = `
import http.client, http.server, os, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, ident = self.path[1:].partition("/")
        if kind == "root":
            call("/leaf/" + ident + "-a")
            t = threading.Thread(target=call, args=("/leaf/" + ident + "-b",))
            t.start()
            t.join()
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *args):
        pass

def call(path):
    c = http.client.HTTPConnection("127.0.0.1", server.server_port)
    c.request("GET", path)
    c.getresponse().read()
    c.close()

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("http://127.0.0.1:%d" % server.server_port, flush=True)
sys.stdin.readline()
os._exit(0)
`

// TestPythonThreads: a thread for each connection, fresh connections throughout, and a thread for a
// call: every exchange is seen at both ends and every call carries its request.
func TestPythonThreads(t *testing.T) {
	bpftest.Need(t)
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			bpftest.Lacks(t, "python3")
		}
	}
	cmd := exec.Command(python, "-c", pythonServer)
	base := startCommand(t, cmd)

	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{cmd.Process.Pid}}}
		c.Hold = time.Second
	})
	const requests, workers = 96, 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: w%2 == 0}}
			for i := range requests / workers {
				resp, err := client.Get(fmt.Sprintf("%s/root/r%d-%d", base, w, i))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
			client.CloseIdleConnections()
		}()
	}
	wg.Wait()
	time.Sleep(2 * time.Second)

	servers, clients := map[string]seen{}, map[string]seen{}
	for _, s := range spansOf(sink) {
		if s.Kind() == ptrace.SpanKindServer {
			servers[s.path] = s
		} else {
			clients[s.path] = s
		}
	}
	for w := range workers {
		for i := range requests / workers {
			id := fmt.Sprintf("r%d-%d", w, i)
			root, ok := servers["/root/"+id]
			if !ok {
				t.Errorf("no SERVER span of /root/%s", id)
				continue
			}
			for _, s := range []string{"-a", "-b"} {
				path := "/leaf/" + id + s
				c, ok := clients[path]
				if !ok {
					t.Errorf("no CLIENT span of %s", path)
					continue
				}
				if c.link.Systrace != root.link.Systrace {
					t.Errorf("%s belongs to %016x, not %016x: %v", path, c.link.Systrace, root.link.Systrace, c.link.Hints)
				}
				if srv, ok := servers[path]; !ok {
					t.Errorf("no SERVER span of %s", path)
				} else if srv.link.ReqSeq != c.link.ReqSeq || srv.link.RespSeq != c.link.RespSeq {
					t.Errorf("sequence numbers of %s differ", path)
				}
			}
		}
	}
}
