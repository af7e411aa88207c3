package ebpfspanreceiver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestJavaStartsTraced: a process that is selected when it executes java, long before there is a VM in it,
// is read as soon as there is one.
func TestJavaStartsTraced(t *testing.T) {
	bpftest.Need(t)
	t.Run("java", func(t *testing.T) { testJavaStartsTraced(t, "java") })
	// A launcher of another name, as those of daemons are: nothing tells of a VM before it is loaded.
	t.Run("other launcher", func(t *testing.T) { testJavaStartsTraced(t, "launcher") })
}

func testJavaStartsTraced(t *testing.T, launcher string) {
	java, err := filepath.Glob("/usr/lib/jvm/*-25-*/bin/java")
	require.NoError(t, err)
	if len(java) == 0 {
		t.Skip("needs JDK 25 in /usr/lib/jvm")
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		fmt.Fprintln(w, "ok")
	}))
	defer backend.Close()
	mark := fmt.Sprintf("JAVA_TEST_MARK=%d-%d", os.Getpid(), time.Now().UnixNano())
	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{Env: []string{mark}}}
		c.Hold = time.Second
	})
	home := filepath.Dir(filepath.Dir(java[0]))
	exe := java[0]
	if launcher != "java" {
		bin, err := os.ReadFile(java[0])
		require.NoError(t, err)
		exe = filepath.Join(t.TempDir(), launcher)
		require.NoError(t, os.WriteFile(exe, bin, 0o755))
	}
	cmd := exec.Command(exe, "-Xshare:auto", "../../internal/accuracy/programs/java/VirtualServer.java",
		"direct", strings.TrimPrefix(backend.URL, "http://"), "2")
	cmd.Env = append(os.Environ(), mark, "JAVA_HOME="+home, "LD_LIBRARY_PATH="+filepath.Join(home, "lib"))
	base := "http://" + startCommand(t, cmd)
	time.Sleep(1500 * time.Millisecond) // longer than a VM is waited for in one step
	const requests = 20
	for i := range requests {
		resp, err := http.Get(fmt.Sprintf("%s/r/%d", base, i))
		require.NoError(t, err)
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()

	linked := func() (n int) {
		servers, clients := map[string]seen{}, map[string]seen{}
		for _, s := range spansOf(sink) {
			if s.Kind() == ptrace.SpanKindServer {
				servers[s.path] = s
			} else {
				clients[s.path] = s
			}
		}
		for i := range requests {
			root, call := servers[fmt.Sprintf("/r/%d", i)], clients[fmt.Sprintf("/d/%d/a", i)]
			if root.link.Systrace != 0 && root.link.Systrace == call.link.Systrace {
				n++
			}
		}
		for path, c := range clients {
			if strings.HasPrefix(path, "/d/bg/") && c.link.Systrace != 0 {
				t.Errorf("%s belongs to %016x", path, c.link.Systrace)
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return linked() == requests }, 10*time.Second, 100*time.Millisecond)
}

// TestJavaPoolTasks: every second request has a task without a call, so that only the task itself says for whom a pool's
// thread makes one. In each VM.
func TestJavaPoolTasks(t *testing.T) {
	bpftest.Need(t)
	compilers, err := filepath.Glob("/usr/lib/jvm/*-17-*/bin/javac")
	require.NoError(t, err)
	if len(compilers) == 0 {
		t.Skip("needs JDK 17 in /usr/lib/jvm")
	}
	classes := t.TempDir()
	programs := "../../internal/accuracy/programs/java/"
	out, err := exec.Command(compilers[0], "-d", classes, programs+"Pools.java", programs+"Garbage.java").CombinedOutput()
	require.NoError(t, err, "%s", out)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(3 * time.Millisecond)
		fmt.Fprint(w, "ok\n")
	}))
	defer backend.Close()
	mark := fmt.Sprintf("JAVA_TEST_MARK=%d-%d", os.Getpid(), time.Now().UnixNano())
	sink := startReceiver(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{Env: []string{mark}}}
		c.Hold = time.Second
	})
	cmd := exec.Command(filepath.Join(filepath.Dir(compilers[0]), "java"), "-Xmx128m", "-cp", classes, "Pools",
		"mixed", strings.TrimPrefix(backend.URL, "http://"), "2")
	cmd.Env = append(os.Environ(), mark)
	base := "http://" + startCommand(t, cmd)
	get := func(id string) {
		resp, err := http.Get(base + "/r/" + id)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	}
	get("warm") // the class of tasks is loaded then, and found soon
	time.Sleep(time.Second)
	const clients, requests = 4, 50
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			for n := range requests {
				get(fmt.Sprintf("%d-%d", c, n))
			}
		})
	}
	wait.Wait()
	http.DefaultClient.CloseIdleConnections()
	// Whose request took a task with a call is not known here, but each such call has its request's id in its path.
	count := func() (calls, right int) {
		request := map[uint64]string{}
		all := spansOf(sink)
		for _, s := range all {
			if s.Kind() == ptrace.SpanKindServer && s.link.Systrace != 0 {
				request[s.link.Systrace] = strings.TrimPrefix(s.path, "/r/")
			}
		}
		for _, s := range all {
			if s.Kind() == ptrace.SpanKindServer || strings.HasPrefix(s.path, "/d/warm/") {
				continue
			}
			id := strings.TrimSuffix(strings.TrimPrefix(s.path, "/d/"), "/a")
			if s.link.Systrace != 0 && request[s.link.Systrace] != "" && request[s.link.Systrace] != id {
				t.Errorf("%s belongs to %s", s.path, request[s.link.Systrace])
			}
			if strings.HasPrefix(id, "bg/") {
				continue
			}
			calls++
			if s.link.Systrace != 0 && request[s.link.Systrace] == id {
				right++
			}
		}
		return calls, right
	}
	require.Eventually(t, func() bool {
		calls, _ := count()
		return calls >= clients*requests/2-1
	}, 20*time.Second, 100*time.Millisecond)
	calls, right := count()
	// The first of them show where a thread has its task, and that it is waited for.
	require.Greater(t, right*10, calls*8, "%d of %d calls are linked", right, calls)
}
