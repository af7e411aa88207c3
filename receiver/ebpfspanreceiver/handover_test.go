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
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"

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
	dial := func() net.Conn { return dialed(l.Addr()) }
	type task struct {
		path string
		wait *sync.WaitGroup
	}
	tasks := make(chan *task, 64)
	for range 2 {
		go func() {
			c := dial()
			for t := range tasks {
				callOn(c, t.path)
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
			callOn(c, "/leaf/"+r.PathValue("id")+"-made")
		}()
		wait.Wait()
		fmt.Fprintln(w, "root")
	})
	go func() { panic(http.Serve(l, mux)) }()
	fmt.Println("http://" + l.Addr().String())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

func dialed(a net.Addr) net.Conn {
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		panic(err)
	}
	return c
}

func callOn(c net.Conn, path string) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: leaf\r\n\r\n", path); err != nil {
		panic(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
}

// groupsChild serves /leaf/<id>, and /root/<id>, for which two workers make two calls each, to /leaf/<id>-0 and -1. Only
// that a task is done tells that the second call is of it. The WaitGroup is in memory that nobody has written, as Go has
// it for the first value in a page that is fresh from the kernel. It prints its address, and ends with its standard input.
func groupsChild() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	type task struct {
		id   string
		wait *sync.WaitGroup
	}
	tasks := make(chan *task, 64)
	for range 2 {
		go func() {
			c := dialed(l.Addr())
			for t := range tasks {
				callOn(c, "/leaf/"+t.id+"-0")
				callOn(c, "/leaf/"+t.id+"-1")
				t.wait.Done()
			}
		}()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/leaf/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/root/{id}", func(w http.ResponseWriter, r *http.Request) {
		page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		wait := (*sync.WaitGroup)(unsafe.Pointer(&page[0]))
		for range 2 {
			wait.Add(1)
			tasks <- &task{r.PathValue("id"), wait}
		}
		wait.Wait()
		fmt.Fprintln(w, "root")
	})
	go func() { panic(http.Serve(l, mux)) }()
	fmt.Println("http://" + l.Addr().String())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// TestKernelGoFreshGroup: a WaitGroup cannot be read before the first Add has written it. That nobody was in it is known
// all the same, and nothing is lost.
func TestKernelGoFreshGroup(t *testing.T) {
	bpftest.Need(t)
	base, pid := startChild(t, "go-groups")
	r, sink := receiverAndSink(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{pid}}}
		c.Hold = time.Second
	})
	time.Sleep(time.Second)
	const requests = 40
	for i := range requests {
		resp, err := http.Get(fmt.Sprintf("%s/root/%d", base, i))
		require.NoError(t, err)
		resp.Body.Close()
	}
	const spans = requests * 9
	require.Eventually(t, func() bool { return len(spansOf(sink)) >= spans }, 10*time.Second, 50*time.Millisecond)
	losses, err := r.tracer.Losses()
	require.NoError(t, err)
	for _, l := range losses {
		require.Zero(t, l.Count, l.Reason)
	}
	roots, linked := map[uint64]string{}, map[string]int{}
	for _, s := range spansOf(sink) {
		if id, ok := strings.CutPrefix(s.path, "/root/"); ok {
			roots[s.link.Systrace] = id
		}
	}
	for _, s := range spansOf(sink) {
		if s.Kind() != ptrace.SpanKindClient || s.link.Systrace == 0 {
			continue
		}
		id, nr, ok := cutLast(strings.TrimPrefix(s.path, "/leaf/"))
		require.True(t, ok, s.path)
		require.Equal(t, roots[s.link.Systrace], id, "%s: %v", s.path, s.link.Hints)
		linked[nr]++
	}
	for _, nr := range []string{"0", "1"} { // the first values of a type are on probation
		require.GreaterOrEqual(t, linked[nr], 2*requests*8/10, nr)
	}
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
