package probe

import (
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func init() { children["futex"] = futexChild }

// Operations of futex(2), as condition variables use them.
const (
	futexWake       = 1 | 128
	futexWaitBitset = 9 | 128
)

// wakeLock is WAKE_LOCK, bpf/event.h.
const wakeLock = 64

// signal is what a thread waits for, as it would with a condition variable.
type signal struct{ word atomic.Uint32 }

func (s *signal) sleep() {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.word)), futexWaitBitset, 0, 0, 0, 0xffffffff)
}

func (s *signal) wait() {
	for s.word.Load() == 0 {
		s.sleep()
	}
	s.word.Store(0)
}

// set wakes everybody.
func (s *signal) set() {
	s.word.Store(1)
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.word)), futexWake, math.MaxInt32, 0, 0, 0)
}

// idle waits there for nothing.
func (s *signal) idle() {
	runtime.LockOSThread()
	for {
		s.sleep()
		time.Sleep(time.Millisecond)
	}
}

// futexChild has two threads: one answers requests, and waits for the other one to make the call. A third
// waits where its argument says. It reads the address of the backend, prints its own and where tasks and their ends are
// waited for, and ends when the connection does.
func futexChild() {
	var backend string
	_, _ = fmt.Scanln(&backend)
	addr, err := net.ResolveTCPAddr("tcp", backend)
	check(err)
	var task, done, never signal
	go map[string]*signal{"task": &task, "done": &done, "never": &never}[os.Args[1]].idle()
	go func() {
		runtime.LockOSThread()
		out, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		check(err)
		check(unix.Connect(out, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}))
		buf := make([]byte, 64)
		for {
			task.wait()
			_, err := unix.Write(out, []byte("call"))
			check(err)
			_, err = unix.Read(out, buf)
			check(err)
			done.set()
		}
	}()
	runtime.LockOSThread()
	l, at := listening(1)
	fmt.Printf("127.0.0.1:%d %p %p\n", at.(*unix.SockaddrInet4).Port, &task.word, &done.word)
	in, _, err := unix.Accept(l)
	check(err)
	buf := make([]byte, 64)
	for {
		if n, err := unix.Read(in, buf); n <= 0 || err != nil {
			os.Exit(0)
		}
		task.set()
		done.wait()
		_, err = unix.Write(in, []byte("answer"))
		check(err)
	}
}

// sleeps waits until n threads of the child do, in futex(2) on the word at that address: proc(5) has the number of the
// call that a thread blocks in, and its arguments.
func (c *child) sleeps(t *testing.T, n int, address string) {
	t.Helper()
	in := fmt.Sprintf("%d %s ", unix.SYS_FUTEX, address)
	if !assert.Eventually(t, func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", c.pid))
		found := 0
		for _, name := range threads {
			if call, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(call), in) {
				found++
			}
		}
		return found == n
	}, time.Minute, time.Millisecond) {
		t.Errorf("%d threads do not wait at %s", n, address)
	}
}

// TestKernelWake: the thread that reads the response of a call and wakes the one that serves a request
// made the call for that request, unless another waits there, too.
func TestKernelWake(t *testing.T) {
	for _, tc := range []struct {
		where  string // a third thread waits
		shared bool
	}{
		{where: "never"},
		{where: "task"}, // as the workers of a pool do
		{where: "done", shared: true},
	} {
		t.Run(tc.where, func(t *testing.T) { testKernelWake(t, tc.where, tc.shared) })
	}
}

// answerCalls answers what comes on one connection, each time after before.
func answerCalls(backend net.Listener, before func()) {
	c, err := backend.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	buf := make([]byte, 64)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		before()
		_, _ = c.Write([]byte("response"))
	}
}

func testKernelWake(t *testing.T, where string, shared bool) {
	tr, rec := startTracer(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	child := startProcess(t, "futex", where)
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	_, err = fmt.Fprintln(child.in, backend.Addr())
	require.NoError(t, err)
	var address, task, done string
	_, err = fmt.Sscan(child.line(t), &address, &task, &done)
	require.NoError(t, err)
	forTask, forDone := 1, 1 // threads that wait there
	switch where {
	case "task":
		forTask++
	case "done":
		forDone++
	}
	go answerCalls(backend, func() { child.sleeps(t, forDone, done) })
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	const requests = 5
	buf := make([]byte, 64)
	for range requests {
		child.sleeps(t, forTask, task)
		_, err = c.Write([]byte("request"))
		require.NoError(t, err)
		_, err = c.Read(buf)
		require.NoError(t, err)
	}
	require.NoError(t, c.Close())

	turns := func(role, dir uint8) (out []uint64) {
		for _, d := range rec.data {
			if d.Role == role && d.Dir == dir && d.Tgid == uint32(child.pid) {
				out = append(out, d.Turn)
			}
		}
		return out
	}
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		return len(turns(event.Server, event.Out)) == requests
	}, 10*time.Second, 10*time.Millisecond)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	served, calls := turns(event.Server, event.In), turns(event.Client, event.Out)
	require.Len(t, calls, requests)
	type pair struct{ call, epoch uint64 }
	var want, got []pair
	for i := range calls {
		want = append(want, pair{calls[i], served[i]})
	}
	found := 0
	for _, e := range rec.evidence {
		if e.What != uint8(bpf.SocketEvidenceKindEVIDENCE_WAKE_BACK) {
			continue
		}
		require.Zero(t, e.Uses)
		if e.BaseUses == wakeLock {
			require.NotZero(t, e.Segment)
			found++
			continue
		}
		require.Zero(t, e.BaseUses)
		got = append(got, pair{e.Call, e.Epoch})
	}
	if !shared {
		require.Equal(t, want, got)
		require.Zero(t, found)
		return
	}
	require.Equal(t, 1, found)
	// What the first wake-up of the first system call says is taken back.
	require.Subset(t, want[:1], got)
}
