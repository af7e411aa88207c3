package probe

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// deselectChild is one thread that reads a request and calls for it, is told to go on, answers, is told
// again, and calls for nobody.
func deselectChild() {
	runtime.LockOSThread()
	l, at := listening(4)
	connect := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		check(err)
		check(unix.Connect(fd, at))
		return fd
	}
	write := func(fd int, text string) {
		_, err := unix.Write(fd, []byte(text))
		check(err)
	}
	in := bufio.NewReader(os.Stdin)
	wait := func(done string) {
		fmt.Println(done)
		_, err := in.ReadString('\n')
		check(err)
	}
	wait("ready")
	write(connect(), "GET /served HTTP/1.1\r\n\r\n")
	server, _, err := unix.Accept(l)
	check(err)
	_, err = unix.Read(server, make([]byte, 4096))
	check(err)
	write(connect(), "GET /called HTTP/1.1\r\n\r\n")
	wait("called")
	write(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	wait("answered")
	write(connect(), "GET /later HTTP/1.1\r\n\r\n")
	wait("later")
}

// TestKernelDeselect: a thread that answered while its process was not selected serves nobody afterwards.
func TestKernelDeselect(t *testing.T) {
	tr, rec := startTracer(t)
	child := startProcess(t, "deselect")
	pid := uint32(child.pid)
	require.Equal(t, "ready", child.line(t))
	require.NoError(t, tr.Select(pid, Target{}))
	child.say(t)
	require.Equal(t, "called", child.line(t))
	require.NoError(t, tr.Deselect(pid))
	require.NoError(t, tr.Deselect(pid), "again")
	child.say(t)
	require.Equal(t, "answered", child.line(t))
	require.NoError(t, tr.Select(pid, Target{}))
	child.say(t)
	require.Equal(t, "later", child.line(t))

	// evidence is how many edges speak of the call that asks for path, -1 if it was not seen.
	evidence := func(path string) int {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		for i := range rec.data {
			d := &rec.data[i]
			if d.Role != event.Client || d.Dir != event.Out || !strings.HasPrefix(string(d.Payload), "GET "+path) {
				continue
			}
			n := 0
			for _, e := range rec.evidence {
				if e.Call == d.Turn {
					n++
				}
			}
			return n
		}
		return -1
	}
	require.Eventually(t, func() bool { return evidence("/called") > 0 && evidence("/later") >= 0 },
		10*time.Second, 20*time.Millisecond)
	require.Zero(t, evidence("/later"))
}
