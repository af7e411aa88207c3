//go:build linux

package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// roleVariable makes the test binary a process to be discovered instead.
const (
	roleVariable    = "EBPF_PROCESS_TEST_ROLE"
	addressVariable = "EBPF_PROCESS_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		goleak.VerifyTestMain(m)
	case "listen":
		// Says its port, then listens when told to, and ends with its input.
		in := bufio.NewReader(os.Stdin)
		fmt.Println("ready")
		if _, err := in.ReadString('\n'); err != nil {
			os.Exit(0)
		}
		l, err := net.Listen("tcp4", os.Getenv(addressVariable))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
		_, _ = io.Copy(io.Discard, in)
		_ = l.Close()
	}
}

// record is what a scanner reported.
type record struct {
	mu     sync.Mutex
	events []string
	last   map[int]*Process
}

func (r *record) selected(p *Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[int]*Process{}
	}
	r.last[p.PID] = p
	r.events = append(r.events, fmt.Sprintf("+%d %s", p.PID, p.ServiceName))
}

func (r *record) deselected(pid int, why Why) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf("-%d %s", pid, why))
}

func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.events
	r.events = nil
	return e
}

func newScanner(t testing.TB, o Options) (*Scanner, *record) {
	t.Helper()
	r := &record{}
	o.Host, o.Selected, o.Deselected = testHost, r.selected, r.deselected
	s, err := NewScanner(o)
	require.NoError(t, err)
	return s, r
}

func fakeScanner(t testing.TB, rules Rules) (*Scanner, *record, string) {
	t.Helper()
	root := t.TempDir()
	s, r := newScanner(t, Options{Proc: root, Rules: rules, Self: 1})
	return s, r, root
}

func includeEnv(names ...string) Rules { return Rules{Include: []Selector{{Env: names}}} }

func remove(t testing.TB, root string, pid int) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(root, strconv.Itoa(pid))))
}

func TestScannerLife(t *testing.T) {
	s, r, root := fakeScanner(t, includeEnv("SVC"))
	ctx := context.Background()
	fakeProc(t, root, 1, process("/bin/collector", []string{"SVC=me"}))
	fakeProc(t, root, 2, process("", nil, "flags=2129984"))
	fakeProc(t, root, 10, process("/bin/a", []string{"SVC=1"}))
	fakeProc(t, root, 11, process("/bin/b", nil))
	require.NoError(t, s.Scan(ctx))
	assert.Equal(t, []string{"+10 a"}, r.take(), "never the collector, never a kernel thread")

	require.NoError(t, s.Rescan(ctx))
	s.Consider(10, WhyFork)
	s.Consider(10, WhyListen)
	s.Consider(10, WhyExec)
	s.Consider(1, WhyExec)
	assert.Empty(t, r.take(), "nothing has changed")

	// Exec of a selected process: another program that still matches, then one that does not.
	fakeProc(t, root, 10, process("/bin/c", []string{"SVC=1"}, "stack=9000"))
	s.Consider(10, WhyExec)
	assert.Equal(t, []string{"+10 c"}, r.take())
	assert.Equal(t, "c", s.Lookup(10).ServiceName)
	fakeProc(t, root, 10, process("/bin/d", nil, "stack=9100"))
	s.Consider(10, WhyExec)
	assert.Equal(t, []string{"-10 rules"}, r.take())
	assert.Nil(t, s.Lookup(10))

	// An exec that no event told of.
	fakeProc(t, root, 11, process("/bin/e", []string{"SVC=1"}, "stack=9200"))
	require.NoError(t, s.Rescan(ctx))
	assert.Equal(t, []string{"+11 e"}, r.take())

	// The pid is another process's.
	fakeProc(t, root, 11, process("/bin/f", []string{"SVC=1"}, "start=500"))
	s.Consider(11, WhyFork)
	assert.Equal(t, []string{"-11 reused", "+11 f"}, r.take())
	// The exit event of the first comes late: the second stays.
	s.Exit(11, Fork{})
	assert.Empty(t, r.take())
	fakeProc(t, root, 11, process("/bin/f", nil, "start=600"))
	s.Exit(11, Fork{})
	assert.Equal(t, []string{"-11 reused"}, r.take())

	// Exits: by event, while still a zombie, and without an event.
	for pid := 20; pid < 23; pid++ {
		fakeProc(t, root, pid, process("/bin/g", []string{"SVC=1"}))
		s.Consider(pid, WhyFork)
	}
	assert.Len(t, r.take(), 3)
	fakeProc(t, root, 20, process("/bin/g", nil, "state=Z"))
	s.Exit(20, Fork{})
	remove(t, root, 21)
	s.Consider(21, WhyListen)
	remove(t, root, 22)
	require.NoError(t, s.Rescan(ctx))
	assert.Equal(t, []string{"-20 exit", "-21 exit", "-22 exit"}, r.take())
	s.Exit(22, Fork{})
	assert.Empty(t, r.take(), "once only")

	// A process whose first thread has ended serves on with its description.
	fakeProc(t, root, 30, process("/bin/h", []string{"SVC=1"}))
	s.Consider(30, WhyFork)
	fakeProc(t, root, 30, process("/bin/h", nil, "state=Z", "threads=4", "stack=0", "code=0"))
	s.Consider(30, WhyListen)
	require.NoError(t, s.Rescan(ctx))
	assert.Equal(t, []string{"+30 h"}, r.take())

	s.Close()
	s.Close()
	assert.Equal(t, []string{"-30 shutdown"}, r.take())
	s.Consider(30, WhyExec)
	assert.Zero(t, s.Len())
}

