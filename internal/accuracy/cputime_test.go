package main

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCPUTime: a child that ends while its time is read is not left out. Between reads no time is taken back, but for the ticks
// to which a parent's sum is cut.
func TestCPUTime(t *testing.T) {
	const child = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"
	parent := exec.Command("sh", "-c", "while :; do ("+child+"); done")
	require.NoError(t, parent.Start())
	defer func() {
		_ = parent.Process.Kill()
		_ = parent.Wait()
	}()
	var before time.Duration
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
		now, err := cpuTime(parent.Process.Pid)
		require.NoError(t, err)
		require.GreaterOrEqual(t, now, before-2*tick)
		before = now
	}
	require.NotZero(t, before)
}
