package probe

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/javaruntime"
)

// TestJavaTasks: what the kernel side finds on the stack of a pool's thread is a task, and it lies where the thread that
// serves its request made objects. The ids in the paths say which that is.
func TestJavaTasks(t *testing.T) {
	bpftest.Need(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(3 * time.Millisecond)
		fmt.Fprint(w, "ok\n")
	}))
	defer backend.Close()
	programs := "../../../../internal/accuracy/programs/java/"
	for bin, classes := range compiled(t, programs+"Pools.java", programs+"Garbage.java") {
		for _, flag := range []string{"-XX:+UseG1GC", "-XX:+UseSerialGC", "-XX:+UseParallelGC", "-XX:-UseCompressedOops"} {
			for _, shape := range []string{"invokeall", "execute"} {
				t.Run(filepath.Base(filepath.Dir(bin))+flag+shape, func(t *testing.T) {
					testJavaTasks(t, shape, strings.TrimPrefix(backend.URL, "http://"), filepath.Join(bin, "java"), flag, "-Xmx64m", "-cp", classes, "Pools")
				})
			}
		}
	}
}

// compiled compiles sources with each JDK that is here: where its tools are, and the classes.
func compiled(t *testing.T, sources ...string) map[string]string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/jvm/*/bin/javac")
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("no JDK in /usr/lib/jvm")
	}
	out := map[string]string{}
	for _, compiler := range found {
		compiler, err = filepath.EvalSymlinks(compiler)
		require.NoError(t, err)
		bin := filepath.Dir(compiler)
		if out[bin] != "" {
			continue
		}
		out[bin] = t.TempDir()
		text, err := exec.Command(compiler, append([]string{"-d", out[bin]}, sources...)...).CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
	return out
}

var (
	requestPath = regexp.MustCompile(`^GET /r/(\d+) `)
	callPath    = regexp.MustCompile(`^GET /d/(bg/|)(\w+)/([a-c]) `)
)

// testJavaTasks runs one of the shapes of Pools.java. In invokeall each request makes three tasks; in execute one, and what
// makes the second call is none, so that the thread has nothing on its stack but what it has left there.
func testJavaTasks(t *testing.T, shape, backend string, args ...string) {
	tr, rec := startTracer(t)
	vm := start(t, exec.Command(args[0], append(args[1:], shape, backend, "4")...))
	address := vm.line(t)
	ask(t, address, "0") // it has loaded the class of tasks then
	proc := fmt.Sprintf("/proc/%d", vm.pid)
	var tasks javaruntime.Tasks
	require.Eventually(t, func() (ok bool) {
		var err error
		tasks, err = javaruntime.InspectTasks(proc)
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, tr.Java(uint32(vm.pid), JavaTarget{
		Threads: JavaPlatform, Slot: tasks.Slot, Current: tasks.Current, OSThread: tasks.OSThread, Pthread: tasks.Pthread,
		Platform: tasks.Platform, Narrow: tasks.Narrow, Shift: tasks.Shift, Base: tasks.Base,
		Tasks: true, Klass: tasks.Klass, Runner: tasks.Runner, State: tasks.State, Callable: tasks.Callable,
		StackBase: tasks.StackBase, Buffer: tasks.Buffer, Start: tasks.Start, Top: tasks.Top, End: tasks.End,
		Heap: tasks.Heap, HeapEnd: tasks.HeapEnd, Collections: tasks.Collections, Collecting: tasks.Collecting,
	}))
	require.NoError(t, tr.Select(uint32(vm.pid), Target{Java: true}))
	const clients, requests = 6, 60
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			var ids []string
			for n := range requests {
				ids = append(ids, fmt.Sprint(1+c*requests+n))
			}
			ask(t, address, ids...)
		})
	}
	wait.Wait()
	time.Sleep(300 * time.Millisecond)

	rec.mu.Lock()
	defer rec.mu.Unlock()
	request, call, none := map[uint64]string{}, map[uint64]string{}, map[uint64]bool{} // ids by epoch, and by call
	each := map[string]int{"invokeall": 3, "execute": 1}[shape]
	for i := range rec.data {
		d := &rec.data[i]
		if m := requestPath.FindSubmatch(d.Payload); m != nil && d.Dir == event.In && d.Role == event.Server {
			request[d.Turn] = string(m[1])
		} else if m := callPath.FindSubmatch(d.Payload); m != nil && d.Dir == event.Out && d.Role == event.Client {
			call[d.Turn] = string(m[1]) + string(m[2])
			none[d.Turn] = shape == "execute" && string(m[3]) == "b"
		}
	}
	type place struct {
		from, to    uint64
		collections uint32
		id          string
	}
	var made []place
	for i := range rec.objects {
		o := &rec.objects[i]
		if o.What != event.ObjectMade {
			continue
		}
		require.NotEmpty(t, request[o.Token])
		for j := range o.From {
			if o.From[j] < o.To[j] {
				made = append(made, place{o.From[j], o.To[j], o.Collections, request[o.Token]})
			}
		}
	}
	require.Greater(t, len(made), clients*requests*9/10)
	runs, right := 0, 0
	for i := range rec.objects {
		o := &rec.objects[i]
		if o.What != event.ObjectRun {
			continue
		}
		runs++
		require.False(t, none[o.Token], "a call of no task")
		require.NotZero(t, o.To[0], "what a task does is of a class")
		for _, p := range made {
			if p.collections == o.Collections && p.from <= o.From[0] && o.From[0] < p.to {
				require.Equal(t, call[o.Token], p.id, "a task at %#x of %#x to %#x", o.From[0], p.from, p.to)
				right++
			}
		}
	}
	// Garbage is collected now and then; and a thread is looked through some times until its task is found.
	require.Greater(t, runs, each*clients*requests*9/10)
	require.Greater(t, right, each*clients*requests*3/4)
}

// ask sends requests, one after the other on one connection.
func ask(t *testing.T, address string, ids ...string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, id := range ids {
		fmt.Fprintf(conn, "GET /r/%s HTTP/1.1\r\nHost: test\r\n\r\n", id)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	}
}
