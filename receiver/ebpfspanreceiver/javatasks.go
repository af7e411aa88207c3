//go:build linux

package ebpfspanreceiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/javaruntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
)

// awaitTasks looks for the class of tasks of thread pools until the VM has loaded it, and tells the kernel side. Without
// it a pool's thread is known by whom it wakes.
func (j *java) awaitTasks(ctx context.Context, vm *javaVM, proc string) {
	failures := 0
	giveUp := func(err error) bool {
		j.missing.note(vm.service, "which tasks the thread pools of its Java VM run")
		vm.log.Info("Which tasks the thread pools of this Java VM run cannot be read: fewer of its calls are linked", zap.Error(err))
		return true
	}
	try := func(late bool) bool {
		tasks, err := javaruntime.InspectTasks(proc)
		if errors.Is(err, javaruntime.ErrNotReady) && !late {
			return false
		}
		// The VM goes on meanwhile: what is read may have been something else.
		if failures++; err != nil && failures < javaTasksFailures {
			return false
		}
		if err != nil {
			return giveUp(err)
		}
		memory, err := os.Open(filepath.Join(proc, "mem"))
		if err != nil {
			return giveUp(err)
		}
		context.AfterFunc(ctx, func() { _ = memory.Close() })
		j.mu.Lock()
		defer j.mu.Unlock()
		if ctx.Err() != nil {
			return true
		}
		vm.learn(func(h *causality.Habits) {
			h.TaskOver = func(object uint64, collections uint32) (over, known bool) {
				over, err := tasks.Done(memory, object, collections)
				return over, err == nil
			}
		})
		vm.target = withTasks(vm.target, &tasks)
		if err := j.tracer.Java(uint32(vm.pid), vm.target); err != nil {
			return giveUp(err)
		}
		return true
	}
	if !try(false) {
		retry(ctx, javaTasksRetry, javaTasksMaxRetry, javaTasksPatience, try)
	}
}

func withTasks(t probe.JavaTarget, of *javaruntime.Tasks) probe.JavaTarget {
	t = withThreads(t, &of.Threads)
	t.Tasks = true
	t.Buffer, t.Start, t.Top, t.End = of.Buffer, of.Start, of.Top, of.End
	t.Klass, t.Runner, t.State, t.Callable = of.Klass, of.Runner, of.State, of.Callable
	t.Heap, t.HeapEnd, t.Collections, t.Collecting = of.Heap, of.HeapEnd, of.Collections, of.Collecting
	return t
}
