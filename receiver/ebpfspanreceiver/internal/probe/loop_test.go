package probe

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// selectOf looks whether one of them can be read from.
func selectOf(fds ...int) error {
	var set unix.FdSet
	for _, fd := range fds {
		set.Set(fd)
	}
	_, err := unix.Select(slices.Max(fds)+1, &set, nil, nil, &unix.Timeval{})
	return err
}

// endsToNotify are descriptors to read from and to write to.
func endsToNotify() map[string][2]int {
	counter, err := unix.Eventfd(0, 0)
	check(err)
	var pipe [2]int
	check(unix.Pipe(pipe[:]))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	check(err)
	return map[string][2]int{"eventfd": {counter, counter}, "pipe": pipe, "pair": pair}
}

// loopChild does what it is told, a line for each system call: THREAD WHAT [NAME [TEXT]].
func loopChild() {
	backend, err := net.ResolveTCPAddr("tcp", os.Args[len(os.Args)-1])
	check(err)
	listener, at := listening(8)
	ends := endsToNotify()
	counter := ends["eventfd"][0]
	fds := map[string]int{}
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	thread := func(lines <-chan []string, done chan<- struct{}) {
		runtime.LockOSThread()
		epoll, err := unix.EpollCreate1(0)
		check(err)
		// Go's scheduler may have slept in this thread before: what it does from here on it is told.
		var told [2]int
		check(unix.Pipe(told[:]))
		_, err = unix.Write(told[1], []byte{1})
		check(err)
		_, err = unix.Read(told[0], make([]byte, 1))
		check(err)
		for f := range lines {
			var err error
			buf := make([]byte, 256)
			switch f[0] {
			case "accept":
				fds[f[1]], _, err = unix.Accept(listener)
			case "dial":
				s, _ := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
				err = unix.Connect(s, &unix.SockaddrInet4{Port: backend.Port, Addr: [4]byte{127, 0, 0, 1}})
				fds[f[1]] = s
			case "read":
				_, err = unix.Read(fds[f[1]], buf)
			case "write":
				_, err = unix.Write(fds[f[1]], []byte(f[2]))
			case "helped": // by a thread that it waits for
				s := newSignal(once)
				go func() {
					runtime.LockOSThread()
					s.wake()
				}()
				s.wait()
			case "look":
				_, err = unix.GetsockoptTCPInfo(fds[f[1]], unix.IPPROTO_TCP, unix.TCP_INFO)
			case "ask":
				_, err = unix.GetsockoptInt(fds[f[1]], unix.IPPROTO_TCP, unix.TCP_NODELAY)
			case "ask-socket":
				_, err = unix.GetsockoptInt(fds[f[1]], unix.SOL_SOCKET, unix.TCP_INFO)
			case "wait":
				_, err = unix.EpollWait(epoll, make([]unix.EpollEvent, 1), 0)
			case "poll":
				_, err = unix.Poll([]unix.PollFd{{Fd: int32(listener)}, {Fd: int32(counter)}}, 0)
			case "poll-these":
				these := []unix.PollFd{{Fd: int32(counter)}}
				for _, name := range f[1:] {
					these = append(these, unix.PollFd{Fd: int32(fds[name])})
				}
				_, err = unix.Poll(these, 0)
			case "select":
				err = selectOf(listener, counter)
			case "select-these":
				these := []int{counter}
				for _, name := range f[1:] {
					these = append(these, fds[name])
				}
				err = selectOf(these...)
			case "notify":
				_, err = unix.Write(ends[f[1]][1], one[:map[string]int{"eventfd": 8, "pipe": 1, "pair": 1}[f[1]]])
			case "notified":
				_, err = unix.Read(ends[f[1]][0], buf)
			default:
				err = fmt.Errorf("what is %q", f)
			}
			check(err)
			done <- struct{}{}
		}
	}
	threads, done := map[string]chan []string{}, make(chan struct{})
	fmt.Println(at.(*unix.SockaddrInet4).Port)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f := strings.Fields(in.Text())
		if threads[f[0]] == nil {
			threads[f[0]] = make(chan []string)
			go thread(threads[f[0]], done)
		}
		threads[f[0]] <- f[1:]
		<-done
		fmt.Println("done")
	}
}

