package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A copied interpreter shares no file with the original that the receiver puts probes into: those of contexts and of
// queues.
func TestPythonApart(t *testing.T) {
	const mapped = `import _queue, _socket, sys
assert sys.argv[1:] == ["shape"], sys.argv
import asyncio
names = {line[line.index("/"):-1] for line in open("/proc/self/maps") if "/" in line}
print("\n".join(n for n in names if "/bin/" in n or "/libpython3." in n or "/lib-dynload/" in n))`
	tested := 0
	for _, home := range []string{"", "/usr"} {
		w := &workload{home: home}
		python, err := findPython(t.Context(), w)
		if err == nil {
			_, err = exec.LookPath(python)
		}
		if err != nil {
			t.Logf("not here: %v", err)
			continue
		}
		tested++
		b := &builder{dir: t.TempDir(), built: map[string]command{}}
		c, err := b.copied(t.Context(), &pythonLanguage, command{args: []string{python, "-c", mapped, "shape"}})
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), c.args[0], c.args[1:]...)
		cmd.Env = append(cmd.Environ(), c.env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		files := strings.Split(strings.TrimSpace(string(out)), "\n")
		require.NotEmpty(t, files)
		for _, f := range files {
			require.Contains(t, f, b.dir, "%s runs it too", python)
		}
		t.Logf("%s: %d files of its own", python, len(files))
	}
	if tested == 0 {
		t.Skip("needs python3")
	}
}
