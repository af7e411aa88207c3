package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func init() { children["refused"] = refusedChild }

const (
	refusedRequest = "GET /refused HTTP/1.1\r\n\r\n"
	refusedCall    = "the second call"
)

// lengths are those of messages around the longest that goes to the ring straight.
var lengths = []int{1, 120, 127, 128, 129, 136, 300}

// refusedChild reads a request, makes a call that fills the buffers of its connection, gets its response, begins
// another call there, which is refused at first, and answers in messages of several lengths.
func refusedChild() {
	runtime.LockOSThread() // one thread is one context
	in := bufio.NewReader(os.Stdin)
	backend, err := in.ReadString('\n')
	check(err)
	peer, err := net.ResolveTCPAddr("tcp", strings.TrimSpace(backend))
	check(err)
	l, at := listening(1)
	up, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Connect(up, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: peer.Port}))
	check(unix.SetNonblock(up, true))
	check(unix.SetsockoptInt(up, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10)) // it does not grow then
	fmt.Printf("127.0.0.1:%d\n", at.(*unix.SockaddrInet4).Port)
	server, _, err := unix.Accept(l)
	check(err)
	// again does it until it is not refused.
	again := func(try func() (int, error)) {
		for {
			_, err := try()
			if !errors.Is(err, unix.EAGAIN) {
				check(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	buf := make([]byte, 1<<20)
	_, err = unix.Read(server, buf)
	check(err)
	for refused := 0; refused < 10; { // what was taken goes on to the other end's buffer, a while later
		if _, err = unix.Write(up, buf); !errors.Is(err, unix.EAGAIN) {
			check(err)
			refused = 0
			continue
		}
		refused++
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("full")
	again(func() (int, error) { return unix.Read(up, buf) })
	for range 2 { // the second goes on with the same call
		if _, err = unix.Write(up, []byte(refusedCall)); !errors.Is(err, unix.EAGAIN) {
			check(fmt.Errorf("a write to a full connection: %w", err))
		}
	}
	fmt.Println("refused")
	again(func() (int, error) { return unix.Write(up, []byte(refusedCall)) })
	for _, n := range lengths {
		_, err = unix.Write(server, []byte(strings.Repeat("x", n)))
		check(err)
	}
	fmt.Println("done")
	_, _ = in.ReadString('\n')
}

// TestKernelRefused: what a call is for is told once, with its first bytes, or before if they are refused at first. And
// messages are captured whole whichever way they take to the ring.
func TestKernelRefused(t *testing.T) {
	tr, rec := startTracer(t)
	child := startProcess(t, "refused")
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	_, err = fmt.Fprintln(child.in, backend.Addr())
	require.NoError(t, err)
	down, err := backend.Accept()
	require.NoError(t, err)
	defer down.Close()
	client, err := net.Dial("tcp", child.line(t))
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, refusedRequest)
	require.NoError(t, err)
	require.Equal(t, "full", child.line(t))
	_, err = io.WriteString(down, "ok")
	require.NoError(t, err)
	require.Equal(t, "refused", child.line(t))
	go func() { _, _ = io.Copy(io.Discard, down) }()
	require.Equal(t, "done", child.line(t))

	var answers []int
	told := map[uint64][]event.Evidence{} // by call
	var calls []uint64                    // as their bytes were written
	var epoch uint64
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		answers, calls, told = nil, nil, map[uint64][]event.Evidence{}
		for i := range rec.data {
			d := &rec.data[i]
			switch {
			case d.Role == event.Server && d.Dir == event.In:
				epoch = d.Turn
			case d.Role == event.Server:
				require.Equal(t, strings.Repeat("x", int(d.Len)), string(d.Payload))
				answers = append(answers, int(d.Len))
			case d.Dir == event.Out && (len(calls) == 0 || calls[len(calls)-1] != d.Turn):
				calls = append(calls, d.Turn)
			}
		}
		for _, e := range rec.evidence {
			if e.What == 1 { // EVIDENCE_SAME_THREAD
				told[e.Call] = append(told[e.Call], e)
			}
		}
		return len(answers) == len(lengths)
	}, 10*time.Second, 20*time.Millisecond, "%v", &answers)
	require.Equal(t, lengths, answers)
	require.Len(t, calls, 2)
	for _, call := range calls {
		require.Len(t, told[call], 1, "call %x", call)
		require.Equal(t, epoch, told[call][0].Epoch)
		require.Equal(t, uint32(child.pid), told[call][0].Tgid)
	}
}