var evidenceNames = map[uint8]string{
	1: "same_thread", 7: "loop", 9: "answer", 10: "next", 13: "notify_back", 14: "connected",
}

// TestKernelLoop: what is said of event loops, and of how many it might have been. In a script, "peer" is
// this process: a client of a, b, c and the backend behind u, v. Requests are R1, R2, calls C1, C2.
func TestKernelLoop(t *testing.T) {
	tr, rec := startTracer(t)
	setup := "loop accept a; loop accept b; loop dial u; loop dial v; loop wait; "
	out1 := "peer a R1; loop read a; loop write u C1; loop wait; "
	out2 := "peer b R2; loop read b; loop write v C2; loop wait; "
	waits := func(how string) string {
		return "loop accept a; loop accept b; loop dial u; loop " + how + "; peer a R1; loop read a; loop write u C1"
	}
	in1, in2 := "peer u r1; loop read u; ", "peer v r2; loop read v; "
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"answers at once": {
			setup + out1 + out2 + in1 + "loop write a w1; " + in2 + "loop write b w2; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C1 R1 1/1 1", "answer C2 R2 1/1 1"},
		},
		"two requests in one round, each at once": {
			setup + "peer a R1; peer b R2; loop read a; loop write u C1; loop read b; loop write v C2; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0"},
		},
		"reads all, then writes": {
			setup + "peer a R1; peer b R2; loop read a; loop read b; loop write u C1; loop write v C2; loop wait; " +
				in1 + in2 + "loop write a w1; loop write b w2; loop wait",
			[]string{"loop C1 R2 2/0", "loop C2 R2 2/0", "answer C2 R2 2/2 2", "answer C2 R1 2/2 2"},
		},
		"answers a round later": {
			setup + out1 + out2 + in1 + "loop wait; " + in2 + "loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C2 R1 2/1 1"},
		},
		"answers a round later, after a standstill": {
			setup + out1 + out2 + in1 + "loop wait; standstill; " + in2 + "loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C2 R1 2/1 1"},
		},
		"long ago and many rounds before it put something off": {
			setup + out1 + out2 + in1 + strings.Repeat("loop wait; ", 9) + "standstill; " + in2 + "loop write b w2; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C2 R2 1/1 1"},
		},
		"calls a round later": {
			setup + "peer a R1; loop read a; loop wait; peer b R2; loop read b; loop write u C1; loop wait",
			[]string{"loop C1 R2 2/0"},
		},
		"a timer answers another after it": {
			setup + out1 + out2 + in1 + "loop write a w1; loop write b w2; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C1 R2 1/2 1", "answer C1 R1 1/2 1"},
		},
		"more of a response that was answered": {
			setup + out1 + out2 + in1 + "loop write a w1; loop wait; peer u more; loop read u; loop write b w2; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C1 R1 1/1 1"},
		},
		"answers by itself after a response": {
			setup + out1 + in1 + "peer b R2; loop read b; loop write b w2; loop wait",
			[]string{"loop C1 R1 1/0"},
		},
		"three in turn": {
			setup + out1 + in1 + "loop write u C2; loop wait; " + "peer u r2; loop read u; loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "next C2 C1 1/0", "answer C2 R1 1/1 1"},
		},
		"reads all, then goes on with one and answers the other": {
			setup + out1 + out2 + in1 + in2 + "loop write v C3; loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "next C3 C2 2/0", "answer C2 R1 2/1 2"},
		},
		"a thread answers by itself, then for another": {
			"worker accept a; worker accept b; worker dial u; peer a R1; worker read a; worker write u C1; peer u r1; worker read u; " +
				"worker write a w1; peer b R2; other read b; worker write u C2; peer u r2; worker read u; worker write b w2",
			[]string{"same_thread C1 R1 0/0", "same_thread C2 R1 0/0", "answer C2 R2 1/1 0"},
		},
		"goes on with a call": {
			setup + "peer a R1; loop read a; loop write u C1; loop wait; loop write u body; loop wait; " + in1 + "loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "answer C1 R1 1/1 1"},
		},
		"dials for it": {
			setup + "peer a R1; loop read a; loop dial x; loop wait; peer b R2; loop read b; loop write v C2; loop write x C1; loop wait",
			[]string{"loop C2 R2 1/0", "connected C1 R1 1/0"},
		},
		"blocks": {
			setup + "peer a R1; loop read a; loop write u C1; peer u r1; loop read u; loop write u C2; peer u r2; loop read u; loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "same_thread C1 R1 0/0", "loop C2 R1 1/0", "same_thread C2 R1 0/0"},
		},
		"poll": {
			strings.ReplaceAll(setup+out1+out2+in1+"loop write a w1; loop wait", "wait", "poll"),
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C1 R1 1/1 1"},
		},
		"select": {
			strings.ReplaceAll(setup+out1+out2+in1+"loop write a w1; loop wait", "wait", "select"),
			[]string{"loop C1 R1 1/0", "loop C2 R2 1/0", "answer C1 R1 1/1 1"},
		},
		"a thread polls its own connections": {
			"loop accept a; loop dial u; peer a R1; loop read a; loop write u C1; loop poll-these u; peer u r1; loop read u; loop write u C2; loop wait",
			[]string{"same_thread C1 R1 0/0", "same_thread C2 R1 0/0"},
		},
	} {
		t.Run(name, func(t *testing.T) { runLoop(t, tr, rec, Target{}, c.script, c.want) })
	}
	// Where it depends on the runtime.
	for name, c := range map[string]struct {
		script string
		want   []string
		target Target
	}{
		"is woken by another": {
			setup + out1 + in1 + "loop helped; loop write a w1; loop wait", []string{"loop C1 R1 1/0"}, Target{},
		},
		// Who collects garbage with it.
		"Node.js is woken by another": {
			setup + out1 + in1 + "loop helped; loop write a w1; loop wait",
			[]string{"loop C1 R1 1/0", "answer C1 R1 1/1 1"},
			Target{Node: true},
		},
		"polls a connection of its own, and what wakes it": {
			waits("poll-these a"), []string{"loop C1 R1 1/0"}, Target{},
		},
		"selects a connection of its own, and what wakes it": {
			waits("select-these a"), []string{"loop C1 R1 1/0"}, Target{},
		},
		// Any thread may be who waits for signals as well.
		"Ruby polls a connection of its own, and what wakes it": {
			waits("poll-these a"), []string{"same_thread C1 R1 0/0"}, Target{Ruby: true},
		},
		"Ruby selects a connection of its own, and what wakes it": {
			waits("select-these a"), []string{"same_thread C1 R1 0/0"}, Target{Ruby: true},
		},
		"Ruby polls two":   {waits("poll-these a b"), []string{"loop C1 R1 1/0"}, Target{Ruby: true}},
		"Ruby selects two": {waits("select-these a b"), []string{"loop C1 R1 1/0"}, Target{Ruby: true}},
		"Ruby polls what listens, and what wakes it": {waits("poll"), []string{"same_thread C1 R1 0/0"}, Target{Ruby: true}},
		"Ruby selects all":                           {waits("select"), []string{"loop C1 R1 1/0"}, Target{Ruby: true}},
	} {
		t.Run(name, func(t *testing.T) { runLoop(t, tr, rec, c.target, c.script, c.want) })
	}
	for _, by := range []string{"eventfd", "pipe", "pair"} {
		// Nobody knows that a loop reads it before it has.
		known := "worker notify X; loop notified X; loop wait; "
		for name, c := range map[string]struct {
			script string
			want   []string
		}{
			"one":          {"worker notify X; loop notified X; loop write a w1; loop wait", []string{"notify_back C1 R1 1/1"}},
			"two":          {"worker notify X; other notify X; loop notified X; loop write a w1; loop wait", nil},
			"two answers":  {"worker notify X; loop notified X; loop write a w1; loop write b w2; loop wait", []string{"notify_back C1 R2 1/2", "notify_back C1 R1 1/2"}},
			"out of step":  {"other notify X; loop notified X; loop wait; worker notify X; loop notified X; loop write a w1; loop wait", []string{"notify_back C1 R1 2/1"}},
			"without call": {"other notify X; loop notified X; loop write a w1; loop wait", nil},
		} {
			t.Run(by+", "+name, func(t *testing.T) {
				script := "loop wait; loop accept a; loop accept b; " + known + "sleep; peer a R1; loop read a; loop wait; peer b R2; loop read b; loop wait; " +
					"worker dial u; worker write u C1; peer u r1; worker read u; " + c.script
				runLoop(t, tr, rec, Target{}, strings.ReplaceAll(script, "X", by), c.want)
			})
		}
	}
}

