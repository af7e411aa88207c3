package probe

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/javaruntime"
)

// How a thread of testdata/Waits.java waits for another: for what that has done, or until it gives up a lock.
var (
	waitsForResults = []string{"notify", "condition", "park", "future", "completable", "latch", "queue", "synchronous"}
	waitsForLocks   = []string{"monitor", "reentrant", "fair", "read", "write", "writefair", "stamped", "permit", "permitfair"}
)

// TestJavaWaits: only who has a result completes a call for the thread that waits, whoever gives up a lock does not. In
// each VM, however its objects are made and collected.
func TestJavaWaits(t *testing.T) {
	bpftest.Need(t)
	for bin, classes := range compiled(t, "../javaruntime/testdata/Waits.java") {
		home := filepath.Dir(bin)
		options := []string{"-XX:+UseG1GC", "-XX:+UseZGC", "-XX:-UseCompressedOops", "-XX:-UseCompressedClassPointers"}
		if strings.Contains(home, "25") {
			options = append(options, "-XX:+UseCompactObjectHeaders")
		}
		for _, option := range options {
			t.Run(filepath.Base(home)+option, func(t *testing.T) {
				testJavaWaits(t, true, filepath.Join(bin, "java"), option, "-Xmx64m", "-Xshare:auto", "-cp", classes, "Waits")
			})
		}
		t.Run(filepath.Base(home)+" not told", func(t *testing.T) {
			testJavaWaits(t, false, filepath.Join(bin, "java"), "-Xmx64m", "-cp", classes, "Waits")
		})
	}
}

func testJavaWaits(t *testing.T, told bool, args ...string) {
	tr, rec := startTracer(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	go answerCalls(backend, func() { time.Sleep(50 * time.Millisecond) })
	vm := start(t, exec.Command(args[0], args[1:]...)) //nolint:gosec // a test
	_, err = fmt.Fprintln(vm.in, backend.Addr().(*net.TCPAddr).Port)
	require.NoError(t, err)
	var port int
	for line := vm.line(t); port == 0; line = vm.line(t) { // it may warn first
		if _, err := fmt.Sscan(line, &port); err == nil {
			break
		}
	}
	target := JavaTarget{Threads: JavaPlatform}
	if told {
		waits, err := javaruntime.InspectWaits(fmt.Sprintf("/proc/%d", vm.pid))
		require.NoError(t, err)
		target = javaWaits(&waits)
	}
	pid := uint32(vm.pid)
	require.NoError(t, tr.Java(pid, target))
	require.NoError(t, tr.Select(pid, Target{Java: true}))
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	asked := slices.Concat(waitsForResults, waitsForLocks, waitsForResults, waitsForLocks)
	buf := make([]byte, 64)
	for _, how := range asked {
		_, err = c.Write([]byte(how))
		require.NoError(t, err)
		_, err = c.Read(buf)
		require.NoError(t, err, how)
	}
	require.NoError(t, c.Close())
	require.Equal(t, "done", vm.line(t))
	time.Sleep(300 * time.Millisecond)

	rec.mu.Lock()
	defer rec.mu.Unlock()
	how, calls := map[uint64]string{}, []uint64(nil) // by epoch
	for _, d := range rec.data {
		switch {
		case d.Tgid != pid:
		case d.Role == event.Server && d.Dir == event.In && len(d.Payload) > 0:
			how[d.Turn] = string(d.Payload)
		case d.Role == event.Client && d.Dir == event.Out:
			calls = append(calls, d.Turn)
		}
	}
	require.Len(t, calls, len(asked))
	got, doubted := map[string]bool{}, 0
	for _, e := range rec.evidence {
		switch {
		case e.What != uint8(bpf.SocketEvidenceKindEVIDENCE_WAKE_BACK):
		case e.BaseUses&wakeUnknown != 0:
			doubted++
		default:
			require.Contains(t, calls, e.Call)
			got[how[e.Epoch]] = true
		}
	}
	if !told {
		require.Empty(t, got)
		require.NotZero(t, doubted)
		return
	}
	require.Zero(t, doubted)
	for _, lock := range waitsForLocks {
		require.NotContains(t, got, lock)
	}
	for _, result := range waitsForResults {
		require.Contains(t, got, result)
	}
}

// javaWaits is what the receiver tells of a VM without virtual threads.
func javaWaits(w *javaruntime.Waits) JavaTarget {
	return JavaTarget{
		Threads: JavaPlatform, Slot: w.Slot, Current: w.Current, OSThread: w.OSThread, Pthread: w.Pthread,
		Platform: w.Platform, StackBase: w.StackBase, Narrow: w.Narrow, Shift: w.Shift, Base: w.Base,
		Waits: true, Monitor: w.Monitor, Blocker: w.Blocker, Thread: w.Thread, Name: w.Name, Body: w.Body,
		Colored: w.Colored, Direct: w.Direct, Moving: w.Moving,
		ClassAt: w.ClassAt, ClassFrom: w.ClassFrom, ClassBits: w.ClassBits, ClassShift: w.ClassShift, ClassBase: w.ClassBase,
	}
}
