//go:build linux

package ebpfspanreceiver

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/javaruntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// A VM that was just started is looked at again until it can be read: until then it serves nothing.
const (
	javaRetry    = 50 * time.Millisecond
	javaMaxRetry = time.Second
	javaPatience = 5 * time.Minute
	// javaEmbedded is how long after its start a native program is believed to load a VM.
	javaEmbedded      = 30 * time.Second
	javaEmbeddedRetry = 500 * time.Millisecond
	// A VM loads the class of tasks when the first pool gets one, which may be long after its start.
	javaTasksRetry    = 20 * time.Millisecond
	javaTasksMaxRetry = 30 * time.Second
	javaTasksPatience = 24 * time.Hour
	javaTasksFailures = 8
)

// java tells the kernel side how to read which virtual thread runs on a thread of a Java VM.
type java struct {
	tracer  *probe.Tracer
	log     *zap.Logger
	counts  *javaCounts
	missing *missing

	mu    sync.Mutex // guards vms, and what is done with the kernel side for one
	vms   map[int]*javaVM
	tries sync.WaitGroup
}

// javaVM is a selected process with a Java VM.
type javaVM struct {
	pid      int
	service  string
	log      *zap.Logger
	stop     context.CancelFunc
	readable bool
	target   probe.JavaTarget // as the kernel side was told
	learn    func(set func(*causality.Habits))
}

func newJava(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	return &java{tracer: t, log: log, counts: &counts.java, missing: &counts.missing, vms: map[int]*javaVM{}}
}

// use reads p's VM, now or as soon as it is ready.
func (j *java) use(p *process.Process, target *target) {
	proc := filepath.Dir(p.ExeFile())
	j.drop(p.PID)
	here := p.Runtime == process.RuntimeJava || javaruntime.Mapped(proc)
	if !here && (p.Runtime != process.RuntimeUnknown || time.Since(p.Started) > javaEmbedded) {
		return
	}
	target.Java = here
	j.mu.Lock()
	defer j.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	vm := &javaVM{
		pid: p.PID, service: p.ServiceName, stop: stop, learn: target.tell,
		log: j.log.With(zap.String("executable", p.Exe), zap.Int("pid", p.PID)),
	}
	j.vms[p.PID] = vm
	if !here {
		j.tries.Go(func() { j.watch(ctx, vm, proc) })
		return
	}
	found := lookAtVM(proc)
	if found.ready() {
		if j.tell(vm, &found) {
			j.tries.Go(func() { j.awaitTasks(ctx, vm, proc) })
		}
		return
	}
	j.tries.Go(func() { j.await(ctx, vm, proc) })
}

// foundVM is what can be read of a VM.
type foundVM struct {
	layout    javaruntime.Layout
	layoutErr error
	waits     javaruntime.Waits
	waitsErr  error
}

func lookAtVM(proc string) (f foundVM) {
	f.layout, f.layoutErr = javaruntime.Inspect(proc)
	if !errors.Is(f.layoutErr, javaruntime.ErrNotReady) {
		f.waits, f.waitsErr = javaruntime.InspectWaits(proc)
	}
	return f
}

func (f *foundVM) ready() bool {
	return !errors.Is(f.layoutErr, javaruntime.ErrNotReady) && !errors.Is(f.waitsErr, javaruntime.ErrNotReady)
}

// watch waits for a program that is not called java to load a VM, as the launchers of daemons do. Until
// then its threads are taken for what serves.
func (j *java) watch(ctx context.Context, vm *javaVM, proc string) {
	for end := time.Now().Add(javaEmbedded); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(javaEmbeddedRetry):
		}
		if !javaruntime.Mapped(proc) {
			continue
		}
		j.mu.Lock()
		var err error
		if ctx.Err() == nil {
			err = j.tracer.FoundJava(uint32(vm.pid))
		}
		j.mu.Unlock()
		if err != nil {
			vm.log.Warn("Its virtual threads are taken for threads: links may be wrong", zap.Error(err))
			return
		}
		j.await(ctx, vm, proc)
		return
	}
}

