package capability

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	require.Equal(t, []string{"CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SETPCAP", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"},
		(DACOverride | DACReadSearch | SetPCap | SysPtrace | SysAdmin | PerfMon | BPF).Names())
	require.Equal(t, []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_41"}, (Set(1) | 1<<40 | 1<<41).Names())
	require.Empty(t, Set(0).Names())
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]Set{"CAP_BPF": BPF, "BPF": BPF, "CAP_CHOWN": 1, "SYS_ADMIN": SysAdmin} {
		got, err := Named(name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	for _, name := range []string{"", "CAP_", "bpf", "CAP_CAP_BPF", "CAP_41"} {
		_, err := Named(name)
		require.ErrorIs(t, err, ErrUnknown, name)
	}
}

func TestHas(t *testing.T) {
	require.True(t, (BPF | PerfMon).Has(BPF|PerfMon))
	require.False(t, BPF.Has(BPF|PerfMon))
	require.True(t, Set(0).Has(0))
}
