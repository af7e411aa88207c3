package process

import (
	"bufio"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// A process with one thread in epoll_wait and one that sleeps has one event loop.
func TestEventLoops(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		bpftest.Lacks(t, "python3")
	}
	cmd := exec.Command(python, "-c", `
import select, sys, threading, time
def loop():
    e = select.epoll()
    print(threading.get_native_id(), flush=True)
    e.poll(60)
threading.Thread(target=loop, daemon=True).start()
sys.stdin.readline()
`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	r := NewReader("/proc", Host{})
	require.Eventually(t, func() bool {
		loops, err := r.EventLoops(cmd.Process.Pid)
		return err == nil && len(loops) == 1 && loops[0] != cmd.Process.Pid
	}, 10*time.Second, 10*time.Millisecond)
	_, err = r.EventLoops(1 << 30)
	require.Error(t, err)
}
