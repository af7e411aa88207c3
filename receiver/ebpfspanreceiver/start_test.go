package ebpfspanreceiver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
)

// startInBadPlace spoils its surroundings as told, starts a receiver and prints its error.
func startInBadPlace() {
	place := os.Getenv("EBPFSPAN_TEST_PLACE")
	fail := func(err error) {
		if err != nil {
			fmt.Println("cannot make the place:", err)
			os.Exit(0)
		}
	}
	switch place {
	case "no BTF": // in a mount namespace of its own
		fail(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		fail(unix.Mount("none", "/sys/kernel/btf", "tmpfs", 0, ""))
	case "no CAP_BPF":
		fail(dropCapabilities(unix.CAP_BPF, unix.CAP_SYS_ADMIN))
	case "no CAP_SYS_PTRACE":
		fail(dropCapabilities(unix.CAP_SYS_PTRACE))
	case "no CAP_DAC_READ_SEARCH":
		fail(dropCapabilities(unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE))
	case "no tracefs":
		if os.Getenv(droppedEnv) == "" {
			fail(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
			for _, p := range []string{"/sys/kernel/tracing", "/sys/kernel/debug"} {
				fail(unix.Mount("none", p, "tmpfs", 0, ""))
			}
		}
		fail(dropCapabilities(unix.CAP_SYS_ADMIN))
	}
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.NewExample(zap.IncreaseLevel(zap.WarnLevel))
	r, err := NewFactory().CreateTraces(context.Background(), set, defaultConfig(), consumertest.NewNop())
	fail(err)
	if err = r.Start(context.Background(), componenttest.NewNopHost()); err == nil {
		fmt.Println("started")
	} else {
		fmt.Println("error:", err)
	}
	// Shutdown after a failed Start, and again, is harmless.
	for range 2 {
		if err := r.Shutdown(context.Background()); err != nil {
			fmt.Println("shutdown:", err)
		}
	}
}

const droppedEnv = "EBPFSPAN_TEST_DROPPED"

// dropCapabilities takes them out of the bounding set of this thread and executes this program again:
// without cgo a Go program could change all its threads at once, a test binary may not.
func dropCapabilities(list ...uintptr) error {
	if os.Getenv(droppedEnv) != "" {
		return nil
	}
	runtime.LockOSThread()
	for _, c := range list {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return err
		}
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), droppedEnv+"=1"))
}

// TestKernelBadPlaces: where it cannot work it does not start, and says what is missing, where, and
// what to do.
func TestKernelBadPlaces(t *testing.T) {
	bpftest.Need(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	needAdmin, err := capability.PerfEvents()
	require.NoError(t, err)
	for _, tc := range []struct {
		place string
		attr  *syscall.SysProcAttr
		want  []string
	}{
		{
			"not root", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
			[]string{"ebpf_span: BPF programs cannot be loaded", "run as root", "uid 65534 lacks CAP_PERFMON and CAP_BPF"},
		},
		{"no CAP_BPF", nil, []string{"uid 0 lacks CAP_BPF:", "run as root, or give"}},
		{
			"no BTF", &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS},
			[]string{"/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"},
		},
		{
			"no tracefs", &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}, // nor CAP_SYS_ADMIN
			[]string{"started"},
		},
		{
			"pid namespace", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID},
			[]string{"pid namespace", "hostPID"},
		},
		{
			"no CAP_SYS_PTRACE", nil,
			[]string{"CAP_SYS_PTRACE is missing", "started"},
		},
		{
			"no CAP_DAC_READ_SEARCH", nil,
			[]string{"CAP_DAC_READ_SEARCH is missing", "started"},
		},
		{"a good place", nil, []string{"started"}},
	} {
		t.Run(tc.place, func(t *testing.T) {
			bin := exe
			if tc.attr != nil && tc.attr.Credential != nil {
				bin = "/proc/self/fd/3" // the directory of the test binary may be closed to others
			}
			cmd := exec.Command(bin)
			f, err := os.Open(exe)
			require.NoError(t, err)
			defer f.Close()
			cmd.ExtraFiles = []*os.File{f}
			cmd.Env = append(os.Environ(), childEnv+"=start", "EBPFSPAN_TEST_PLACE="+tc.place)
			cmd.SysProcAttr = tc.attr
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			t.Logf("%s", out)
			for _, words := range tc.want {
				require.Contains(t, string(out), words)
			}
			if tc.place == "no tracefs" {
				require.Equal(t, needAdmin, strings.Contains(string(out), "Probes cannot be attached"))
			}
			require.NotContains(t, string(out), "shutdown:")
			require.NotContains(t, string(out), "panic")
		})
	}
}
