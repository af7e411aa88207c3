package ebpfspanreceiver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

func init() { children["go-calls"] = goCallsChild }

// goCallsChild serves requests whose first element of the path says how they call the backend that
// EBPFSPAN_TEST_BACKEND names, and the second how often.
func goCallsChild() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	backend := os.Getenv("EBPFSPAN_TEST_BACKEND")
	getBy := func(client *http.Client, path string) {
		resp, err := client.Get("http://" + backend + path)
		if err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	get := func(path string) { getBy(http.DefaultClient, path) }
	// A backend that speaks what nobody parses: a line there, a line back.
	binary, err := net.Dial("tcp", os.Getenv("EBPFSPAN_TEST_BINARY"))
	if err != nil {
		panic(err)
	}
	lines := bufio.NewReader(binary)
	work := make(chan string)
	go func() { // for nobody: who asks does not wait, and is not known
		for path := range work {
			time.Sleep(2 * time.Millisecond)
			get(path)
		}
	}()
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	serve := func(kind string, call func(r *http.Request, n int)) {
		http.HandleFunc("/"+kind+"/{n}/{id}", func(w http.ResponseWriter, r *http.Request) {
			n, err := strconv.Atoi(r.PathValue("n"))
			if err != nil {
				panic(err)
			}
			call(r, n)
			fmt.Fprintln(w, "done")
		})
	}
	serve("one-by-one", func(r *http.Request, n int) {
		for range n {
			get("/quick")
		}
	})
	serve("at-once", func(r *http.Request, n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { get("/quick") })
		}
		wg.Wait()
	})
	serve("unawaited", func(r *http.Request, n int) {
		var written atomic.Int32 // polled: to wait for the goroutine would be evidence
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return &writtenConn{c, &written}, err
			},
		}}
		for range n {
			go getBy(client, "/slow")
		}
		for int(written.Load()) < n {
			time.Sleep(time.Millisecond)
		}
	})
	serve("background", func(r *http.Request, n int) {
		for range n {
			select {
			case work <- "/at-leisure":
			case <-time.After(time.Second):
			}
		}
		time.Sleep(10 * time.Millisecond)
	})
	serve("unparsed", func(r *http.Request, n int) {
		for range n {
			if _, err := binary.Write([]byte("\x01\x02\x03\x04\n")); err != nil {
				panic(err)
			}
			if _, err := lines.ReadString('\n'); err != nil {
				panic(err)
			}
		}
	})
	go func() { panic(http.Serve(l, nil)) }()
	fmt.Println("http://" + l.Addr().String())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// writtenConn counts writes that are over. What net/http tells a tracer as written may still be in its buffer.
type writtenConn struct {
	net.Conn
	written *atomic.Int32
}

func (c *writtenConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(1)
	return n, err
}

