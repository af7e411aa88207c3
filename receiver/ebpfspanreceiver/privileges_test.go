package ebpfspanreceiver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// dropEnv tells the tests of this binary that their receivers give up capabilities, and, with true, that this kernel
// attaches probes only for who has CAP_SYS_ADMIN.
const dropEnv = "EBPFSPAN_TEST_DROP"

// TestKernelDroppedCapabilities: with what is left, programs are found and traced as before, and another receiver can start.
func TestKernelDroppedCapabilities(t *testing.T) {
	bpftest.Need(t)
	cmd := exec.Command(withoutCgo(t), "-test.v", "-test.timeout=300s",
		"-test.run=^(TestKernelGoHTTP|TestKernelBlockedRead)$")
	admin, err := capability.PerfEvents()
	require.NoError(t, err)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v", dropEnv, admin))
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
	require.Equal(t, 2, strings.Count(string(out), "Capabilities were dropped"), "%s", out)
	require.NotContains(t, string(out), "SKIP")
}

// withoutCgo returns this program as one whose threads can be reached.
func withoutCgo(t *testing.T) string {
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); e != unix.ENOTSUP {
		exe, err := os.Executable()
		require.NoError(t, err)
		return exe
	}
	exe := filepath.Join(t.TempDir(), "test")
	cmd := exec.Command("go", "test", "-c", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return exe
}

// requireDropped: no thread of this process can do more than tracing needs, nor can what it executes.
func requireDropped(t *testing.T) {
	t.Helper()
	left := "CAP_DAC_READ_SEARCH,CAP_SYS_PTRACE,CAP_PERFMON,CAP_BPF"
	if os.Getenv(dropEnv) == "true" {
		left = "CAP_DAC_READ_SEARCH,CAP_SYS_PTRACE,CAP_SYS_ADMIN,CAP_PERFMON,CAP_BPF"
	}
	want := fmt.Sprintf("CapInh: CapPrm:%[1]s CapEff:%[1]s CapBnd:%[1]s CapAmb:", left)
	threads, err := filepath.Glob("/proc/self/task/*/status")
	require.NoError(t, err)
	require.Greater(t, len(threads), 2)
	for _, file := range threads {
		if got, err := capabilities(file); !os.IsNotExist(err) {
			require.NoError(t, err)
			require.Equal(t, want, got, file)
		}
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"=capabilities")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, want, strings.TrimSpace(string(out)), "of a program that is executed")
}

func capabilitiesChild() {
	got, err := capabilities("/proc/self/status")
	fmt.Println(got)
	if err != nil {
		panic(err)
	}
}

// capabilities reads all sets of a thread, by names.
func capabilities(status string) (string, error) {
	b, err := os.ReadFile(status)
	if err != nil {
		return "", err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(name, "Cap") {
			continue
		}
		var set capability.Set
		if _, err := fmt.Sscanf(value, "%x", &set); err != nil {
			return "", err
		}
		out = append(out, name+":"+strings.Join(set.Names(), ","))
	}
	return strings.Join(out, " "), nil
}

// What stands in for a capability that is not there stays.
func TestNeededCapabilities(t *testing.T) {
	const all = ^capability.Set(0)
	four := capability.BPF | capability.PerfMon | capability.SysPtrace | capability.DACReadSearch
	require.Equal(t, four, needed(all, false))
	require.Equal(t, four|capability.SysAdmin, needed(all, true))
	require.Equal(t, four|capability.SysAdmin, needed(all&^capability.BPF, false))
	require.Equal(t, four|capability.SysAdmin, needed(all&^capability.PerfMon, false))
	require.Equal(t, four|capability.DACOverride, needed(all&^capability.DACReadSearch, false))
}

// Nobody's capabilities are taken unasked, and who cannot give any up says so.
func TestCapabilitiesThatStay(t *testing.T) {
	before, err := capability.Effective()
	require.NoError(t, err)
	core, logs := observer.New(zap.InfoLevel)
	r := &ebpfReceiver{config: defaultConfig(), log: zap.New(core)}
	r.config.DropCapabilities = false
	require.NoError(t, r.dropCapabilities(false))
	require.Empty(t, logs.All())
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); e == unix.ENOTSUP {
		r.config.DropCapabilities = true
		require.NoError(t, r.dropCapabilities(false))
		require.Len(t, logs.All(), 1)
		require.Equal(t, zap.WarnLevel, logs.All()[0].Level)
		require.Contains(t, logs.All()[0].ContextMap()["error"], "CGO_ENABLED=0")
	}
	after, err := capability.Effective()
	require.NoError(t, err)
	require.Equal(t, before, after)
}
