package javaruntime

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestInspectWaits: of each VM, however its objects are made and collected, the thread that waits to enter a monitor is
// found, and what those are parked for that wait for a lock and for a task.
func TestInspectWaits(t *testing.T) {
	bpftest.Need(t)
	for version, java := range jdks(t) {
		options := []string{
			"-XX:+UseG1GC", "-XX:+UseZGC", "-XX:+UseShenandoahGC", "-XX:+UseSerialGC", "-XX:-UseCompressedOops",
			"-XX:-UseCompressedClassPointers",
		}
		if version > "24" {
			options = append(options, "-XX:+UseCompactObjectHeaders")
		}
		for _, option := range options {
			t.Run(version+option, func(t *testing.T) {
				t.Parallel()
				proc := startWaits(t, java, option)
				var w Waits
				require.EventuallyWithT(t, func(c *assert.CollectT) {
					var err error
					w, err = InspectWaits(proc)
					require.NoError(c, err)
				}, 10*time.Second, 20*time.Millisecond)
				want := map[string]int{
					"": 1, // the monitor
					"java/util/concurrent/locks/ReentrantLock$NonfairSync":                  1,
					"java/util/concurrent/locks/AbstractQueuedSynchronizer$ConditionObject": 1,
				}
				require.EventuallyWithT(t, func(c *assert.CollectT) {
					found, err := waitsOf(proc, &w)
					require.NoError(c, err)
					require.Subset(c, found, want)
					if !w.Moving {
						require.Len(c, found, len(want))
					}
				}, 10*time.Second, 50*time.Millisecond)
			})
		}
	}
}

// startWaits runs testdata/Waits.java until the test ends.
func startWaits(t *testing.T, java string, option string) (proc string) {
	t.Helper()
	cmd := exec.Command(java, option, "-Xmx128m", "testdata/Waits.java")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = fmt.Fprintln(in, 0)
	require.NoError(t, err)
	lines := bufio.NewScanner(out)
	for lines.Scan() { // the VM may warn first
		if _, err := fmt.Sscan(lines.Text(), new(int)); err == nil {
			return fmt.Sprintf("/proc/%d", cmd.Process.Pid)
		}
	}
	require.Fail(t, "it has not printed its port")
	return ""
}

// waitsOf says how many threads wait for what, by the names of classes, "" for a monitor: as bpf/javawaits.bpf.h does.
func waitsOf(proc string, w *Waits) (map[string]int, error) {
	out := map[string]int{}
	err := withReader(proc, nil, func(r *reader) error {
		_, threads, err := r.threads()
		if err != nil {
			return err
		}
		for _, thread := range threads {
			if r.word(thread.at+uint64(w.Monitor)) != 0 {
				out[""]++
				continue
			}
			self := r.word(r.word(thread.at + uint64(w.Platform)))
			if w.Colored {
				if self, err = Uncolored(self); err != nil {
					return err
				}
			}
			if w.Moving && r.word(self+uint64(w.Thread)) != thread.at {
				continue
			}
			blocker := r.word(self + uint64(w.Blocker))
			if w.Narrow {
				blocker &= 1<<32 - 1
			}
			if blocker == 0 {
				continue
			}
			if w.Narrow {
				blocker = w.Base + blocker<<w.Shift
			}
			if w.Colored {
				if blocker, err = Uncolored(blocker); err != nil {
					continue
				}
			}
			name, err := r.symbol(r.word(w.class(r.word(blocker+uint64(w.ClassAt))) + r.s[className].offset))
			if w.Moving && (err != nil || r.err != nil) {
				r.err = nil
				continue
			}
			if err != nil {
				return err
			}
			out[name]++
		}
		return r.err
	})
	return out, err
}

// TestOlderThreads: before JDK 10 threads are linked, and before JDK 16 they refer to their objects themselves. No such VM
// is here; memory of the test stands for it.
func TestOlderThreads(t *testing.T) {
	mem, err := os.Open("/proc/self/mem")
	require.NoError(t, err)
	defer mem.Close()
	const class = 0x1234
	type object struct{ _, class uint64 }
	type javaThread struct{ next, object uint64 }
	address := func(p any) uint64 { return uint64(reflect.ValueOf(p).Pointer()) }
	objects := [3]*object{{}, {}, {class: class}}
	threads := [3]*javaThread{}
	first := new(uint64)
	for i := range threads {
		threads[i] = &javaThread{next: *first, object: address(objects[i])}
		*first = address(threads[i])
	}
	im := &image{memory: &memory{file: mem, pages: map[uint64][]byte{}}}
	s := structs{firstThread: {address: address(first), static: true}, nextThread: {offset: 0}}
	listed, err := linkedThreads(im, s)
	require.NoError(t, err)
	require.Equal(t, []uint64{address(threads[2]), address(threads[1]), address(threads[0])}, listed)

	w := plainHead
	w.Platform = 8
	r := &reader{classes: classes{im: im}}
	var all []thread
	for _, at := range listed {
		all = append(all, thread{at: at})
	}
	require.False(t, r.finds(&w, all, class))
	w.Direct = true
	require.True(t, r.finds(&w, all, class))
	require.False(t, r.finds(&w, all[1:], class))
	runtime.KeepAlive(threads)
	runtime.KeepAlive(objects)
}
