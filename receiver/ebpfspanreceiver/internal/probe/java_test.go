package probe

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/javaruntime"
)

// TestJavaContexts: threads say who they are in what they send, and the kernel side finds the same.
func TestJavaContexts(t *testing.T) {
	bpftest.Need(t)
	found, err := filepath.Glob("/usr/lib/jvm/*/bin/java")
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("no JDK in /usr/lib/jvm")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }))
	}()
	defer l.Close()
	tested := map[string]bool{}
	for _, java := range found {
		real, err := filepath.EvalSymlinks(java)
		require.NoError(t, err)
		if tested[real] {
			continue
		}
		tested[real] = true
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(real))), func(t *testing.T) {
			testJavaContexts(t, real, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		})
	}
}

var whoAsks = regexp.MustCompile(`^GET /(platform|virtual)/(\d+) `)

func testJavaContexts(t *testing.T, java, port string) {
	tr, rec := startTracer(t)
	program, err := filepath.Abs("../javaruntime/testdata/Contexts.java")
	require.NoError(t, err)
	// Little memory, so that objects move while they are read, and more carriers than CPUs.
	vm := start(t, exec.Command(java, "-Xmx32m", "-Djdk.virtualThreadScheduler.parallelism=4", program, port))
	require.Equal(t, "ready", vm.line(t))

	pid := uint32(vm.pid)
	layout, err := javaruntime.Inspect(fmt.Sprintf("/proc/%d", pid))
	require.NoError(t, err)
	target := JavaTarget{Threads: JavaPlatform}
	if layout.Virtual {
		target = JavaTarget{
			Threads: JavaVirtual, Slot: layout.Slot, Current: layout.Current, OSThread: layout.OSThread,
			Pthread: layout.Pthread, Continuation: layout.Continuation, Owner: layout.Owner,
		}
		if o := layout.Objects; o != nil {
			target.Threads = JavaObjects
			target.Mounted, target.Platform, target.ID, target.Carrier = o.Mounted, o.Platform, o.ID, o.Carrier
			target.Narrow, target.Shift, target.Base = o.Narrow, o.Shift, o.Base
		}
	}
	require.NoError(t, tr.Java(pid, target))
	require.NoError(t, tr.Select(pid, Target{Java: true}))
	vm.say(t)
	require.Equal(t, "done", vm.line(t))
	time.Sleep(300 * time.Millisecond)

	rec.mu.Lock()
	defer rec.mu.Unlock()
	seen, carriers, ids := map[string]int{}, map[uint32]bool{}, map[uint64]bool{}
	for i := range rec.data {
		d := &rec.data[i]
		m := whoAsks.FindSubmatch(d.Payload)
		if d.Dir != event.Out || m == nil {
			continue
		}
		kind := string(m[1])
		seen[kind]++
		id, err := strconv.ParseUint(string(m[2]), 10, 64)
		require.NoError(t, err)
		require.Equal(t, id, d.Context, "%s", m[0])
		want := uint8(event.Thread)
		if kind == "virtual" {
			want = event.Virtual
			carriers[d.Tid], ids[id] = true, true
		}
		require.Equal(t, want, d.ContextKind, "%s", m[0])
	}
	require.Equal(t, 80, seen["platform"])
	if layout.Virtual {
		require.Equal(t, 320, seen["virtual"])
		require.Len(t, ids, 32)
		require.Less(t, len(carriers), 10, "virtual threads are carried by a few others")
	}
	for _, l := range rec.losses(t) {
		if l.Reason == "virtual_thread_unreadable" {
			require.Zero(t, l.Count)
		}
	}
}
