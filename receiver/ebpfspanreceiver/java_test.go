package ebpfspanreceiver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