// runLoop returns the process that was told the script.
func runLoop(t *testing.T, tr *Tracer, rec *recorder, target Target, script string, want []string) (tgid uint32) {
	t.Helper()
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	child := startProcess(t, "loop", backend.Addr().String())
	addr := "127.0.0.1:" + child.line(t)
	require.NoError(t, tr.Select(uint32(child.pid), target))
	peers := map[string]net.Conn{}
	for _, line := range strings.Split(script, "; ") {
		f := strings.Fields(line)
		if f[0] == "sleep" {
			time.Sleep(300 * time.Millisecond) // more than IN_STEP_NS
			continue
		}
		if f[0] == "standstill" {
			time.Sleep(1100 * time.Millisecond) // more than PUT_OFF_NS
			continue
		}
		if f[0] == "peer" {
			_, err := fmt.Fprint(peers[f[1]], f[2])
			require.NoError(t, err)
			continue
		}
		if f[1] == "accept" {
			peers[f[2]], err = net.Dial("tcp", addr)
			require.NoError(t, err)
		}
		_, err := fmt.Fprintln(child.in, line)
		require.NoError(t, err)
		require.Equal(t, "done", child.line(t), line)
		if f[1] == "dial" {
			peers[f[2]], err = backend.Accept()
			require.NoError(t, err)
		}
	}
	for _, c := range peers {
		c.Close()
	}
	var got []string
	require.Eventually(t, func() bool {
		got = named(rec, uint32(child.pid))
		return len(got) >= len(want)
	}, 5*time.Second, 20*time.Millisecond, "%v", got)
	time.Sleep(100 * time.Millisecond)
	require.ElementsMatch(t, want, named(rec, uint32(child.pid)))
	return uint32(child.pid)
}

// named writes the evidence with the names that requests and calls have in the script.
func named(rec *recorder, tgid uint32) (out []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	names := map[uint64]string{}
	for i := range rec.data {
		d := &rec.data[i]
		if p := string(d.Payload); d.Tgid == tgid && (p[0] == 'R' && d.Role == event.Server || p[0] == 'C' && d.Role != event.Server) {
			names[d.Turn] = p
		}
	}
	for _, e := range rec.evidence {
		if what := evidenceNames[e.What]; what != "" && names[e.Call] != "" && names[e.Epoch] != "" {
			seen := ""
			if what == "answer" {
				seen = fmt.Sprintf(" %d", e.Base)
			}
			out = append(out, fmt.Sprintf("%s %s %s %d/%d%s", what, names[e.Call], names[e.Epoch], e.Uses, e.BaseUses, seen))
		}
	}
	return out
}
