package probe

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// TestKernelForked: the end of a process says of which selected one it was forked, and when, while it runs its program.
func TestKernelForked(t *testing.T) {
	tr, rec := startTracer(t)
	sh := start(t, exec.Command("sh", "-c", `
		read go; (:) & echo $!; wait
		read go; ( (:) & echo $!; wait ) & wait
		read go; (exec sh -c "(:) & echo \$\$ \$!; wait") & wait
		read go`))
	shell := uint32(sh.pid)
	require.NoError(t, tr.Select(shell, Target{}))
	step := func() (pids []uint32) {
		sh.say(t)
		for _, field := range strings.Fields(sh.line(t)) {
			pid, err := strconv.Atoi(field)
			require.NoError(t, err)
			pids = append(pids, uint32(pid))
		}
		return pids
	}
	exit := func(pid uint32) (e event.Process) {
		require.Eventually(t, func() bool {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			for _, e = range rec.processes {
				if e.Tgid == pid && e.What == event.Exit {
					return true
				}
			}
			return false
		}, 10*time.Second, time.Millisecond)
		return e
	}
	sinceBoot := func() uint64 {
		var ts unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts))
		return uint64(ts.Nano())
	}

	before := sinceBoot()
	child := exit(step()[0])
	after := sinceBoot()
	require.Equal(t, shell, child.Ppid)
	require.Greater(t, child.Ts, before)
	require.Less(t, child.Ts, after)

	grandchild := exit(step()[0])
	require.Equal(t, shell, grandchild.Ppid, "what it was forked from is not selected by itself")
	require.Greater(t, grandchild.Ts, after)

	other := step()
	require.Zero(t, exit(other[0]).Ppid, "it ran another program")
	require.Equal(t, other[0], exit(other[1]).Ppid, "of which nobody knows anything")
}
