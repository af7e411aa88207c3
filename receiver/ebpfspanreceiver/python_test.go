package ebpfspanreceiver

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// pythonServer serves /leaf/<id>; /root/<id> calls /leaf/<id>-a from the serving thread and -b from a
// new thread, /worked/<id> the first from a thread that it has, and waits for that. It prints its address and ends with
// its standard input.
const pythonServer = `
import http.client, http.server, os, queue, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, ident = self.path[1:].partition("/")
        if kind == "root":
            call("/leaf/" + ident + "-a")
            t = threading.Thread(target=call, args=("/leaf/" + ident + "-b",))
            t.start()
            t.join()
        if kind == "worked":
            done = threading.Lock()
            done.acquire()
            tasks.put((ident, done))
            done.acquire()
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

tasks = queue.Queue()

def work():
    while True:
        ident, done = tasks.get()
        call("/leaf/" + ident + "-a")
        done.release()

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=work, daemon=True).start()
threading.Thread(target=server.serve_forever, daemon=True).start()
print("http://127.0.0.1:%d" % server.server_port, flush=True)
sys.stdin.readline()
os._exit(0)
`

// findPython prefers Debian's.
func findPython(t *testing.T) string {
	t.Helper()
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			bpftest.Lacks(t, "python3")
		}
	}
	return python
}

// tracedPython starts that server, and a receiver that traces it.
func tracedPython(t *testing.T) (base string, sink *consumertest.TracesSink) {
	t.Helper()
	bpftest.Need(t)
	cmd := exec.Command(findPython(t), "-c", pythonServer)
	base = startCommand(t, cmd)
	return base, startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{cmd.Process.Pid}}}
		c.Hold = time.Second
	})
}

