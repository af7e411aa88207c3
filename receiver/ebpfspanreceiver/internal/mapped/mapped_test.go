package mapped

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, maps string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "maps")
	require.NoError(t, os.WriteFile(name, []byte(maps), 0o600))
	return name
}

func TestFiles(t *testing.T) {
	const maps = `55d0-55e0 r--p 00000000 fe:00 1 /usr/sbin/haproxy
55e0-55f0 r-xp 00001000 fe:00 1 /usr/sbin/haproxy (deleted)
7000-8000 rw-p 00000000 00:00 0
7ff0-8ff0 rw-p 00000000 00:00 0                          [heap]
9000-a000 r--s 0000f000 00:01 12                         /a directory/with (brackets)
`
	want := []Part{
		{0x55d0, 0x55e0, 0, "/usr/sbin/haproxy"},
		{0x55e0, 0x55f0, 0x1000, "/usr/sbin/haproxy"},
		{0x9000, 0xa000, 0xf000, "/a directory/with (brackets)"},
	}
	name := write(t, maps)
	for n := 1; n <= 3; n++ {
		var got []Part
		require.NoError(t, Files(name, func(p Part) bool {
			got = append(got, p)
			return len(got) < n
		}))
		require.Equal(t, want[:n], got)
	}
	require.Error(t, Files(write(t, "55x0-55e0 r--p 00000000 fe:00 1 /a\n"), func(Part) bool { return true }))
	require.ErrorIs(t, Files(name+"x", func(Part) bool { return true }), os.ErrNotExist)

	base, err := Base(name, "/usr/sbin/haproxy")
	require.NoError(t, err)
	require.EqualValues(t, 0x55d0, base)
	_, err = Base(name, "/a directory/with (brackets)")
	require.ErrorContains(t, err, "not mapped") // not from its beginning
}

func TestSelf(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	base, err := Base("/proc/self/maps", exe)
	require.NoError(t, err)
	require.NotZero(t, base)
}
