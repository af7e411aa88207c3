package probe

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

const childEnv = "PROBE_TEST_CHILD"

// children are what this test binary can be instead: a guest kernel has no other program.
var children = map[string]func(){"http": httpChild, "syscalls": syscallsChild, "loop": loopChild, "reused": reusedChild, "deselect": deselectChild}

func TestMain(m *testing.M) {
	if run := children[os.Getenv(childEnv)]; run != nil {
		run()
		return
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "close the tracer:", err)
		code = 1
	}
	os.Exit(code)
}

// check ends a child that cannot go on, and says where.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// listening is a socket of a child on loopback, and its address.
func listening(backlog int) (int, unix.Sockaddr) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(l, backlog))
	at, err := unix.Getsockname(l)
	check(err)
	return l, at
}

// httpChild serves /b/ and, at /a/, calls it; prints its address, and exits when stdin closes.
func httpChild() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	base := "http://" + l.Addr().String()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/a/1" {
				resp, err := http.Get(base + "/b/1")
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
				resp.Body.Close()
			}
			fmt.Fprintln(w, "ok", r.URL.Path)
		}))
	}()
	fmt.Println(base)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

func startHTTP(t *testing.T) (base string, pid int) {
	t.Helper()
	c := startProcess(t, "http")
	return c.line(t), c.pid
}

// TestKernelSequence: the same bytes have the same sequence number at both ends of a loopback
// connection, the payload is what was sent, and the life of the connection is seen.
func TestKernelSequence(t *testing.T) {
	tr, rec := startTracer(t)
	base, pid := startHTTP(t)
	require.NoError(t, tr.Select(uint32(pid), Target{}))
	resp, err := http.Get(base + "/a/1")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body) // only then is the connection used again
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	resp, err = http.Get(base + "/a/2") // over the same connection
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body) // only then is the connection used again
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	split, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer split.Close()
	for _, part := range []string{"GET /b/3 HT", "TP/1.1\r\nHost: x\r\n\r\n"} {
		_, err = io.WriteString(split, part)
		require.NoError(t, err)
		time.Sleep(50 * time.Millisecond) // the server reads twice
	}
	_, err = bufio.NewReader(split).ReadString('\n')
	require.NoError(t, err)

	const request = "GET /b/1 HTTP/1.1\r\n"
	find := func(dir, role uint8, prefix string) *event.Data {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		for i := range rec.data {
			d := &rec.data[i]
			if d.Dir == dir && d.Role == role && len(d.Payload) >= len(prefix) && string(d.Payload[:len(prefix)]) == prefix {
				return d
			}
		}
		return nil
	}
	require.Eventually(t, func() bool {
		return find(event.Out, event.Client, request) != nil && find(event.In, event.Server, request) != nil &&
			find(event.Out, event.Server, "HTTP/1.1 200") != nil && find(event.In, event.Client, "HTTP/1.1 200") != nil
	}, 10*time.Second, 10*time.Millisecond, "the four records of one exchange")

	sent, got := find(event.Out, event.Client, request), find(event.In, event.Server, request)
	require.Equal(t, sent.Seq, got.Seq, "request sequence number")
	require.NotZero(t, sent.Seq)
	require.Equal(t, sent.Payload, got.Payload)
	require.Equal(t, sent.Local(), got.Peer())
	require.Equal(t, sent.Peer(), got.Local())
	require.LessOrEqual(t, sent.Ts, got.Ts)

	answered, read := find(event.Out, event.Server, "HTTP/1.1 200"), find(event.In, event.Client, "HTTP/1.1 200")
	require.Equal(t, answered.Seq, read.Seq, "response sequence number")
	require.Equal(t, answered.OtherSeq, got.Seq+got.Len, "the response was written after the request was read")
	require.Equal(t, uint32(pid), sent.Tgid)
	require.NotEqual(t, sent.Conn, got.Conn, "each end of a connection is a connection of its own")
	require.Equal(t, got.Conn, answered.Conn)
	require.Equal(t, got.Turn, answered.Turn, "a response belongs to the epoch of its request")

	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		answers := 0
		for i := range rec.data {
			if rec.data[i].Role == event.Server && rec.data[i].Dir == event.Out {
				answers++
			}
		}
		return answers >= 4
	}, 10*time.Second, 10*time.Millisecond, "answers to /a/1, /b/1, /a/2 and /b/3")
	checkTurns(t, rec)
	for _, l := range rec.losses(t) {
		require.Zero(t, l.Count, l.Reason)
	}
}

// checkTurns: a server's epoch begins with the first bytes of a request, lasts over all reads of it and
// its response, and ends with the next request.
func checkTurns(t *testing.T, rec *recorder) {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	last := map[uint64]*event.Data{}
	same, changed := 0, 0
	for i := range rec.data {
		d := &rec.data[i]
		if d.Role != event.Server {
			continue
		}
		if before := last[d.Conn]; before != nil {
			if d.Dir == event.In && before.Dir == event.Out {
				require.NotEqual(t, before.Turn, d.Turn)
				changed++
			} else {
				require.Equal(t, before.Turn, d.Turn)
				same++
			}
		}
		last[d.Conn] = d
	}
	require.NotZero(t, same)
	require.NotZero(t, changed)
}

// TestKernelSelection: nothing of a process that is not selected leaves the kernel.
func TestKernelSelection(t *testing.T) {
	_, rec := startTracer(t)
	base, _ := startHTTP(t)
	resp, err := http.Get(base + "/a/1")
	require.NoError(t, err)
	resp.Body.Close()
	time.Sleep(5 * Drain)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	require.Empty(t, rec.data)
	require.Empty(t, rec.evidence)
}

// TestKernelHooks: every required hook attaches, and what does not is said.
func TestKernelHooks(t *testing.T) {
	tr, _ := startTracer(t)
	attached := 0
	for _, s := range tr.Status() {
		t.Logf("%-20s %-50s %s %v", s.Program, s.Hook, s.State, s.Err)
		if s.State == Attached {
			attached++
		} else {
			require.Equal(t, Unsupported, s.State, s.Hook)
			require.ErrorContains(t, s.Err, "taken for", "what is missing without %s", s.Hook)
		}
		for _, h := range hooks {
			if h.String() == s.Hook && h.required {
				require.Equal(t, Attached, s.State, s.Program)
			}
		}
	}
	require.GreaterOrEqual(t, attached, 25)
	require.Len(t, tr.extended, len(extensions), "every object loads")
}