// TestPythonThreads: a thread for each connection, fresh connections throughout, and a thread for a
// call: every exchange is seen at both ends and every call carries its request.
func TestPythonThreads(t *testing.T) {
	base, sink := tracedPython(t)
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

// TestPythonWorker: who is woken by the thread that made its call is believed to have waited for that, once it is known
// where the lock of the interpreter is, which is found.
func TestPythonWorker(t *testing.T) {
	base, sink := tracedPython(t)
	const requests = 20
	for i := range requests {
		resp, err := http.Get(fmt.Sprintf("%s/worked/r%d", base, i))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	time.Sleep(2 * time.Second)

	servers, linked := map[string]seen{}, 0
	for _, s := range spansOf(sink) {
		if s.Kind() == ptrace.SpanKindServer {
			servers[s.path] = s
		}
	}
	for _, s := range spansOf(sink) {
		id, ok := strings.CutPrefix(s.path, "/leaf/")
		if s.Kind() != ptrace.SpanKindClient || !ok || s.link.Systrace == 0 {
			continue
		}
		root := servers["/worked/"+strings.TrimSuffix(id, "-a")]
		if s.link.Systrace != root.link.Systrace || !slices.Contains(s.link.Hints, "wake_back") {
			t.Errorf("%s belongs to %016x, not %016x: %v", s.path, s.link.Systrace, root.link.Systrace, s.link.Hints)
		}
		linked++
	}
	// Where a call has ended before it was waited for nobody is woken.
	if linked < requests*9/10 {
		t.Errorf("%d of %d calls are linked", linked, requests)
	}
}

// TestLookAgain: a module that is imported late is looked for for some two minutes, what is in the interpreter for 5 s.
func TestLookAgain(t *testing.T) {
	for whole, want := range map[bool]time.Duration{false: 5 * time.Second, true: 5*time.Second + 511*libraryAfter} {
		var all time.Duration
		look := 0
		for after, again := lookAgain(look, whole); again; after, again = lookAgain(look, whole) {
			all += after
			look++
		}
		if all != want {
			t.Errorf("whole %v: looks for %v, not %v", whole, all, want)
		}
	}
}

// uvloopServer serves /leaf/<id> at once. For the rest a task calls /leaf/<id>, over one connection that all share:
//
//	alone   at once
//	pair    when two such requests have come, in one round of the loop
//	large   with a body that the kernel does not take at once
//	slow    and answers a while after that
//	handed  and leaves the answer to a task that gives all of these
const uvloopServer = `
import asyncio, collections, os, sys, threading
import uvloop

def messages(data):
    """Splits off the first whole message."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, data
    length = int(head.lower().partition(b"content-length:")[2].split()[0] if b"ontent-" in head else 0)
    return (head, rest[length:]) if len(rest) >= length else (None, data)

class Line(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data, self.waiting = transport, b"", collections.deque()

    def data_received(self, data):
        self.data += data
        while True:
            head, self.data = messages(self.data)
            if not head:
                return
            self.waiting.popleft().set_result(None)

    async def call(self, ident, body):
        done = asyncio.get_running_loop().create_future()
        self.waiting.append(done)
        head = "POST /leaf/%s HTTP/1.1\r\nHost: leaf\r\nContent-Length: %d\r\n\r\n" % (ident, len(body))
        self.transport.write(head.encode() + body)
        await done

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while True:
            head, self.data = messages(self.data)
            if not head:
                return
            kind, _, ident = head.split()[1].decode()[1:].partition("/")
            if kind == "leaf":
                self.answer()
            else:
                tasks.append(asyncio.create_task(self.serve(kind, ident)))

    async def serve(self, kind, ident):
        if kind == "pair":
            await pair()
        await line.call(ident, b"x" * (8 << 20 if kind == "large" else 0))
        if kind == "slow":
            await asyncio.sleep(0.3)
        if kind == "handed":
            answers.put_nowait(self)
        else:
            self.answer()

    def answer(self):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

tasks, pairs = [], []

def release():
    while pairs:
        pairs.pop().set_result(None)

async def pair():
    ready = asyncio.get_running_loop().create_future()
    pairs.append(ready)
    if len(pairs) == 2:
        asyncio.get_running_loop().call_soon(release)
    await ready

async def main():
    global answers, line
    loop, answers = asyncio.get_running_loop(), asyncio.Queue()
    address = (await loop.create_server(Server, "127.0.0.1", 0)).sockets[0].getsockname()
    _, line = await loop.create_connection(Line, *address)
    threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0)), daemon=True).start()
    print("http://%s:%d" % address, flush=True)
    while True:
        (await answers.get()).answer()

uvloop.install()
asyncio.run(main())
`

// TestUvloop: what a task writes is its own, though uvloop makes the system call later, and for several calls if they
// are written in one round: those are nobody's. And a task that was made when a request was read works for that one, and
// for no other that is open.
func TestUvloop(t *testing.T) {
	bpftest.Need(t)
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import uvloop").Run() != nil {
		bpftest.Lacks(t, "uvloop")
	}
	cmd := exec.Command(python, "-c", uvloopServer)
	base := startCommand(t, cmd)
	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{cmd.Process.Pid}}}
		c.Hold = time.Second
	})
	time.Sleep(time.Second) // the first message on an older connection counts only when that was silent before
	get := func(path string) {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	}
	get("/alone/first") // what had been written to an older connection in this round is not known
	const rounds = 8
	for i := range rounds {
		get(fmt.Sprintf("/alone/alone-%d", i))
		var wg sync.WaitGroup
		for _, which := range []string{"a", "b"} {
			wg.Go(func() { get(fmt.Sprintf("/pair/pair-%d%s", i, which)) })
		}
		wg.Wait()
		get(fmt.Sprintf("/large/large-%d", i))
		wg.Go(func() { get(fmt.Sprintf("/slow/slow-%d", i)) })
		time.Sleep(100 * time.Millisecond)
		get(fmt.Sprintf("/handed/handed-%d", i))
		wg.Wait()
	}
	time.Sleep(2 * time.Second)

	requests, calls := map[string]seen{}, map[string]seen{}
	for _, s := range spansOf(sink) {
		kind, id, _ := strings.Cut(strings.TrimPrefix(s.path, "/"), "/")
		switch {
		case s.Kind() == ptrace.SpanKindClient:
			calls[id] = s
		case kind != "leaf":
			requests[id] = s
		}
	}
	for i := range rounds {
		for _, id := range []string{"alone-%d", "pair-%da", "pair-%db", "large-%d", "slow-%d", "handed-%d"} {
			id = fmt.Sprintf(id, i)
			request, ok := requests[id]
			call, called := calls[id]
			if !ok || !called {
				t.Errorf("%s: request %v, call %v", id, ok, called)
				continue
			}
			var want uint64
			if !strings.HasPrefix(id, "pair") {
				want = request.link.Systrace
			}
			if call.link.Systrace != want {
				t.Errorf("the call of %s belongs to %016x, not %016x: %v", id, call.link.Systrace, want, call.link.Hints)
			}
		}
	}
}
