package capability

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The numbers are the kernel's.
func TestNumbers(t *testing.T) {
	for c, want := range map[Set]int{
		DACOverride: unix.CAP_DAC_OVERRIDE, DACReadSearch: unix.CAP_DAC_READ_SEARCH, SetPCap: unix.CAP_SETPCAP,
		SysPtrace: unix.CAP_SYS_PTRACE, SysAdmin: unix.CAP_SYS_ADMIN, PerfMon: unix.CAP_PERFMON, BPF: unix.CAP_BPF,
	} {
		require.Equal(t, Set(1)<<want, c)
	}
	require.Equal(t, "CHECKPOINT_RESTORE", names[unix.CAP_CHECKPOINT_RESTORE])
	require.Len(t, names, unix.CAP_LAST_CAP+1)
}

// status is /proc/<pid>/status of a thread with these sets, with lines before and behind them.
func status(inh, prm, eff, bnd Set) string {
	hex := func(s Set) string { return strconv.FormatUint(uint64(s), 16) }
	return "Name:\tcollector\nCapInh:\t" + hex(inh) + "\nCapPrm:\t" + hex(prm) + "\nCapEff:\t" + hex(eff) + "\nCapBnd:\t" + hex(bnd) +
		"\nCapAmb:\t0\nNoNewPrivs:\t0\n"
}

// Threads that differ are told: to change them alike would end the program.
func TestThreads(t *testing.T) {
	dir := t.TempDir()
	add := func(tid, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, tid), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, tid, "status"), []byte(text), 0o600))
	}
	_, err := OfThreads(dir)
	require.ErrorContains(t, err, "no thread")
	add("1", status(1, BPF|PerfMon, BPF, ^Set(0)))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "2"), 0o700)) // has just ended
	add("3", status(1, BPF|PerfMon, BPF, ^Set(0)))
	got, err := OfThreads(dir)
	require.NoError(t, err)
	require.Equal(t, Sets{1, BPF | PerfMon, BPF, ^Set(0)}, got)
	add("4", status(1, BPF|PerfMon, BPF, 0))
	_, err = OfThreads(dir)
	require.ErrorIs(t, err, ErrUneven)
	add("4", "Name:\tcollector\nCapInh:\t0\n")
	_, err = OfThreads(dir)
	require.ErrorContains(t, err, "1 of the 4")
	add("4", status(1, BPF, BPF, 0)+"CapEff:\tmany\n")
	_, err = OfThreads(dir)
	require.ErrorContains(t, err, "CapEff")
	_, err = OfThreads(filepath.Join(dir, "5"))
	require.Error(t, err)
}

// What is done without a capability is done by one thread, and no thread keeps what that was given.
func TestWithout(t *testing.T) {
	before, err := OfThreads("/proc/self/task")
	require.NoError(t, err)
	var within Set
	less := before.Effective & (SysAdmin | BPF | SetPCap)
	failed := errors.New("what it was for")
	require.ErrorIs(t, Without(less, func() error {
		within, err = Effective()
		require.NoError(t, err)
		return failed
	}), failed)
	require.Equal(t, before.Effective&^less, within)
	for range 100 {
		require.NoError(t, Without(less, func() error { return nil }))
	}
	after, err := OfThreads("/proc/self/task")
	require.NoError(t, err)
	require.Equal(t, before, after)
}