func TestScannerBound(t *testing.T) {
	root := t.TempDir()
	s, r := newScanner(t, Options{Proc: root, Rules: Rules{All: true}, Self: 1, MaxSelected: 2})
	for pid := 10; pid < 14; pid++ {
		fakeProc(t, root, pid, process("/bin/a", nil))
	}
	require.NoError(t, s.Scan(context.Background()))
	assert.Len(t, r.take(), 2)
	assert.Equal(t, 2, s.Len())
	assert.EqualValues(t, 2, s.Counters().Get(TooMany))
	// An exec of a selected one is no new place.
	for pid := 10; pid < 14; pid++ {
		if s.Lookup(pid) != nil {
			fakeProc(t, root, pid, process("/bin/b", nil, "stack=77"))
			s.Consider(pid, WhyExec)
			assert.Equal(t, []string{fmt.Sprintf("+%d b", pid)}, r.take())
			remove(t, root, pid)
			s.Exit(pid, Fork{})
			break
		}
	}
	r.take()
	require.NoError(t, s.Rescan(context.Background()))
	assert.Len(t, r.take(), 1, "a place is free, and the rescan fills it")
}

func TestScannerOptions(t *testing.T) {
	_, err := NewScanner(Options{Rules: Rules{}})
	assert.ErrorContains(t, err, "selects no process")
	_, err = NewScanner(Options{Rules: Rules{All: true}, MaxSelected: -1})
	assert.ErrorContains(t, err, "allowed is 1 or more")
	_, err = NewScanner(Options{Rules: Rules{All: true}, Proc: "/nowhere"})
	assert.ErrorContains(t, err, "mount procfs at /nowhere")
}

// TestTitleOverEnvironment: nginx's workers, and its master after it has written its title.
func TestTitleOverEnvironment(t *testing.T) {
	s, r, root := fakeScanner(t, includeEnv("OTEL_SERVICE_NAME"))
	title := []string{"ker process", "", ""}
	exe := filepath.Join(t.TempDir(), "nginx")
	require.NoError(t, os.WriteFile(exe, []byte("x"), 0o755))
	fakeProc(t, root, 10, process(exe, []string{"OTEL_SERVICE_NAME=web"}))
	s.Consider(10, WhyExec)
	fakeProc(t, root, 10, process(exe, title))
	s.Consider(10, WhyListen)
	fakeProc(t, root, 11, process(exe, title, "ppid=10", "start=200"))
	s.Consider(11, WhyFork)
	assert.Equal(t, []string{"+10 web", "+11 web"}, r.take())
	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(other, []byte("y"), 0o755))
	fakeProc(t, root, 12, process(other, title, "ppid=10", "start=200"))
	s.Consider(12, WhyFork)
	assert.Empty(t, r.take(), "another program does not inherit")
}

