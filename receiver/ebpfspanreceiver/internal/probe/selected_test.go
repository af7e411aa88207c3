package probe

import (
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKernelSelected: the byte of a process follows it, and its child, to their ends.
func TestKernelSelected(t *testing.T) {
	tr, _ := startTracer(t)
	is := func(pid int) bool {
		var b [1]byte
		_, err := tr.selected.memory.ReadAt(b[:], int64(pid))
		require.NoError(t, err)
		return b[0] != 0
	}
	sh := start(t, exec.Command("sh", "-c", `read go; sleep 60 & echo $!; read go; kill $!; wait; echo killed; read go`))
	step := func() string {
		sh.say(t)
		return sh.line(t)
	}
	shell := sh.pid
	require.False(t, is(shell))
	require.NoError(t, tr.Select(uint32(shell), Target{}))
	require.True(t, is(shell))
	child, err := strconv.Atoi(step())
	require.NoError(t, err)
	require.True(t, is(child), "it is selected as its parent is")
	require.Equal(t, "killed", step())
	require.Eventually(t, func() bool { return !is(child) }, 10*time.Second, time.Millisecond)
	require.True(t, is(shell))
	require.NoError(t, tr.Deselect(uint32(shell)))
	require.False(t, is(shell))
}

// TestHooked: what has a program is let through.
func TestHooked(t *testing.T) {
	begins, ends := hooked(syscallEntry), hooked(syscallExit)
	require.EqualValues(t, 1, begins[syscallNumbers["write"]])
	require.EqualValues(t, 1, ends[syscallNumbers["read"]])
	require.Zero(t, begins[syscallNumbers["read"]], "a read is looked at when it ends")
}
