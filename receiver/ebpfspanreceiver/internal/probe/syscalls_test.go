package probe

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// mmsg is struct mmsghdr.
type mmsg struct {
	hdr unix.Msghdr
	n   uint32
	_   uint32
}

func messages(parts []string, buf []byte) ([]mmsg, []unix.Iovec) {
	vecs := make([]unix.Iovec, len(parts))
	msgs := make([]mmsg, len(parts))
	for i, p := range parts {
		b := buf
		if buf == nil {
			b = []byte(p)
		}
		vecs[i].Base = &b[0]
		vecs[i].SetLen(len(b))
		msgs[i].hdr.Iov = &vecs[i]
		msgs[i].hdr.SetIovlen(1)
	}
	return msgs, vecs
}

// writers send parts, one after the other, each with its own system call.
var writers = map[string]func(fd int, parts []string) error{
	"write": func(fd int, parts []string) error {
		_, err := unix.Write(fd, []byte(strings.Join(parts, "")))
		return err
	},
	"writev": func(fd int, parts []string) error {
		var bufs [][]byte
		for _, p := range parts {
			bufs = append(bufs, []byte(p))
		}
		_, err := unix.Writev(fd, bufs)
		return err
	},
	"sendto": func(fd int, parts []string) error {
		return unix.Sendto(fd, []byte(strings.Join(parts, "")), 0, nil)
	},
	"sendmsg": func(fd int, parts []string) error {
		_, err := unix.SendmsgBuffers(fd, [][]byte{[]byte(parts[0]), []byte(strings.Join(parts[1:], ""))}, nil, nil, 0)
		return err
	},
	"sendmmsg": func(fd int, parts []string) error {
		msgs, _ := messages(parts, nil)
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), 0, 0, 0)
		if errno != 0 || int(n) != len(parts) {
			return fmt.Errorf("sendmmsg sent %d of %d: %w", n, len(parts), errno)
		}
		return nil
	},
}

// receivers read once.
var receivers = map[string]func(fd int) (int, error){
	"read": func(fd int) (int, error) { return unix.Read(fd, make([]byte, 4096)) },
	"readv": func(fd int) (int, error) {
		return unix.Readv(fd, [][]byte{make([]byte, 7), make([]byte, 4096)})
	},
	"recvfrom": func(fd int) (int, error) {
		b := make([]byte, 4096)
		// A peek moves nothing and must not be seen.
		if _, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK); err != nil {
			return 0, err
		}
		n, _, err := unix.Recvfrom(fd, b, 0)
		return n, err
	},
	"recvmsg": func(fd int) (int, error) {
		n, _, _, _, err := unix.RecvmsgBuffers(fd, [][]byte{make([]byte, 5), make([]byte, 4096)}, nil, 0)
		return n, err
	},
	"recvmmsg": func(fd int) (int, error) {
		msgs, _ := messages([]string{""}, make([]byte, 4096))
		_, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), 1, 0, 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(msgs[0].n), nil
	},
}

var pairs = [][2]string{
	{"write", "read"}, {"writev", "readv"}, {"sendto", "recvfrom"}, {"sendmsg", "recvmsg"}, {"sendmmsg", "recvmmsg"},
}

const (
	lastRequest = "GET /last HTTP/1.1\r\n\r\n"
	lastAnswer  = "HTTP/1.0 200 OK\r\n\r\nbye"
)

func parts(name string) []string {
	return []string{"GET /" + name, " HTTP/1.1\r\n", "Host: x\r\n\r\n"}
}

// syscallsChild sends a request over a connection to itself with each kind of system call, once its
// standard input says so.
func syscallsChild() {
	l, at := listening(1)
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	_, err := in.ReadString('\n')
	check(err)
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Connect(c, at))
	s, _, err := unix.Accept(l)
	check(err)
	for _, p := range pairs {
		check(writers[p[0]](c, parts(p[0])))
		for want := len(strings.Join(parts(p[0]), "")); want > 0; {
			n, err := receivers[p[1]](s)
			check(err)
			want -= n
		}
	}
	// Each end says goodbye before the other has read: FIN has a sequence number and is not a byte.
	buf := make([]byte, 4096)
	_, err = unix.Write(c, []byte(lastRequest))
	check(err)
	check(unix.Shutdown(c, unix.SHUT_WR))
	time.Sleep(20 * time.Millisecond)
	_, err = unix.Read(s, buf)
	check(err)
	_, err = unix.Write(s, []byte(lastAnswer))
	check(err)
	check(unix.Close(s))
	time.Sleep(20 * time.Millisecond)
	_, err = unix.Read(c, buf)
	check(err)
	fmt.Println("done")
	_, _ = in.ReadString('\n')
}

// TestKernelSyscalls: bytes are seen whatever system call moves them, whole and at the right place.
func TestKernelSyscalls(t *testing.T) {
	tr, rec := startTracer(t)
	child := startProcess(t, "syscalls")
	require.Equal(t, "ready", child.line(t))
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	child.say(t)
	require.Equal(t, "done", child.line(t))
	// stream puts the records of one end together by their sequence numbers.
	stream := func(dir, role uint8) (string, uint32) {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		var b strings.Builder
		var first, next uint32
		for i := range rec.data {
			d := &rec.data[i]
			if d.Dir != dir || d.Role != role {
				continue
			}
			if b.Len() == 0 {
				first, next = d.Seq, d.Seq
			}
			if d.Seq != next {
				t.Errorf("a record at %d, not %d: %q", d.Seq, next, d.Payload)
			}
			if d.Captured != d.Len {
				t.Errorf("%d of %d bytes captured", d.Captured, d.Len)
			}
			b.Write(d.Payload)
			next += d.Len
		}
		return b.String(), first
	}
	var want strings.Builder
	for _, p := range pairs {
		want.WriteString(strings.Join(parts(p[0]), ""))
	}
	want.WriteString(lastRequest)
	require.Eventually(t, func() bool {
		in, _ := stream(event.In, event.Client)
		return len(in) >= len(lastAnswer)
	}, 10*time.Second, 20*time.Millisecond)
	out, outSeq := stream(event.Out, event.Client)
	in, inSeq := stream(event.In, event.Server)
	require.Equal(t, want.String(), out)
	require.Equal(t, want.String(), in)
	require.Equal(t, outSeq, inSeq)
	out, outSeq = stream(event.Out, event.Server)
	in, inSeq = stream(event.In, event.Client)
	require.Equal(t, lastAnswer, out)
	require.Equal(t, lastAnswer, in)
	require.Equal(t, outSeq, inSeq)
}