func listening(inode, port int) string {
	return fmt.Sprintf("  sl  local_address ...\n   0: 0100007F:%04X 00000000:0000 0A 0:0 00:0 0 0 0 %d 1\n", port, inode)
}

func TestScannerPorts(t *testing.T) {
	s, r, root := fakeScanner(t, Rules{
		Include: []Selector{{Ports: []PortRange{{First: 80, Last: 89}}}},
		Exclude: []Selector{{Ports: []PortRange{{First: 89}}}},
	})
	ctx := context.Background()
	put := func(pid int, table string, sockets ...int) {
		f := process("/bin/s", nil, "start="+strconv.Itoa(pid))
		f.files["net/tcp"], f.files["net/tcp6"] = table, ""
		f.links["fd/0"] = "/dev/null"
		for i, inode := range sockets {
			f.links[fmt.Sprintf("fd/%d", i+3)] = fmt.Sprintf("socket:[%d]", inode)
		}
		fakeProc(t, root, pid, f)
	}
	table := listening(500, 80)
	put(10, table, 499, 500)
	put(11, table, 499)
	put(12, table, 500)
	require.NoError(t, s.Scan(ctx))
	assert.ElementsMatch(t, []string{"+10 s", "+12 s"}, r.take())

	// 11 begins to listen: an event, then without one.
	table += listening(501, 81)
	for _, pid := range []int{10, 11, 12} {
		put(pid, table, map[int][]int{10: {500}, 11: {501}, 12: {500}}[pid]...)
	}
	s.Consider(11, WhyListen)
	assert.Equal(t, []string{"+11 s"}, r.take())
	put(13, table)
	require.NoError(t, s.Scan(ctx))
	table += listening(502, 82)
	put(13, table, 502)
	put(10, table, 500)
	put(11, table, 501)
	put(12, table, 500)
	require.NoError(t, s.Scan(ctx))
	assert.Equal(t, []string{"+13 s"}, r.take())

	// It stops listening but may serve on; an excluded port ends that.
	put(13, table)
	s.Consider(13, WhyListen)
	require.NoError(t, s.Scan(ctx))
	assert.Empty(t, r.take())
	put(13, table+listening(503, 89), 503)
	s.Consider(13, WhyListen)
	assert.Equal(t, []string{"-13 rules"}, r.take())
	assert.EqualValues(t, 1, s.Counters().Get(Excluded))
}

// --- real processes -------------------------------------------------------------------------

// start runs a command until the test ends. Only its own pid is ever signalled.
func start(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func withEnv(cmd *exec.Cmd, env ...string) *exec.Cmd {
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "OTEL_") || strings.HasPrefix(e, "DD_") || strings.HasPrefix(e, "DK_")
	}), env...)
	return cmd
}

// awaitExec waits until a started process runs its program rather than the test's.
func awaitExec(t testing.TB, pid int, exe string) {
	t.Helper()
	require.Eventually(t, func() bool {
		at, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		// The new memory is there before its arguments and environment are.
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return strings.Contains(at, exe) && len(env) > 0
	}, 5*time.Second, time.Millisecond)
}

func tag(t testing.TB) string {
	return fmt.Sprintf("EBPF_PROCESS_TEST_TAG=%d-%s", os.Getpid(), t.Name())
}

func TestRealProcesses(t *testing.T) {
	env := tag(t)
	s, r := newScanner(t, Options{Rules: includeEnv(env)})
	sleep := start(t, withEnv(exec.Command("sleep", "60"), env, "OTEL_SERVICE_NAME=sleeper",
		"OTEL_RESOURCE_ATTRIBUTES=service.version=1%2E2"))
	other := start(t, withEnv(exec.Command("sleep", "60")))
	awaitExec(t, sleep, "sleep")
	awaitExec(t, other, "sleep")
	before := time.Now()
	require.NoError(t, s.Scan(context.Background()))
	require.Equal(t, []string{fmt.Sprintf("+%d sleeper", sleep)}, r.take())

	p := s.Lookup(sleep)
	require.NotNil(t, p)
	assert.Equal(t, os.Getpid(), p.PPID)
	assert.EqualValues(t, os.Getuid(), p.UID)
	assert.WithinDuration(t, before, p.Started, 30*time.Second)
	assert.Equal(t, "1.2", find(p.Attributes(), "service.version"))
	st, err := os.Stat(p.ExeFile())
	require.NoError(t, err)
	assert.Equal(t, st.Size(), p.ExeKey.Size)
	_, err = os.Stat(p.HostPath(p.Exe))
	assert.NoError(t, err)
	assert.NotZero(t, p.NetNS)

	again, err := s.Reader().Describe(sleep)
	require.NoError(t, err)
	assert.Equal(t, p.Attributes(), again.Attributes(), "deterministic")

	require.NoError(t, syscall.Kill(sleep, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", sleep))
		return strings.Contains(string(b), ") Z ")
	}, 5*time.Second, time.Millisecond)
	_, err = s.Reader().Describe(sleep)
	assert.ErrorIs(t, err, ErrZombie)
	s.Exit(sleep, Fork{})
	assert.Equal(t, []string{fmt.Sprintf("-%d exit", sleep)}, r.take())
}

