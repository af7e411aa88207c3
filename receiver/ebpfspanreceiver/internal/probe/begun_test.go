package probe

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func init() { children["begun"] = begunChild }

// wakeUnaided is WAKE_UNAIDED, bpf/event.h.
const wakeUnaided = 32

// sleeping: a thread of this process does, in futex(2) there.
func (s *signal) sleeping() bool {
	in := fmt.Sprintf("%d %p ", unix.SYS_FUTEX, &s.word)
	threads, _ := filepath.Glob("/proc/self/task/*/syscall")
	for _, name := range threads {
		if call, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(call), in) {
			return true
		}
	}
	return false
}

// wake wakes the thread that waits there, as soon as one does at each of those.
func (s *signal) wake(others ...*signal) {
	for _, o := range append(others, s) {
		for !o.sleeping() {
			// No sleep: a thread whose time is over does what nobody told it to.
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
	s.set()
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func pause() { sleepFor(unix.NsecToTimespec(1e6)) }

// sleepFor is one system call, which ends as the time is over.
func sleepFor(t unix.Timespec) {
	for {
		_, _, err := unix.Syscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
		if err == 0 {
			return
		}
	}
}

func retried(call func() (n int, err error)) {
	for {
		if n, err := call(); n == 0 && err == nil {
			return
		}
	}
}

// begunThreads are those of begunChild: one serves, and waits for what it serves to be done; one works; there is another,
// which may pass tasks on, and one that has nothing to do with requests.
type begunThreads struct {
	task, aside, done *signal
	called            chan struct{}
	waits             chan struct{}     // the one that serves is about to wait
	ends              map[string][2]int // descriptors to read from and to write to
	requests          int
	call              func()
}

// begunCase is what the threads do, again and again; nil: nothing.
type begunCase struct {
	// serve before it waits; work to its end.
	serve, work, pass, others func(*begunThreads)
	// unaided: its call is made for none that waits.
	unaided bool
	second  bool // that of every second request
}

// told: the one that works sleeps, and then reads what the one that serves has written.
func told(by string, unaided bool) begunCase {
	return begunCase{
		serve: func(b *begunThreads) {
			_, err := unix.Write(b.ends[by][1], []byte{1, 0, 0, 0, 0, 0, 0, 0})
			check(err)
		},
		work: func(b *begunThreads) {
			pause()
			_, err := unix.Read(b.ends[by][0], make([]byte, 8))
			check(err)
			b.call()
			b.done.set()
		},
		unaided: unaided,
	}
}

// everySecond wakes the other one in every second request.
func everySecond(b *begunThreads) {
	if b.requests%2 == 1 {
		b.aside.wake()
	}
}

// passTask gives the one that works its task once the one that serves waits.
func passTask(b *begunThreads) { <-b.waits; b.task.wake(b.done) }

func workTask(b *begunThreads) { b.task.wait(); b.call(); b.done.set() }

var begunCases = map[string]begunCase{
	"a task":    {serve: func(b *begunThreads) { b.task.wake() }, work: workTask},
	"nanosleep": {work: func(b *begunThreads) { pause(); b.call(); b.done.set() }, unaided: true},
	"poll, timeout": {work: func(b *begunThreads) {
		retried(func() (int, error) { return unix.Ppoll(nil, &unix.Timespec{Nsec: 1e6}, nil) })
		b.call()
		b.done.set()
	}, unaided: true},
	"select, timeout": {work: func(b *begunThreads) {
		retried(func() (int, error) { return unix.Pselect(0, nil, nil, nil, &unix.Timespec{Nsec: 1e6}, nil) })
		b.call()
		b.done.set()
	}, unaided: true},
	"a task, then nanosleep": {
		serve: func(b *begunThreads) { b.task.wake() },
		work:  func(b *begunThreads) { b.task.wait(); pause(); b.call(); b.done.set() },
	},
	"nanosleep, then a task": {
		serve: func(b *begunThreads) { b.task.wake() },
		work:  func(b *begunThreads) { pause(); workTask(b) },
	},
	"nanosleep, then an eventfd": told("eventfd", false),
	"nanosleep, then a pipe":     told("pipe", false),
	// It may lead to another process.
	"nanosleep, then a UNIX socket": told("pair", true),
	"others": {
		work:   workTask,
		others: passTask, unaided: true,
	},
	// Two tasks, of which each may have been taken by the one that was woken for the other.
	"others, asked": {
		serve:  func(b *begunThreads) { b.aside.wake() },
		work:   workTask,
		pass:   func(b *begunThreads) { b.aside.wait() },
		others: passTask,
	},
	"others, asked later": {
		serve:  func(b *begunThreads) { <-b.called; b.aside.wake() },
		work:   workTask,
		pass:   func(b *begunThreads) { b.aside.wait() },
		others: func(b *begunThreads) { b.task.wake() }, unaided: true,
	},
	"passed on": {
		serve: func(b *begunThreads) { b.aside.wake() },
		work:  workTask,
		pass:  func(b *begunThreads) { b.aside.wait(); b.task.wake(b.done) },
	},
	// A worker may have the next task for another. It has completed what it was woken for.
	"a worker": {
		serve: everySecond,
		work:  workTask,
		pass: func(b *begunThreads) {
			b.aside.wait()
			<-b.waits
			b.call()
			b.done.set()
			passTask(b)
		},
	},
	"passed on twice": {
		serve: everySecond,
		work:  workTask,
		pass: func(b *begunThreads) {
			b.aside.wait()
			passTask(b)
			passTask(b)
		},
	},
	// Who passes tasks on, and is woken by a time then, passes none on.
	"passed on, or not": {
		serve: everySecond,
		work:  workTask,
		pass: func(b *begunThreads) {
			b.aside.wait()
			passTask(b)
			<-b.waits
			pause()
			b.task.wake(b.done)
		},
		unaided: true, second: true,
	},
}

// begunChild reads the address of the backend and prints its own.
func begunChild() {
	var backend string
	_, _ = fmt.Scanln(&backend)
	addr, err := net.ResolveTCPAddr("tcp", backend)
	check(err)
	tc := begunCases[os.Args[1]]
	out, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Connect(out, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}))
	b := &begunThreads{ends: endsToNotify(), task: newSignal(once), aside: newSignal(once), done: newSignal(once), called: make(chan struct{}, 1), waits: make(chan struct{}, 1)}
	b.call = func() {
		_, err := unix.Write(out, []byte("call"))
		check(err)
		tell(b.called)
		_, err = unix.Read(out, make([]byte, 64))
		check(err)
	}
	for _, f := range []func(*begunThreads){tc.work, tc.pass, tc.others} {
		if f == nil {
			continue
		}
		go func() {
			runtime.LockOSThread()
			for {
				f(b)
			}
		}()
	}
	runtime.LockOSThread()
	l, at := listening(1)
	fmt.Printf("127.0.0.1:%d %p\n", at.(*unix.SockaddrInet4).Port, &b.done.word)
	in, _, err := unix.Accept(l)
	check(err)
	buf := make([]byte, 64)
	for {
		if n, err := unix.Read(in, buf); n <= 0 || err != nil {
			os.Exit(0)
		}
		b.requests++
		if tc.serve != nil {
			tc.serve(b)
		}
		tell(b.waits)
		b.done.wait()
		_, err = unix.Write(in, []byte("answer"))
		check(err)
	}
}

// TestKernelBegun: who wakes the one that serves a request with a response made the call for that request, unless it had
// begun by itself or for another.
func TestKernelBegun(t *testing.T) {
	for name, tc := range begunCases {
		t.Run(name, func(t *testing.T) { testKernelBegun(t, name, tc) })
	}
}

func testKernelBegun(t *testing.T, name string, tc begunCase) {
	tr, rec := startTracer(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	child := startProcess(t, "begun", name)
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	_, err = fmt.Fprintln(child.in, backend.Addr())
	require.NoError(t, err)
	var address, done string
	_, err = fmt.Sscan(child.line(t), &address, &done)
	require.NoError(t, err)
	go answerCalls(backend, func() { child.sleeps(t, 1, done) })
	const requests = 5
	makeRequests(t, address, requests, func() {})
	answers := func() (n int) {
		for _, d := range rec.data {
			if d.Role == event.Server && d.Dir == event.Out && d.Tgid == uint32(child.pid) {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		return answers() == requests
	}, 10*time.Second, 10*time.Millisecond)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	got := unaided(rec, uint32(child.pid))
	want := make([]bool, requests)
	for i := range want {
		want[i] = tc.unaided && (!tc.second || i%2 == 1)
	}
	require.Equal(t, want, got)
}

// unaided says of each wake-up with a call of the process whether that was made for none that waits.
func unaided(rec *recorder, tgid uint32) (out []bool) {
	for _, e := range rec.evidence {
		if e.What == uint8(bpf.SocketEvidenceKindEVIDENCE_WAKE_BACK) && e.Tgid == tgid && e.Call != 0 {
			out = append(out, e.BaseUses&wakeUnaided != 0)
		}
	}
	return out
}

// spawnProgram serves one connection; a new thread makes the call of each request, a while after it has begun.
const spawnProgram = `
import os, socket, sys, threading, time
port = int(sys.stdin.readline())
server = socket.create_server(('127.0.0.1', 0))
backend = socket.create_connection(('127.0.0.1', port))

def call():
    time.sleep(0.05)
    backend.sendall(b'call')
    backend.recv(64)

print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
while connection.recv(64):
    t = threading.Thread(target=call)
    t.start()
    t.join()
    connection.sendall(b'answer')
print('done', flush=True)
sys.stdin.readline()
os._exit(0)
`

// TestSpawnedBegun: a thread works for the request in which it was made, though it waits until a time is over first.
func TestSpawnedBegun(t *testing.T) {
	bpftest.Need(t)
	name, err := exec.LookPath("python3")
	if err != nil {
		bpftest.Lacks(t, "python3")
	}
	tr, rec := startTracer(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	go answerCalls(backend, func() { time.Sleep(50 * time.Millisecond) })
	child := start(t, exec.Command(name, "-c", spawnProgram)) //nolint:gosec // a test
	pid := uint32(child.pid)
	_, err = fmt.Fprintln(child.in, backend.Addr().(*net.TCPAddr).Port)
	require.NoError(t, err)
	port := child.line(t)
	require.NoError(t, tr.Select(pid, Target{}))
	const requests = 5
	makeRequests(t, "127.0.0.1:"+port, requests, func() {})
	require.Equal(t, "done", child.line(t))
	var got []bool
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		got = unaided(rec, pid)
		return len(got) >= requests
	}, 10*time.Second, 10*time.Millisecond)
	require.NotContains(t, got, true) // more than requests where Python's lock was waited for
}
