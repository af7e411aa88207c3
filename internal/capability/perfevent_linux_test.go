package capability

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

const paranoid = "/proc/sys/kernel/perf_event_paranoid"

// TestKernelPerfEvents: at the values that Linux knows CAP_PERFMON is enough, at those of distributions it may not be. That
// what PerfEvents says of these is true is seen where a receiver without CAP_SYS_ADMIN attaches probes.
func TestKernelPerfEvents(t *testing.T) {
	bpftest.Need(t)
	b, err := os.ReadFile(paranoid)
	require.NoError(t, err)
	before, err := strconv.Atoi(strings.TrimSpace(string(b)))
	require.NoError(t, err)
	needAdmin, err := PerfEvents()
	require.NoError(t, err)
	t.Logf("kernel.perf_event_paranoid is %d, CAP_SYS_ADMIN is needed: %v", before, needAdmin)
	if before <= 2 {
		require.False(t, needAdmin)
		return
	}
	if os.Getenv("KERNEL_TEST_GUEST") == "" {
		return // this machine's settings are not a test's
	}
	t.Cleanup(func() { require.NoError(t, os.WriteFile(paranoid, b, 0)) })
	require.NoError(t, os.WriteFile(paranoid, []byte("2"), 0))
	needAdmin, err = PerfEvents()
	require.NoError(t, err)
	require.False(t, needAdmin)
}
