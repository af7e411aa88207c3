package ebpfspanreceiver

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// handsChild serves /leaf/<id>, and /root/<id>, for which a goroutine of its own calls /leaf/<id>-made on a
// connection of its own, and one of two workers /leaf/<id>-put: tasks wait for it in the buffer of a channel, and
// nothing comes back but the count of a WaitGroup. It prints its address, and ends with its standard input.
func handsChild() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			panic(err)
		}
		return c
	}
	call := func(c net.Conn, path string) {
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: leaf\r\n\r\n", path); err != nil {
			panic(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
	}
	type task struct {
		path string
		wait *sync.WaitGroup
	}
	tasks := make(chan *task, 64)
	for range 2 {
		go func() {
			c := dial()
			for t := range tasks {
				call(c, t.path)
				t.wait.Done()
			}
		}()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/leaf/{id}", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond) // so that tasks wait
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/root/{id}", func(w http.ResponseWriter, r *http.Request) {
		var wait sync.WaitGroup
		wait.Add(2)
		tasks <- &task{"/leaf/" + r.PathValue("id") + "-put", &wait}
		go func() {
			defer wait.Done()
			c := dial()
			defer c.Close()
			call(c, "/leaf/"+r.PathValue("id")+"-made")
		}()
		wait.Wait()
		fmt.Fprintln(w, "root")
	})
	go func() { panic(http.Serve(l, mux)) }()
	fmt.Println("http://" + l.Addr().String())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// TestKernelGoHandOver: what is known of a goroutine from its creation, and of a task from the buffer in which it
// waited, where nothing else can tell whose call it is.
func TestKernelGoHandOver(t *testing.T) {
	bpftest.Need(t)
	base, pid := startChild(t, "go-hands")
	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{pid}}}
		c.Hold = time.Second
	})
	time.Sleep(time.Second)
	const clients, each = 8, 10
	var wg sync.WaitGroup
	for w := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				resp, err := http.Get(fmt.Sprintf("%s/root/%d-%d", base, w, i))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		}()
	}
	wg.Wait()
	const spans = clients * each * 5
	require.Eventually(t, func() bool { return len(spansOf(sink)) >= spans }, 10*time.Second, 50*time.Millisecond)
	roots, linked := map[uint64]string{}, map[string]int{}
	for _, s := range spansOf(sink) {
		if id, ok := strings.CutPrefix(s.path, "/root/"); ok {
			roots[s.link.Systrace] = id
		}
	}
	hints := map[string]string{"made": "goroutine_created", "put": "channel"}
	for _, s := range spansOf(sink) {
		if s.Kind() != ptrace.SpanKindClient || s.link.Systrace == 0 {
			continue
		}
		id, how, ok := cutLast(strings.TrimPrefix(s.path, "/leaf/"))
		require.True(t, ok, s.path)
		require.Equal(t, roots[s.link.Systrace], id, "%s: %v", s.path, s.link.Hints)
		require.Contains(t, s.link.Hints, hints[how], s.path)
		linked[how]++
	}
	// The first values of a type are on probation; a hand-over that was not seen links nothing.
	for how := range hints {
		require.GreaterOrEqual(t, linked[how], clients*each*8/10, how)
	}
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