func TestRealExecForkAndThreads(t *testing.T) {
	python, err := exec.LookPath("python3")
	needs(t, err == nil, "python3")
	dir := filepath.Join(t.TempDir(), "basket")
	require.NoError(t, os.Mkdir(dir, 0o755))
	script := filepath.Join(dir, "main.py")
	// Forks a child, starts a thread, says both ids; at a line of input becomes another program.
	require.NoError(t, os.WriteFile(script, []byte(`
import os, sys, threading, time
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
t = threading.Thread(target=lambda: time.sleep(60), daemon=True)
t.start()
print(child, t.native_id, flush=True)
sys.stdin.readline()
os.kill(child, 9)
os.waitpid(child, 0)
env = dict(os.environ)
del env[sys.argv[1]]
os.execve("/bin/sleep", ["sleep", "60"], env)
`), 0o644))
	env := tag(t)
	name, _, _ := strings.Cut(env, "=")
	cmd := withEnv(exec.Command(python, "main.py", name), env)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	parent := start(t, cmd)
	var child, thread int
	_, err = fmt.Fscan(out, &child, &thread)
	require.NoError(t, err)

	s, r := newScanner(t, Options{Rules: Rules{
		Include: []Selector{{Env: []string{env}, Exe: []string{"python3*"}}},
	}})
	s.Consider(parent, WhyExec)
	s.Consider(child, WhyFork)
	assert.Equal(t, []string{fmt.Sprintf("+%d basket", parent), fmt.Sprintf("+%d basket", child)}, r.take())
	assert.Equal(t, "cpython", find(s.Lookup(parent).Attributes(), "process.runtime.name"))
	assert.NotEqual(t, find(s.Lookup(parent).Attributes(), "service.instance.id"),
		find(s.Lookup(child).Attributes(), "service.instance.id"))
	s.Consider(thread, WhyFork)
	assert.EqualValues(t, 1, s.Counters().Get(Thread))
	assert.Equal(t, 2, s.Len())

	_, err = io.WriteString(in, "go\n")
	require.NoError(t, err)
	awaitExec(t, parent, "sleep")
	require.NoError(t, s.Rescan(context.Background()))
	assert.ElementsMatch(t, []string{
		fmt.Sprintf("-%d exit", child), fmt.Sprintf("-%d rules", parent),
	}, r.take(), "found without an event")
}

// TestRealTitle: Perl writes $0 over its environment, as setproctitle does.
func TestRealTitle(t *testing.T) {
	perl, err := exec.LookPath("perl")
	needs(t, err == nil, "perl")
	script := filepath.Join(t.TempDir(), "mill.pl")
	require.NoError(t, os.WriteFile(script, []byte(`
$| = 1;
<STDIN>;
$0 = "mill: worker process " . ("x" x 4096);
my $child = fork();
if (!$child) { sleep 60; exit }
print "$child\n";
<STDIN>;
kill 9, $child;
`), 0o644))
	env := tag(t)
	cmd := withEnv(exec.Command(perl, script), env, "OTEL_SERVICE_NAME=mill")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	pid := start(t, cmd)
	awaitExec(t, pid, "perl")
	s, r := newScanner(t, Options{Rules: includeEnv(env)})
	s.Consider(pid, WhyExec)
	_, err = io.WriteString(in, "title\n")
	require.NoError(t, err)
	var child int
	_, err = fmt.Fscan(out, &child)
	require.NoError(t, err)
	s.Consider(pid, WhyListen)
	s.Consider(child, WhyFork)
	assert.Equal(t, []string{fmt.Sprintf("+%d mill", pid), fmt.Sprintf("+%d mill", child)}, r.take())
	assert.EqualValues(t, 2, s.Counters().Get(EnvironOverwritten))
	_, err = io.WriteString(in, "end\n")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, out)
}

