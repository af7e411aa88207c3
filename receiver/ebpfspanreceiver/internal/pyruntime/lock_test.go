package pyruntime

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// twoThreads of Python take its lock from each other. It prints where the variable is, which is in the library of the
// interpreter, or in itself.
const twoThreads = `
import ctypes, threading
def compute():
    while True:
        pass
threading.Thread(target=compute).start()
try:
    print(hex(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))), flush=True)
except ValueError:
    print("none", flush=True)
compute()
`

// TestLock: where the lock is found in the files of an interpreter, its threads wait for each other.
func TestLock(t *testing.T) {
	var found []string
	for _, pattern := range []string{"/usr/bin/python3.[0-9]*", "/root/.pyenv/versions/3.*/bin/python3"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, f := range files {
			if real, err := filepath.EvalSymlinks(f); err == nil && exec.Command(real, "-c", "import ctypes").Run() == nil {
				found = append(found, real)
			}
		}
	}
	if len(found) == 0 {
		bpftest.Lacks(t, "CPython")
	}
	for _, python := range found {
		t.Run(python, func(t *testing.T) {
			cmd := exec.Command(python, "-c", twoThreads)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer func() {
				require.NoError(t, cmd.Process.Kill())
				require.Error(t, cmd.Wait())
			}()
			var says string
			_, err = fmt.Fscan(bufio.NewReader(out), &says)
			require.NoError(t, err)

			proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
			exe, err := os.Readlink(proc + "/exe")
			require.NoError(t, err)
			files, err := Find(proc+"/maps", "/", exe)
			require.NoError(t, err)
			name, at := exe, files.ExecutableAt
			if files.Library != "" {
				name, at = files.Library, files.LibraryAt
			}
			lock, err := Lock(name)
			if says == "none" { // before 3.7
				require.ErrorIs(t, err, ErrNotPython)
				return
			}
			require.NoError(t, err)
			require.NotZero(t, at)
			require.Equal(t, says, fmt.Sprintf("%#x", at+lock.Offset))
			for range 10 {
				require.Less(t, sleepsAt(t, proc)-at-lock.Offset, lock.Size)
			}
			if files.Library != "" {
				_, err = Lock(exe)
				require.ErrorIs(t, err, ErrNotPython)
			}
		})
	}
}

// sleepsAt is the address at which a thread of a process sleeps in futex(2): /proc/<pid>/task/<tid>/syscall, proc(5).
func sleepsAt(t *testing.T, proc string) uint64 {
	t.Helper()
	const futex = "202"
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		threads, err := filepath.Glob(proc + "/task/*/syscall")
		require.NoError(t, err)
		for _, file := range threads {
			b, err := os.ReadFile(file)
			fields := strings.Fields(string(b))
			if err != nil || len(fields) < 2 || fields[0] != futex {
				continue
			}
			at, err := strconv.ParseUint(fields[1], 0, 64)
			require.NoError(t, err)
			return at
		}
	}
	t.Fatal("no thread sleeps in futex(2)")
	return 0
}
