package ebpfspanreceiver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

func init() { children["early-answer"] = earlyAnswerChild }

// earlyBody is more than the buffers of both ends hold.
const earlyBody = 16 << 20

// earlyAnswerChild sends a request whose body does not fit by one system call, each time that somebody connects, and
// says so when another thread has read the answer.
func earlyAnswerChild() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	told, err := l.Accept()
	if err != nil {
		panic(err)
	}
	c, err := net.Dial("tcp", os.Getenv("EBPFSPAN_TEST_BACKEND"))
	if err != nil {
		panic(err)
	}
	f := inBlockingMode(c)
	defer f.Close() // and not before
	fd := int(f.Fd())
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		runtime.LockOSThread()
		request := fmt.Appendf(nil, "POST /too-large HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", earlyBody)
		if n, err := unix.Write(fd, append(request, make([]byte, earlyBody)...)); err != nil || n < earlyBody {
			panic(fmt.Sprint(n, err))
		}
	}()
	if n, err := unix.Read(fd, make([]byte, 4096)); n <= 0 {
		panic(err)
	}
	fmt.Fprintln(told, "answered")
	<-wrote
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// TestKernelEarlyAnswer: the answer to the first call of a connection is read, and recorded, while the system call
// that sends it has not ended.
func TestKernelEarlyAnswer(t *testing.T) {
	bpftest.Need(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	t.Setenv("EBPFSPAN_TEST_BACKEND", l.Addr().String())
	base, pid := startChild(t, "early-answer")
	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{pid}}}
	})
	time.Sleep(time.Second)
	tell, err := net.Dial("tcp", base)
	require.NoError(t, err)
	t.Cleanup(func() { tell.Close() })
	c, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	require.NoError(t, err)
	_, err = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(tell).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "answered\n", line)
	_, err = io.Copy(io.Discard, r.Body)
	require.NoError(t, err)
	var call seen
	require.Eventually(t, func() bool {
		for _, s := range spansOf(sink) {
			if s.Kind() == ptrace.SpanKindClient {
				call = s
				return true
			}
		}
		return false
	}, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, "/too-large", call.path)
	status, _ := call.Attributes().Get("http.response.status_code")
	require.EqualValues(t, 413, status.Int())
}
