package mapped

import (
	"fmt"
	"io"
	"os"
	"os/exec"
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
00400000-00600000 r-xp 00400000 fe:00 1                  /as it lies in the file
00800000-00a00000 r-xp 00a00000 fe:00 1                  /as it lies in the file
`
	want := []Part{
		{0x55d0, 0x55e0, 0, "/usr/sbin/haproxy"},
		{0x55e0, 0x55f0, 0x1000, "/usr/sbin/haproxy"},
		{0x9000, 0xa000, 0xf000, "/a directory/with (brackets)"},
		{0x400000, 0x600000, 0x400000, "/as it lies in the file"},
		{0x800000, 0xa00000, 0xa00000, "/as it lies in the file"},
	}
	name := write(t, maps)
	for n := 1; n <= len(want); n++ {
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

// TestExecutable: of a process whose executable has been replaced, too.
func TestExecutable(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	data, err := os.ReadFile(exe)
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(other, data, 0o755))
	cmd := exec.Command(other, "-test.run", "^TestChild$")
	cmd.Env = append(os.Environ(), child+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { in.Close(); _ = cmd.Wait() }()
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
	base, err := Executable(proc)
	require.NoError(t, err)
	require.NotZero(t, base)
	require.NoError(t, os.Remove(other))
	again, err := Executable(proc)
	require.NoError(t, err)
	require.Equal(t, base, again)
}

const child = "MAPPED_TEST_CHILD"

// TestChild is a process that waits until its standard input ends.
func TestChild(t *testing.T) {
	if os.Getenv(child) == "" {
		t.Skip("it is started by TestExecutable")
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
