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

// word is what that of a futex is while it is waited for, and once it has come.
type word struct{ before, after uint32 }

// signal is what a thread waits for, as it would with a condition variable.
type signal struct {
	word atomic.Uint32
	is   word
	come atomic.Bool
}

// once is the word of something that comes, and is taken.
var once = word{0, 1}

func newSignal(is word) *signal {
	s := &signal{is: is}
	s.word.Store(is.before)
	return s
}

func (s *signal) sleep() {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.word)), futexWaitBitset, uintptr(s.is.before), 0, 0,
		0xffffffff)
}

func (s *signal) wait() {
	for !s.come.Swap(false) {
		s.sleep()
	}
	s.word.Store(s.is.before)
}

// set wakes everybody.
func (s *signal) set() {
	s.come.Store(true)
	s.word.Store(s.is.after)
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
// waits where its first argument says; the others are the word by which the end is told. It reads the address of the
// backend, prints its own and where tasks and their ends are waited for, and ends when the connection does.
func futexChild() {
	var backend string
	_, _ = fmt.Scanln(&backend)
	addr, err := net.ResolveTCPAddr("tcp", backend)
	check(err)
	var end word
	_, err = fmt.Sscan(os.Args[2]+" "+os.Args[3], &end.before, &end.after)
	check(err)
	task, done, never := newSignal(once), newSignal(end), newSignal(once)
	go map[string]*signal{"task": task, "done": done, "never": never}[os.Args[1]].idle()
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

// sleeps waits until n threads of the child do, in futex(2) on the word at that address, or the test is over.
func (c *child) sleeps(t *testing.T, n int, address string) {
	t.Helper()
	for until := time.Now().Add(time.Minute); c.asleep(address) != n && t.Context().Err() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("%d threads do not wait at %s", n, address)
			return
		}
	}
}

// asleep is how many do: proc(5) has the number of the call that a thread blocks in, and its arguments.
func (c *child) asleep(address string) (n int) {
	in := fmt.Sprintf("%d %s ", unix.SYS_FUTEX, address)
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", c.pid))
	for _, name := range threads {
		if call, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(call), in) {
			n++
		}
	}
	return n
}

// wakeCase is a case of TestKernelWake.
type wakeCase struct {
	where string // a third thread waits
	end   word
	// What is found: that several wait, or that it is a lock, of which nothing is said.
	shared, lock bool
}

// TestKernelWake: the thread that reads the response of a call and wakes the one that serves a request
// made the call for that request, unless another waits there, too, or for a lock.
func TestKernelWake(t *testing.T) {
	for name, tc := range map[string]wakeCase{
		"never": {where: "never", end: once},
		"task":  {where: "task", end: once}, // as the workers of a pool do
		"done":  {where: "done", end: once, shared: true},
		// std::sync::Mutex of Rust, pthread_mutex_timedlock(3); another thread takes it, and that one is waited for, too
		"mutex":               {where: "never", end: word{2, 0}, lock: true},
		"mutex, taken":        {where: "never", end: word{2, 1}, lock: true},
		"mutex, waited for":   {where: "never", end: word{2, 2}, lock: true},
		"pthread_rwlock":      {where: "never", end: word{3, 0}, lock: true},
		"pthread_rwlock, all": {where: "never", end: word{3, 3}, lock: true},
		// std::sync::Condvar and pthread_cond_wait(3) of glibc 2.41, which count; std::thread::park
		"counted, 1": {where: "never", end: word{1, 0}},
		"counted, 2": {where: "never", end: word{2, 3}},
		"counted, 3": {where: "never", end: word{3, 4}},
		"counted, 4": {where: "never", end: word{4, 3}},
		"parked":     {where: "never", end: word{math.MaxUint32, 1}},
	} {
		t.Run(name, func(t *testing.T) { testKernelWake(t, tc) })
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

// makeRequests makes so many requests on one connection, each after before and when the one before it is answered.
func makeRequests(t *testing.T, address string, requests int, before func()) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	buf := make([]byte, 64)
	for range requests {
		before()
		_, err = c.Write([]byte("request"))
		require.NoError(t, err)
		_, err = c.Read(buf)
		require.NoError(t, err)
	}
	require.NoError(t, c.Close())
}

func testKernelWake(t *testing.T, tc wakeCase) {
	tr, rec := startTracer(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	child := startProcess(t, "futex", tc.where, fmt.Sprint(tc.end.before), fmt.Sprint(tc.end.after))
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	_, err = fmt.Fprintln(child.in, backend.Addr())
	require.NoError(t, err)
	var address, task, done string
	_, err = fmt.Sscan(child.line(t), &address, &task, &done)
	require.NoError(t, err)
	forTask, forDone := 1, 1 // threads that wait there
	switch tc.where {
	case "task":
		forTask++
	case "done":
		forDone++
	}
	go answerCalls(backend, func() { child.sleeps(t, forDone, done) })
	const requests = 5
	makeRequests(t, address, requests, func() { child.sleeps(t, forTask, task) })

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
	switch {
	case tc.lock:
		require.Empty(t, got)
		require.Zero(t, found)
		return
	case !tc.shared:
		require.Equal(t, want, got)
		require.Zero(t, found)
		return
	}
	require.Equal(t, 1, found)
	// What the first wake-up of the first system call says is taken back.
	require.Subset(t, want[:1], got)
}
