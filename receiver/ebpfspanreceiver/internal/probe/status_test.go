package probe

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// What a hook that is not there costs is said where links need it, and a program could have used it.
func TestStatusOfAHook(t *testing.T) {
	broken := errors.New("no memory")
	for name, tc := range map[string]struct {
		hook  hook
		err   error
		state State
		links string
	}{
		"there":                      {hook{links: true, without: "calls are lost"}, nil, Attached, ""},
		"links need it":              {hook{links: true, without: "calls are lost"}, broken, Failed, "calls are lost"},
		"may not be had":             {hook{links: true, without: "calls are lost"}, fmt.Errorf("attach: %w", os.ErrPermission), Forbidden, "calls are lost"},
		"nothing here can do that":   {hook{links: true, without: "calls are lost"}, os.ErrNotExist, Unsupported, ""},
		"links do not need it":       {hook{without: "bytes are lost"}, broken, Failed, ""},
		"nothing is missing without": {hook{}, broken, Failed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.hook.status(tc.err)
			require.Equal(t, tc.state, s.State)
			require.Equal(t, tc.links, s.Links)
			require.ErrorIs(t, s.Err, tc.err)
			if tc.err != nil {
				require.ErrorContains(t, s.Err, tc.hook.without)
			}
		})
	}
	needed := 0
	for _, h := range hooks {
		if h.links {
			needed++
			require.NotEmpty(t, h.without, h)
		}
	}
	require.Equal(t, 9, needed)
}

// What keeps the processes of other users from being described is named, and nothing that does not.
func TestLacksToReadProcesses(t *testing.T) {
	for want, given := range map[string]capability.Set{
		"":                                       capability.SysPtrace | capability.DACReadSearch,
		"CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE": capability.BPF | capability.PerfMon | capability.SysAdmin,
		"CAP_SYS_PTRACE":                         capability.DACOverride, // it reads what the mode does not let
		"CAP_DAC_READ_SEARCH":                    capability.SysPtrace,
	} {
		require.Equal(t, want, lacksToReadProcesses(given))
	}
}
