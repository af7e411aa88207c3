package probe

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/pyruntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/rubyruntime"
)

// wakeUnknown is WAKE_UNKNOWN, bpf/event.h.
const wakeUnknown = 128

// rubyProgram serves one connection in a thread and calls in another, which the first waits for; both lock a Mutex that a
// third has now and then, and the interpreter's lock is seldom free. The first thread that sleeps watches for signals
// (the sleeper), and is not woken as others are.
const rubyProgram = `
require 'socket'
$stdout.sync = true
port = gets.to_i
sleeper = Thread.new { sleep }
Thread.pass until sleeper.stop?
server = TCPServer.new('127.0.0.1', 0)
tasks, results, lock = Queue.new, Queue.new, Mutex.new
Thread.new do
  backend = TCPSocket.new('127.0.0.1', port)
  loop do
    tasks.pop
    backend.write('call')
    backend.readpartial(64)
    lock.synchronize {}
    results << 1
  end
end
Thread.new { loop { lock.synchronize { 1000.times {} }; 4000.times {} } }
Thread.new do
  connection = server.accept
  begin
    loop do
      connection.readpartial(64)
      tasks << 1
      lock.synchronize {}
      results.pop
      connection.write('answer')
    end
  rescue EOFError
    puts 'done'
  end
end
puts server.addr[1]
gets
exit!
`

// TestRubyWaits: only the thread that puts a result into a queue completes the call for the one that waits there;
// whoever lets go of a lock does not. Until it is known where that is read, every wake-up is doubted.
func TestRubyWaits(t *testing.T) {
	bpftest.Need(t)
	name, err := exec.LookPath("ruby")
	if err != nil {
		bpftest.Lacks(t, "ruby")
	}
	testWaits(t, exec.Command(name, "-e", rubyProgram), Target{Ruby: true}, func(tr *Tracer, pid uint32) func(uint64) bool { //nolint:gosec // a test
		layout, err := rubyruntime.Inspect(fmt.Sprintf("/proc/%d", pid))
		require.NoError(t, err)
		require.NoError(t, tr.Ruby(pid, RubyTarget(layout)))
		return func(uint64) bool { return false } // a thread sleeps where it does for anything else
	})
}

// pythonProgram does the same: a third thread takes the interpreter's lock whenever it can, and gives it up when it must.
const pythonProgram = `
import os, queue, socket, sys, threading
sys.setswitchinterval(0.0005)
port = int(sys.stdin.readline())
server = socket.create_server(('127.0.0.1', 0))
tasks, results = queue.SimpleQueue(), queue.SimpleQueue()

def work():
    backend = socket.create_connection(('127.0.0.1', port))
    while True:
        tasks.get()
        backend.sendall(b'call')
        backend.recv(64)
        for _ in range(100000):
            pass
        results.put(1)

def compute():
    while True:
        pass

def serve():
    connection, _ = server.accept()
    while connection.recv(64):
        tasks.put(1)
        for _ in range(100000):
            pass
        results.get()
        connection.sendall(b'answer')
    print('done', flush=True)

for f in work, compute, serve:
    threading.Thread(target=f, daemon=True).start()
print(server.getsockname()[1], flush=True)
sys.stdin.readline()
os._exit(0)
`

// TestPythonWaits: nor does who lets go of Python's lock.
func TestPythonWaits(t *testing.T) {
	bpftest.Need(t)
	const name = "/usr/bin/python3"
	exe, err := filepath.EvalSymlinks(name)
	if err != nil {
		bpftest.Lacks(t, name)
	}
	testWaits(t, exec.Command(exe, "-c", pythonProgram), Target{Python: true}, func(tr *Tracer, pid uint32) func(uint64) bool { //nolint:gosec // a test
		proc := fmt.Sprintf("/proc/%d", pid)
		files, err := pyruntime.Find(proc+"/maps", proc+"/root", exe)
		require.NoError(t, err)
		lock, err := pyruntime.Lock(exe)
		require.NoError(t, err)
		is := PythonTarget{Runtime: files.ExecutableAt + lock.Offset, Size: lock.Size}
		require.NoError(t, tr.Python(pid, is))
		return func(at uint64) bool { return at-is.Runtime < is.Size }
	})
}

// testWaits runs such a program, with and without its runtime being told of. tell returns what says of an address whether
// threads wait there for the interpreter's lock alone.
func testWaits(t *testing.T, program *exec.Cmd, target Target, tell func(tr *Tracer, pid uint32) func(uint64) bool) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("told=%v", told), func(t *testing.T) {
			again := exec.Command(program.Path) //nolint:gosec // a test
			again.Args = program.Args
			testWakesOf(t, again, target, tell, told)
		})
	}
}

func testWakesOf(
	t *testing.T, program *exec.Cmd, target Target, tell func(tr *Tracer, pid uint32) func(uint64) bool, told bool,
) {
	tr, rec := startTracer(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	// More than a turn of each of the others.
	go answerCalls(backend, func() { time.Sleep(300 * time.Millisecond) })
	child := start(t, program)
	pid := uint32(child.pid)
	_, err = fmt.Fprintln(child.in, backend.Addr().(*net.TCPAddr).Port)
	require.NoError(t, err)
	port := child.line(t)
	isLock := func(uint64) bool { return false }
	if told {
		isLock = tell(tr, pid)
	}
	require.NoError(t, tr.Select(pid, target))
	const requests = 5
	makeRequests(t, "127.0.0.1:"+port, requests, func() {})
	require.Equal(t, "done", child.line(t))
	time.Sleep(300 * time.Millisecond)

	rec.mu.Lock()
	defer rec.mu.Unlock()
	var served, calls []uint64
	for _, d := range rec.data {
		switch {
		case d.Tgid != pid:
		case d.Role == event.Server && d.Dir == event.In && len(d.Payload) > 0:
			served = append(served, d.Turn)
		case d.Role == event.Client && d.Dir == event.Out:
			calls = append(calls, d.Turn)
		}
	}
	require.Len(t, calls, requests)
	require.Len(t, served, requests)
	type pair struct{ call, epoch uint64 }
	var want, got []pair
	for i := range calls {
		want = append(want, pair{calls[i], served[i]})
	}
	doubted := 0
	for _, e := range rec.evidence {
		if e.What != uint8(bpf.SocketEvidenceKindEVIDENCE_WAKE_BACK) {
			continue
		}
		require.False(t, isLock(e.Segment), "%#x: %+v", e.Segment, e)
		if e.BaseUses == wakeLock {
			continue // where a thread waits that gives up the lock for a moment
		}
		if e.BaseUses&wakeUnknown != 0 {
			doubted++
			continue
		}
		got = append(got, pair{e.Call, e.Epoch})
	}
	if told {
		// Where the result was there before it was waited for, nobody was woken.
		require.NotEmpty(t, got)
		require.Subset(t, want, got)
		return
	}
	require.Empty(t, got)
	require.NotZero(t, doubted)
}