// startListener starts this binary as a process that listens, and returns its id and port.
func startListener(t *testing.T, address string, attr *syscall.SysProcAttr) (pid, port int) {
	t.Helper()
	cmd := withEnv(exec.Command("/proc/self/exe"), roleVariable+"=listen", addressVariable+"="+address)
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	pid = start(t, cmd)
	_, err = io.WriteString(in, "listen\n")
	require.NoError(t, err)
	var ready string
	_, err = fmt.Fscan(out, &ready, &port)
	require.NoError(t, err)
	return pid, port
}

// TestRealNamespaces: a process in a network, mount and pid namespace of its own.
func TestRealNamespaces(t *testing.T) {
	needs(t, os.Getuid() == 0, "root, to make namespaces")
	// Without interfaces there is nobody to connect: 0.0.0.0 is as good as loopback, which is down.
	pid, port := startListener(t, "0.0.0.0:0", &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
	})
	s, r := newScanner(t, Options{Rules: Rules{
		Include: []Selector{{Ports: []PortRange{{First: port}}, PIDs: []int{pid}}},
	}})
	s.Consider(pid, WhyListen)
	require.Len(t, r.take(), 1)
	p := s.Lookup(pid)
	own, err := s.Reader().Describe(os.Getpid())
	require.NoError(t, err)
	assert.NotEqual(t, own.NetNS, p.NetNS)
	ports, err := s.Reader().Listening(pid)
	require.NoError(t, err)
	require.Len(t, ports, 1, "its own network namespace, not the machine's")
	assert.Equal(t, "0.0.0.0:"+strconv.Itoa(port), ports[0].Addr.String())
}

func TestRealListener(t *testing.T) {
	pid, port := startListener(t, "127.0.0.1:0", nil)
	reader := NewReader("/proc", testHost)
	ports, err := reader.Listening(pid)
	require.NoError(t, err)
	n := slices.IndexFunc(ports, func(p Port) bool { return p.Addr.String() == "127.0.0.1:"+strconv.Itoa(port) })
	require.GreaterOrEqual(t, n, 0, "%v", ports)
	assert.EqualValues(t, os.Getuid(), ports[n].UID)

	s, r := newScanner(t, Options{Rules: Rules{
		Include: []Selector{{Ports: []PortRange{{First: port}}, PIDs: []int{pid, os.Getpid()}}},
	}})
	require.NoError(t, s.Scan(context.Background()))
	require.Len(t, r.take(), 1)
	p := s.Lookup(pid)
	require.NotNil(t, p)
	assert.Equal(t, RuntimeGo, p.Runtime)
	assert.Equal(t, "go", find(p.Attributes(), "process.runtime.name"))
}

func TestRealDeletedExecutable(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	b, err := os.ReadFile(sleep)
	require.NoError(t, err)
	for _, name := range []string{"gone", "odd (deleted)"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(path, b, 0o755))
			pid := start(t, exec.Command(path, "60"))
			awaitExec(t, pid, name)
			deleted := name == "gone"
			if deleted {
				require.NoError(t, os.Remove(path))
			}
			p, err := NewReader("/proc", testHost).Describe(pid)
			require.NoError(t, err)
			assert.Equal(t, path, p.Exe)
			assert.Equal(t, deleted, p.ExeDeleted)
			got, err := os.ReadFile(p.ExeFile())
			require.NoError(t, err)
			assert.Equal(t, len(b), len(got))
		})
	}
}