// await looks at a VM that starts until it can be read, or is not selected any more.
func (j *java) await(ctx context.Context, vm *javaVM, proc string) {
	told := false
	retry(ctx, javaRetry, javaMaxRetry, javaPatience, func(late bool) bool {
		found := lookAtVM(proc)
		if !found.ready() && !late {
			return false
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if ctx.Err() == nil {
			if late && found.layoutErr != nil {
				j.counts.NeverReady.Add(1)
			}
			told = j.tell(vm, &found)
		}
		return true
	})
	if told {
		j.awaitTasks(ctx, vm, proc)
	}
}

// tell passes on what was found, and says whether the threads of the VM can be told apart. The caller holds mu.
func (j *java) tell(vm *javaVM, found *foundVM) bool {
	l := found.layout
	t := javaTarget(l)
	switch {
	case found.layoutErr != nil:
		j.counts.Unreadable.Add(1)
		j.missing.note(vm.service, "what runs on the threads of its Java VM")
		vm.log.Warn("The threads of this Java VM cannot be told from its virtual threads: its spans are made, its calls are not "+
			"linked to its requests", zap.Error(found.layoutErr))
		t = probe.JavaTarget{Threads: probe.JavaUnreadable}
	case l.Objects != nil && l.Objects.Hidden != "":
		j.counts.Unreadable.Add(1)
		j.missing.note(vm.service, "the virtual threads of its Java VM")
		vm.log.Warn("The virtual threads of this Java VM cannot be told from each other: what they call is not linked to their requests",
			zap.String("reason", l.Objects.Hidden))
	case l.Virtual:
		vm.readable = true
	}
	if t.Threads != probe.JavaUnreadable {
		t = j.withWaits(vm, t, found)
	}
	vm.target = t
	if err := j.tracer.Java(uint32(vm.pid), t); err != nil {
		t.Threads = probe.JavaUnreadable
		j.missing.note(vm.service, "what runs on the threads of its Java VM")
		vm.log.Warn("A Java VM cannot be noted: its calls are not linked to its requests", zap.Error(err))
		vm.readable = false
	}
	if vm.readable {
		j.counts.Readable.Add(1)
	}
	return t.Threads != probe.JavaUnreadable
}

// withWaits adds how to read what a thread waits for, without which a wake-up may be by a lock.
func (j *java) withWaits(vm *javaVM, t probe.JavaTarget, found *foundVM) probe.JavaTarget {
	if err := found.waitsErr; err != nil {
		j.missing.note(vm.service, "what the threads of its Java VM wait for")
		vm.log.Warn("What the threads of this Java VM wait for cannot be read: who is woken by another thread is not believed to "+
			"have waited for its call", zap.Error(err))
		return t
	}
	w := &found.waits
	t = withThreads(t, &w.Threads)
	t.Waits = true
	t.Monitor, t.Blocker, t.Thread, t.Name, t.Body = w.Monitor, w.Blocker, w.Thread, w.Name, w.Body
	t.Colored, t.Moving = w.Colored, w.Moving
	t.ClassAt, t.ClassFrom, t.ClassBits, t.ClassShift, t.ClassBase = w.ClassAt, w.ClassFrom, w.ClassBits, w.ClassShift, w.ClassBase
	return t
}

func withThreads(t probe.JavaTarget, of *javaruntime.Threads) probe.JavaTarget {
	t.Slot, t.Current, t.OSThread, t.Pthread = of.Slot, of.Current, of.OSThread, of.Pthread
	t.Platform, t.StackBase, t.Direct = of.Platform, of.StackBase, of.Direct
	t.Narrow, t.Shift, t.Base = of.Narrow, of.Shift, of.Base
	return t
}

func javaTarget(l javaruntime.Layout) probe.JavaTarget {
	if !l.Virtual {
		return probe.JavaTarget{Threads: probe.JavaPlatform}
	}
	t := probe.JavaTarget{
		Threads: probe.JavaVirtual, Slot: l.Slot, Current: l.Current, OSThread: l.OSThread, Pthread: l.Pthread,
		Continuation: l.Continuation, Owner: l.Owner,
	}
	if o := l.Objects; o != nil {
		t.Threads = probe.JavaObjects
		t.Mounted, t.Platform, t.ID, t.Carrier = o.Mounted, o.Platform, o.ID, o.Carrier
		t.Narrow, t.Shift, t.Base = o.Narrow, o.Shift, o.Base
	}
	return t
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
	j.forget(vm)
}

func (j *java) forget(vm *javaVM) {
	vm.stop()
	if vm.readable {
		j.counts.Readable.Add(-1)
	}
	if err := j.tracer.ForgetJava(uint32(vm.pid)); err != nil {
		j.log.Warn("A Java VM cannot be forgotten", zap.Error(err))
	}
}

// close ends every attempt.
func (j *java) close() {
	j.mu.Lock()
	for _, vm := range j.vms {
		j.forget(vm)
	}
	clear(j.vms)
	j.mu.Unlock()
	j.tries.Wait()
}
