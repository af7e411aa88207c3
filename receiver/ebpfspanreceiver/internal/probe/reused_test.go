package probe

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

const (
	stolenRequest = "GET /stolen HTTP/1.1\r\n\r\n"
	properRequest = "GET /proper HTTP/1.1\r\n\r\n"
)

// reusedChild waits for bytes of one connection while its descriptor becomes that of another.
func reusedChild() {
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	_, err := in.ReadString('\n')
	check(err)
	l, at := listening(2)
	var clients, servers [2]int
	for i := range clients {
		clients[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		check(err)
		check(unix.Connect(clients[i], at))
		servers[i], _, err = unix.Accept(l)
		check(err)
	}
	read := make(chan error)
	go func() {
		_, err := unix.Read(servers[0], make([]byte, 4096))
		read <- err
	}()
	time.Sleep(100 * time.Millisecond) // it waits
	check(unix.Dup3(servers[1], servers[0], 0))
	_, err = unix.Write(clients[0], []byte(stolenRequest))
	check(err)
	check(<-read)
	_, err = unix.Write(clients[1], []byte(properRequest))
	check(err)
	_, err = unix.Read(servers[0], make([]byte, 4096))
	check(err)
	fmt.Println("done")
	_, _ = in.ReadString('\n')
}

// TestKernelReusedDescriptor: bytes are not taken for those of a connection that got the descriptor of theirs
// while they were waited for.
func TestKernelReusedDescriptor(t *testing.T) {
	tr, rec := startTracer(t)
	child := startProcess(t, "reused")
	require.Equal(t, "ready", child.line(t))
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	child.say(t)
	require.Equal(t, "done", child.line(t))
	var read []string
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		read = nil
		for i := range rec.data {
			if d := &rec.data[i]; d.Dir == event.In && d.Role == event.Server {
				read = append(read, strings.TrimSpace(string(d.Payload)))
			}
		}
		return len(read) > 0
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, []string{strings.TrimSpace(properRequest)}, read)
	require.Contains(t, rec.losses(t), Loss{Reason: "read_place_unknown", Count: 1, Records: true})
}