// TestDenied: a process that may not be read is described as far as it goes, and counted.
func TestDenied(t *testing.T) {
	needs(t, os.Getuid() == 0, "root, to start a process of another user")
	exe := filepath.Join(t.TempDir(), "process.test")
	b, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(exe, b, 0o755))
	for d := filepath.Dir(exe); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	sleep := start(t, withEnv(exec.Command("sleep", "60"), "OTEL_SERVICE_NAME=hidden"))
	awaitExec(t, sleep, "sleep")
	cmd := exec.Command(exe, "-test.run", "TestDeniedAsNobody$", "-test.v")
	cmd.Env = []string{"EBPF_PROCESS_TEST_AS_NOBODY=" + strconv.Itoa(sleep)}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS: TestDeniedAsNobody")
}

func TestDeniedAsNobody(t *testing.T) {
	pid, err := strconv.Atoi(os.Getenv("EBPF_PROCESS_TEST_AS_NOBODY"))
	if err != nil {
		t.Skip("is started by TestDenied")
	}
	r := NewReader("/proc", testHost)
	p, err := r.Describe(pid)
	require.NoError(t, err)
	assert.Equal(t, "sleep", p.ServiceName, "the name of its first thread is all there is")
	assert.Empty(t, p.Exe)
	assert.True(t, p.env.denied)
	assert.NotZero(t, r.Counters.Get(PermissionDenied))
	for _, c := range []struct {
		rules Rules
		want  int
		count Reason
	}{
		{Rules{Include: []Selector{{PIDs: []int{pid}}}}, 1, PermissionDenied},
		{Rules{Include: []Selector{{PIDs: []int{pid}, Env: []string{"OTEL_SERVICE_NAME"}}}}, 0, PermissionDenied},
		{Rules{Include: []Selector{{PIDs: []int{pid}}}, Exclude: []Selector{{Env: []string{"NO_TRACE"}}}}, 0, ExcludedUnknown},
		{Rules{Include: []Selector{{PIDs: []int{pid}}}, Exclude: []Selector{{Ports: []PortRange{{First: 1}}}}}, 1, PermissionDenied},
	} {
		s, _ := newScanner(t, Options{Rules: c.rules})
		s.Consider(pid, WhyExec)
		assert.Equal(t, c.want, s.Len(), "%+v", c.rules)
		assert.NotZero(t, s.Counters().Get(c.count), "%+v", c.rules)
	}
}

// TestRace: processes that end while they are read are gone, and nothing else.
func TestRace(t *testing.T) {
	s, _ := newScanner(t, Options{Rules: includeEnv(tag(t))})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	pids := make(chan int, 64)
	wg.Go(func() {
		defer close(pids)
		for range 150 {
			select {
			case <-stop:
				return
			default:
			}
			cmd := withEnv(exec.Command("true"), tag(t))
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			pids <- cmd.Process.Pid
			_ = cmd.Wait()
		}
	})
	for pid := range pids {
		for range 3 {
			s.Consider(pid, WhyExec)
		}
	}
	close(stop)
	wg.Wait()
	assert.Zero(t, s.Counters().Get(PermissionDenied))
	require.NoError(t, s.Rescan(context.Background()))
	assert.Zero(t, s.Len())
	assert.NotZero(t, s.Counters().Get(Gone)+s.Counters().Get(Zombie))
	assert.Zero(t, s.Counters().Get(Unreadable), "an ending process is not a fault")
}

// TestConcurrent: whatever runs at once, what is reported of a process alternates, and the set is
// what was reported.
func TestConcurrent(t *testing.T) {
	root := t.TempDir()
	live := map[int]bool{}
	var mu sync.Mutex
	s, err := NewScanner(Options{
		Proc: root, Rules: includeEnv("SVC"), Self: 1, Host: testHost,
		Selected: func(p *Process) {
			mu.Lock()
			defer mu.Unlock()
			live[p.PID] = true
		},
		Deselected: func(pid int, _ Why) {
			mu.Lock()
			defer mu.Unlock()
			if !live[pid] {
				t.Errorf("%d deselected, but was not selected", pid)
			}
			delete(live, pid)
		},
	})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 100 {
				// Each worker writes processes of its own; all consider those of all.
				pid := 10 + worker*10 + i%5
				if i%3 == 0 {
					_ = os.RemoveAll(filepath.Join(root, strconv.Itoa(pid)))
				} else {
					env := []string{"SVC=1"}
					if i%4 == 0 {
						env = nil
					}
					fakeProc(t, root, pid, process("/bin/a", env, fmt.Sprintf("stack=%d", i), fmt.Sprintf("start=%d", i/7)))
				}
				s.Consider(pid, []Why{WhyFork, WhyExec, WhyListen}[i%3])
				s.Exit(10+(worker+1)%4*10+i%5, Fork{})
				_ = s.Lookup(pid)
				if i%10 == 0 {
					assert.NoError(t, s.Rescan(context.Background()))
				}
			}
		})
	}
	wg.Wait()
	mu.Lock()
	assert.Len(t, live, s.Len())
	mu.Unlock()
	s.Close()
	assert.Empty(t, live)
}

