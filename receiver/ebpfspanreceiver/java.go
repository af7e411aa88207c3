package ebpfspanreceiver

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/javaruntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// A VM that was just started is looked at again until it can be read: until then it serves nothing.
const (
	javaRetry    = 50 * time.Millisecond
	javaMaxRetry = time.Second
	javaPatience = 5 * time.Minute
)

// java tells the kernel side how to read which virtual thread runs on a thread of a Java VM.
type java struct {
	tracer *probe.Tracer
	log    *zap.Logger
	counts *javaCounts

	mu    sync.Mutex // guards what follows, and what is done with the kernel side for a VM
	vms   map[int]*javaVM
	tries sync.WaitGroup
}

// javaVM is a selected process with a Java VM.
type javaVM struct {
	stop     context.CancelFunc
	readable bool
}

func newJava(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	return &java{tracer: t, log: log, counts: &counts.java, vms: map[int]*javaVM{}}
}

// use reads p's VM, now or as soon as it is ready.
func (j *java) use(p *process.Process, target *probe.Target) {
	proc := filepath.Dir(p.ExeFile())
	j.drop(p.PID)
	if p.Runtime != process.RuntimeJava && !javaruntime.Mapped(proc) {
		return
	}
	target.Java = true
	j.mu.Lock()
	defer j.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	vm := &javaVM{stop: stop}
	j.vms[p.PID] = vm
	log := j.log.With(zap.String("executable", p.Exe), zap.Int("pid", p.PID))
	layout, err := javaruntime.Inspect(proc)
	if !errors.Is(err, javaruntime.ErrNotReady) {
		j.tell(p.PID, vm, layout, err, log)
		return
	}
	j.tries.Go(func() { j.await(ctx, p.PID, vm, proc, log) })
}

// await looks at a VM that starts until it can be read, or is not selected any more.
func (j *java) await(ctx context.Context, pid int, vm *javaVM, proc string, log *zap.Logger) {
	pause, deadline := javaRetry, time.Now().Add(javaPatience)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		layout, err := javaruntime.Inspect(proc)
		late := time.Now().After(deadline)
		if errors.Is(err, javaruntime.ErrNotReady) && !late {
			pause = min(2*pause, javaMaxRetry)
			continue
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if ctx.Err() == nil {
			if late && err != nil {
				j.counts.NeverReady.Add(1)
			}
			j.tell(pid, vm, layout, err, log)
		}
		return
	}
}

// tell passes on what was found. The caller holds mu.
func (j *java) tell(pid int, vm *javaVM, l javaruntime.Layout, err error, log *zap.Logger) {
	t := probe.JavaTarget{Threads: probe.JavaPlatform}
	switch {
	case err != nil:
		j.counts.Unreadable.Add(1)
		log.Warn("The virtual threads of this Java VM cannot be read: its spans are made, its calls are not linked to its requests",
			zap.Error(err))
		t.Threads = probe.JavaUnreadable
	case l.Virtual:
		t = probe.JavaTarget{
			Threads: probe.JavaVirtual, Slot: l.Slot, Current: l.Current, OSThread: l.OSThread, Pthread: l.Pthread,
			Continuation: l.Continuation, Owner: l.Owner,
		}
	}
	if err := j.tracer.Java(uint32(pid), t); err != nil {
		log.Warn("A Java VM cannot be noted: its calls are not linked to its requests", zap.Error(err))
		return
	}
	if t.Threads == probe.JavaVirtual {
		vm.readable = true
		j.counts.Readable.Add(1)
	}
}

// drop says that a process is not selected any more.
func (j *java) drop(pid int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	vm := j.vms[pid]
	if vm == nil {
		return
	}
	delete(j.vms, pid)
	j.forget(pid, vm)
}

func (j *java) forget(pid int, vm *javaVM) {
	vm.stop()
	if vm.readable {
		j.counts.Readable.Add(-1)
	}
	if err := j.tracer.ForgetJava(uint32(pid)); err != nil {
		j.log.Warn("A Java VM cannot be forgotten", zap.Error(err))
	}
}

// close ends every attempt.
func (j *java) close() {
	j.mu.Lock()
	for pid, vm := range j.vms {
		j.forget(pid, vm)
	}
	clear(j.vms)
	j.mu.Unlock()
	j.tries.Wait()
}
