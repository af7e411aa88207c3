package haproxyruntime

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestInspect: what was derived from the installed HAProxy is what its disassembly shows.
func TestInspect(t *testing.T) {
	exe, err := exec.LookPath("haproxy")
	if err != nil {
		exe = "/usr/sbin/haproxy"
	}
	if _, err := os.Stat(exe); err != nil {
		bpftest.Lacks(t, "haproxy")
	}
	l, err := Inspect(exe)
	require.NoError(t, err)
	require.NotZero(t, l.ProcessStream)
	require.Negative(t, l.TLS)
	require.EqualValues(t, 0, l.Current%8)
	t.Logf("%+v", l)
}

func TestInspectOther(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	_, err = Inspect(exe)
	require.ErrorIs(t, err, ErrOther)
}

func TestCurrent(t *testing.T) {
	call := []byte{0x41, 0xff, 0xd3}                      // call *%r11
	clear20 := []byte{0x48, 0xc7, 0x40, 0x20, 0, 0, 0, 0} // movq $0, 0x20(%rax)
	set20 := []byte{0x48, 0x89, 0x48, 0x20}               // mov %rcx, 0x20(%rax)
	clear28, set28 := []byte{0x48, 0xc7, 0x40, 0x28, 0, 0, 0, 0}, []byte{0x48, 0x89, 0x48, 0x28}
	for name, c := range map[string]struct {
		code [][]byte
		want uint64
		err  string
	}{
		"set, called, cleared":   {[][]byte{set20, call, clear20}, 0x20, ""},
		"cleared before it":      {[][]byte{set20, clear20, call}, 0, "no member"},
		"never set":              {[][]byte{set28, call, clear20}, 0, "no member"},
		"something on the stack": {[][]byte{call, {0x48, 0xc7, 0x44, 0x24, 0x20, 0, 0, 0, 0}}, 0, "no member"},
		"two":                    {[][]byte{set20, set28, call, clear20, clear28}, 0, "several"},
	} {
		t.Run(name, func(t *testing.T) {
			var code []byte
			for _, part := range c.code {
				code = append(code, part...)
			}
			got, err := current(code)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