func TestWatch(t *testing.T) {
	env := tag(t)
	s, r := newScanner(t, Options{Rules: includeEnv(env)})
	w := NewWatch(s, 0, func(err error) { t.Error(err) })
	require.NoError(t, w.Start(context.Background()))
	pid := start(t, withEnv(exec.Command("sleep", "60"), env))
	awaitExec(t, pid, "sleep")
	w.Notify(pid, WhyFork)
	w.Notify(pid, WhyExec)
	require.Eventually(t, func() bool { return s.Lookup(pid) != nil }, 5*time.Second, time.Millisecond)
	hidden := start(t, withEnv(exec.Command("sleep", "60"), env))
	awaitExec(t, hidden, "sleep")
	w.RescanSoon()
	require.Eventually(t, func() bool { return s.Lookup(hidden) != nil }, 5*time.Second, time.Millisecond)
	w.Close()
	w.Close()
	w.Notify(pid, WhyExec)
	assert.Zero(t, s.Len())
	assert.Subset(t, r.take(), []string{fmt.Sprintf("-%d shutdown", pid), fmt.Sprintf("-%d shutdown", hidden)})
}

func TestWatchIsBoundedAndRecovers(t *testing.T) {
	root := t.TempDir()
	fakeProc(t, root, 10, process("/bin/a", nil))
	s, _ := newScanner(t, Options{Proc: root, Rules: Rules{All: true}, Self: 1})
	w := NewWatch(s, 0, nil)
	for i := range maxPending + 7 {
		w.Exit(1000+i, Fork{})
	}
	assert.EqualValues(t, 7, s.Counters().Get(QueueFull))
	assert.Len(t, w.order, maxPending)
	assert.True(t, w.Waiting(1<<30), "its event may be one of the lost ones")
	require.NoError(t, w.Start(context.Background()))
	fakeProc(t, root, 11, process("/bin/a", nil))
	require.Eventually(t, func() bool { return s.Lookup(11) != nil }, 20*time.Second, time.Millisecond,
		"the rescan finds what the queue lost")
	w.Close()
}

// A process is waited for until it has been considered, however long that takes.
func TestWatchWaiting(t *testing.T) {
	env := tag(t)
	pid := start(t, withEnv(exec.Command("sleep", "60"), env))
	awaitExec(t, pid, "sleep")
	var w *Watch
	waiting := false
	s, err := NewScanner(Options{Rules: includeEnv(env), Selected: func(p *Process) { waiting = w.Waiting(p.PID) }})
	require.NoError(t, err)
	w = NewWatch(s, 0, nil)
	w.Notify(pid, WhyFork)
	assert.True(t, w.Waiting(pid), "queued")
	assert.False(t, w.Waiting(pid+1))
	w.drain(context.Background())
	assert.NotNil(t, s.Lookup(pid))
	assert.True(t, waiting, "while it is considered")
	assert.False(t, w.Waiting(pid))
}

func TestMerge(t *testing.T) {
	made := Fork{From: 7, At: 1}
	for _, tc := range []struct{ a, b, want change }{
		{change{WhyExit, made}, change{why: WhyFork}, change{WhyExit, made}},
		{change{why: WhyExec}, change{WhyExit, made}, change{WhyExit, made}},
		{change{WhyExit, made}, change{WhyExit, made}, change{why: WhyExit}}, // two processes, whose spans cannot be told apart
		{change{why: WhyExec}, change{why: WhyListen}, change{why: WhyExec}},
		{change{why: WhyFork}, change{why: WhyExec}, change{why: WhyExec}},
		{change{why: WhyFork}, change{why: WhyListen}, change{why: WhyListen}},
	} {
		assert.Equal(t, tc.want, merge(tc.a, tc.b))
	}
}