// startCalls starts the program with its backends, and a receiver that traces it alone. What is asked for
// under /slow is answered when answer is called. It returns when requests are counted.
func startCalls(t *testing.T) (get func(path string), answer func(), sink *consumertest.TracesSink) {
	bpftest.Need(t)
	wait := make(chan struct{})
	answer = sync.OnceFunc(func() { close(wait) })
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-wait
		}
		fmt.Fprintln(w, "here")
	}))
	t.Cleanup(backend.Close)
	t.Cleanup(answer)
	binary, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { binary.Close() })
	go func() {
		for {
			c, err := binary.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	t.Setenv("EBPFSPAN_TEST_BACKEND", backend.Listener.Addr().String())
	t.Setenv("EBPFSPAN_TEST_BINARY", binary.Addr().String())
	base, pid := startChild(t, "go-calls")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(client.CloseIdleConnections)
	get = func(path string) {
		resp, err := client.Get(base + path)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	sink = startReceiver(t, func(c *Config) { c.Discovery.Include = []SelectorConfig{{PIDs: []int{pid}}} })
	isCounted := func(s seen) bool { return s.link.HasCalls }
	for tries := 0; !slices.ContainsFunc(spansOf(sink), isCounted); tries++ {
		require.Less(t, tries, 600, "no request is counted")
		get(fmt.Sprintf("/one-by-one/0/try-%d", tries))
		time.Sleep(100 * time.Millisecond)
	}
	return get, answer, sink
}

// counted waits for the SERVER span of each path, and for the CLIENT spans of all, and fails where a count is
// not the truth.
func counted(t *testing.T, sink *consumertest.TracesSink, calls int, paths ...string) map[string]bool {
	t.Helper()
	servers, made := map[string]seen{}, map[uint64]int{}
	look := func() bool {
		clear(servers)
		clear(made)
		clients := 0
		for _, s := range spansOf(sink) {
			if s.Kind() == ptrace.SpanKindServer {
				servers[s.path] = s
				continue
			}
			clients++
			if s.link.Systrace != 0 {
				made[s.link.Systrace]++
			}
		}
		missing := func(path string) bool { _, ok := servers[path]; return !ok }
		return !slices.ContainsFunc(paths, missing) && clients >= calls
	}
	require.Eventually(t, look, time.Minute, 50*time.Millisecond)
	time.Sleep(500 * time.Millisecond) // nothing more may come that changes it
	look()
	out := map[string]bool{}
	for _, path := range paths {
		s, ok := servers[path]
		require.True(t, ok, path)
		out[path] = s.link.HasCalls
		if s.link.HasCalls {
			require.Equal(t, made[s.link.Systrace], s.link.Calls, "%s: CLIENT spans that carry its id", path)
			n, err := strconv.Atoi(strings.Split(path, "/")[2])
			require.NoError(t, err)
			if strings.HasPrefix(path, "/background/") {
				n = within(s, sink) // on a slow machine its call begins after the response: then it has none
			}
			require.Equal(t, n, s.link.Calls, "%s: calls that it made", path)
		}
	}
	return out
}

// within is how many calls began while nothing but request was served.
func within(request seen, sink *consumertest.TracesSink) int {
	n := 0
	for _, s := range spansOf(sink) {
		if s.Kind() == ptrace.SpanKindClient && s.StartTimestamp() >= request.StartTimestamp() &&
			s.StartTimestamp() <= request.EndTimestamp() {
			n++
		}
	}
	return n
}

// TestKernelCallsAreCounted: one request at a time.
func TestKernelCallsAreCounted(t *testing.T) {
	get, answer, sink := startCalls(t)
	var paths []string
	calls := 0
	for _, row := range []struct {
		kind string
		n    int
		seen int // calls that make a span
	}{
		{"one-by-one", 0, 0},
		{"one-by-one", 3, 3},
		{"at-once", 5, 5},
		{"unparsed", 0, 0},
		{"unparsed", 2, 0},
		{"unawaited", 1, 1},
		{"one-by-one", 1, 1},
		{"background", 1, 1},
	} {
		path := fmt.Sprintf("/%s/%d/x", row.kind, row.n)
		get(path)
		if row.kind == "unawaited" { // its call is not over when it is counted
			served := func(s seen) bool { return s.path == path }
			require.Eventually(t, func() bool { return slices.ContainsFunc(spansOf(sink), served) },
				time.Minute, 50*time.Millisecond)
			answer()
		}
		paths, calls = append(paths, path), calls+row.seen
	}
	got := counted(t, sink, calls, paths...)
	require.Equal(t, map[string]bool{
		"/one-by-one/0/x": true, "/one-by-one/3/x": true, "/one-by-one/1/x": true,
		"/at-once/5/x":    withoutRequest(sink, "/quick") == 0, // a call that may be its is not linked: who knows
		"/unparsed/0/x":   true,
		"/unparsed/2/x":   false,                  // who knows what they were
		"/unawaited/1/x":  false,                  // not over in time
		"/background/1/x": got["/background/1/x"], // linked or not, counted() has checked it
	}, got)
}

// withoutRequest is how many calls of the path belong to no request. Those that are made at once may hand their
// connections to each other, on a slow machine while they use them; then it is not certain whose is whose.
func withoutRequest(sink *consumertest.TracesSink, path string) int {
	n := 0
	for _, s := range spansOf(sink) {
		if s.Kind() == ptrace.SpanKindClient && s.path == path && s.link.Systrace == 0 {
			n++
		}
	}
	return n
}

// TestKernelCallsAreCountedUnderLoad: many at once. What is counted must be right, and much must be.
func TestKernelCallsAreCountedUnderLoad(t *testing.T) {
	get, _, sink := startCalls(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var paths []string
	calls := 0
	const workers, each = 8, 25
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				n := (w + i) % 4
				path := fmt.Sprintf("/%s/%d/%d-%d", []string{"one-by-one", "at-once"}[i%2], n, w, i)
				get(path)
				mu.Lock()
				paths, calls = append(paths, path), calls+n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	n := 0
	for _, ok := range counted(t, sink, calls, paths...) {
		if ok {
			n++
		}
	}
	t.Logf("%d of %d requests were counted", n, workers*each)
	require.Greater(t, n, workers*each/2)
}
