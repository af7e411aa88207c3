package probe

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func init() { children["over"] = overChild }

const (
	lateRequest  = "GET /late HTTP/1.1\r\n\r\n"
	lateResponse = "HTTP/1.1 204 No Content\r\n\r\n"
)

// overChild reads what has arrived of connections that are over: of the first both ends have said that they send no
// more, the second was reset.
func overChild() {
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	_, err := in.ReadString('\n')
	check(err)
	l, at := listening(2)
	buf := make([]byte, 4096)
	connect := func() (client, server int) {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		check(err)
		check(unix.Connect(client, at))
		server, _, err = unix.Accept(l)
		check(err)
		_, err = unix.Write(client, []byte(lateRequest))
		check(err)
		return client, server
	}
	settle := func() { time.Sleep(100 * time.Millisecond) } // the other end's kernel side is done

	client, server := connect()
	check(unix.Shutdown(client, unix.SHUT_WR))
	_, err = unix.Read(server, buf)
	check(err)
	_, err = unix.Write(server, []byte(lateResponse))
	check(err)
	check(unix.Close(server))
	settle()
	_, err = unix.Read(client, buf)
	check(err)

	client, server = connect()
	check(unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	check(unix.Close(client))
	settle()
	_, err = unix.Read(server, buf)
	check(err)
	_, _ = unix.Write(server, []byte(lateResponse)) // in vain
	fmt.Println("done")
	_, _ = in.ReadString('\n')
}

// TestKernelOver: what is read of a connection that is over belongs to it.
func TestKernelOver(t *testing.T) {
	tr, rec := startTracer(t)
	child := startProcess(t, "over")
	require.Equal(t, "ready", child.line(t))
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	child.say(t)
	require.Equal(t, "done", child.line(t))
	type moved struct {
		dir, role uint8
		bytes     string
		conn      int // in the order of their first bytes
	}
	var got []moved
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		got = nil
		conns := map[uint64]int{}
		for i := range rec.data {
			d := &rec.data[i]
			if _, known := conns[d.Conn]; !known {
				conns[d.Conn] = len(conns)
			}
			got = append(got, moved{d.Dir, d.Role, string(d.Payload), conns[d.Conn]})
		}
		return len(got) == 6
	}, 10*time.Second, 20*time.Millisecond, "%v", &got)
	require.Equal(t, []moved{
		{event.Out, event.Client, lateRequest, 0},
		{event.In, event.Server, lateRequest, 1},
		{event.Out, event.Server, lateResponse, 1},
		{event.In, event.Client, lateResponse, 0},
		{event.Out, event.Client, lateRequest, 2},
		{event.In, event.Server, lateRequest, 3},
	}, got)
}
