package javaruntime

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestInspectTasks: each thread of a pool has its task, and one only, on its stack; it is over when the program says so,
// and what is asked of another time is not answered.
func TestInspectTasks(t *testing.T) {
	bpftest.Need(t)
	const threads = 4
	for version, java := range jdks(t) {
		for _, flags := range [][]string{
			{"-XX:+UseG1GC"}, {"-XX:+UseSerialGC"}, {"-XX:+UseParallelGC"}, {"-XX:-UseCompressedOops"}, {"-Xint"}, {"-XX:TieredStopAtLevel=1"},
		} {
			t.Run(version+flags[0], func(t *testing.T) {
				t.Parallel()
				cmd := exec.Command(java, append(flags, "-Xmx128m", "testdata/Tasks.java", fmt.Sprint(threads))...)
				in, out := startPool(t, cmd)
				proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
				tasks, err := InspectTasks(proc)
				require.NoError(t, err)
				mem, err := os.Open(filepath.Join(proc, "mem"))
				require.NoError(t, err)
				defer mem.Close()
				m := &memory{file: mem}
				running := runningTasks(t, proc, m, &tasks)
				require.Len(t, running, threads)
				count, err := m.half(tasks.Collections)
				require.NoError(t, err)
				for at := range running {
					over, err := tasks.Done(mem, at, count)
					require.NoError(t, err)
					require.False(t, over)
					_, err = tasks.Done(mem, at, count+1)
					require.ErrorIs(t, err, ErrMoved)
					_, err = tasks.Done(mem, at+8, count)
					require.ErrorIs(t, err, ErrMoved)
				}
				_, err = io.WriteString(in, "\n")
				require.NoError(t, err)
				line, err := out.ReadString('\n')
				require.NoError(t, err)
				require.Equal(t, "done\n", line)
				for at := range running {
					over, err := tasks.Done(mem, at, count)
					require.NoError(t, err)
					require.True(t, over)
				}
			})
		}
	}
}

// startPool starts a program that says "ready".
func startPool(t *testing.T, cmd *exec.Cmd) (io.Writer, *bufio.Reader) {
	t.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	out := bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return in, out
}

// runningTasks looks through the stacks of all threads, as bpf/javatask.bpf.h does: the tasks that name the thread on
// whose stack they are.
func runningTasks(t *testing.T, proc string, m *memory, of *Tasks) map[uint64]bool {
	t.Helper()
	base, err := library(proc)
	require.NoError(t, err)
	im, err := loadImage(&memory{file: m.file, pages: map[uint64][]byte{}}, base)
	require.NoError(t, err)
	wanted := map[string]bool{threadList: true, listLength: true, listThreads: true}
	s, err := readStructs(im, func(name string) bool { return wanted[name] })
	require.NoError(t, err)
	threads, err := readThreads(im, s, &Layout{OSThread: of.OSThread, Pthread: of.Pthread})
	require.NoError(t, err)
	out := map[uint64]bool{}
	for _, thread := range threads {
		handle, err := im.word(thread.at + uint64(of.Platform))
		require.NoError(t, err)
		self, err := im.word(handle)
		require.NoError(t, err)
		end, err := im.word(thread.at + uint64(of.StackBase))
		require.NoError(t, err)
		stack := make([]byte, 16<<10)
		require.NoError(t, im.bytes(end-uint64(len(stack)), stack))
		found := map[uint64]bool{}
		for ; len(stack) > 0; stack = stack[8:] {
			at := binary.LittleEndian.Uint64(stack)
			if at < of.Heap || at >= of.HeapEnd || at%8 != 0 {
				continue
			}
			if klass, err := im.half(at + 8); err != nil || klass != of.Klass {
				continue
			}
			runner, err := im.word(at + uint64(of.Runner))
			require.NoError(t, err)
			if of.Narrow {
				runner = of.Base + uint64(uint32(runner))<<of.Shift
			}
			if runner == self {
				found[at] = true
			}
		}
		require.LessOrEqual(t, len(found), 1)
		for at := range found {
			out[at] = true
		}
	}
	return out
}

// TestInspectTasksOfOthers: what moves objects while the program runs is refused, with the reason; a VM without the class
// of tasks is waited for.
func TestInspectTasksOfOthers(t *testing.T) {
	bpftest.Need(t)
	for version, java := range jdks(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			proc := startVM(t, java, "-XX:+UseZGC")
			_, err := InspectTasks(proc)
			require.ErrorContains(t, err, "collector")
			require.NotErrorIs(t, err, ErrNotReady)
			if version > "24" {
				_, err = InspectTasks(startVM(t, java, "-XX:+UseCompactObjectHeaders"))
				require.ErrorContains(t, err, "UseCompactObjectHeaders")
			}
		})
	}
	_, err := InspectTasks("/proc/self")
	require.ErrorIs(t, err, ErrNotReady)
}

// TestInspectTasksAtStart: whatever is seen of a VM that starts, and is not ready, is not taken for anything else.
func TestInspectTasksAtStart(t *testing.T) {
	bpftest.Need(t)
	for version, java := range jdks(t) {
		cmd := exec.Command(java, "-Xmx128m", "testdata/Tasks.java", "2")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
		failures := 0
		for begin := time.Now(); time.Since(begin) < time.Minute; {
			if _, err = InspectTasks(proc); err == nil || !errors.Is(err, ErrNotReady) && failures > 5 {
				break
			}
			if !errors.Is(err, ErrNotReady) {
				failures++
				t.Log(err)
			}
		}
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		require.NoError(t, err, "Java %s", version)
	}
}
