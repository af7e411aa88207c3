package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// JavaThreads says which contexts a Java VM has: enum java_threads in bpf/event.h.
type JavaThreads uint32

// Kinds of JavaThreads. The zero value: virtual threads that cannot be told apart.
const (
	JavaUnreadable = JavaThreads(bpf.SocketJavaThreadsJAVA_UNREADABLE)
	JavaPlatform   = JavaThreads(bpf.SocketJavaThreadsJAVA_PLATFORM)
	JavaVirtual    = JavaThreads(bpf.SocketJavaThreadsJAVA_VIRTUAL)
	JavaObjects    = JavaThreads(bpf.SocketJavaThreadsJAVA_OBJECTS)
)

// JavaTarget says where a Java VM keeps what is read, in bytes: struct java_target.
type JavaTarget struct {
	Threads                                               JavaThreads
	Slot, Current, OSThread, Pthread, Continuation, Owner uint32
	// Of JavaObjects, instead of the last two. ID 0: where objects are is hidden.
	Mounted, Platform, ID, Carrier uint32
	Narrow                         bool
	Shift                          uint8
	Base                           uint64
	// Tasks: which task a thread runs, and where it makes objects, is read with what follows, and with Slot to Pthread,
	// Platform, and how references are.
	Tasks                                  bool
	Klass, Runner, State, Callable         uint32
	StackBase, Buffer, Start, Top, End     uint32
	Heap, HeapEnd, Collections, Collecting uint64
	// Waits: what a thread waits for is read with what follows, and with the same as Tasks.
	Waits                                     bool
	Monitor, Blocker, Thread, Name, Body      uint32
	ClassAt, ClassFrom, ClassBits, ClassShift uint8
	ClassBase                                 uint64
	Colored, Direct, Moving                   bool
}

// Java says how the threads of a process are read that was selected as a Java VM, or is about to be.
func (t *Tracer) Java(pid uint32, j JavaTarget) error {
	v := bpf.SocketJavaTarget{
		Threads: uint32(j.Threads), Slot: j.Slot, Current: j.Current, OsThread: j.OSThread, Pthread: j.Pthread,
		Continuation: j.Continuation, Owner: j.Owner, Mounted: j.Mounted, Platform: j.Platform, Id: j.ID,
		Carrier: j.Carrier, StackBase: j.StackBase, Shift: j.Shift, Base: j.Base,
	}
	if j.Narrow {
		v.Narrow = 1
	}
	if j.Tasks {
		v.Tasks = 1
		v.Klass, v.Runner, v.State, v.Callable = j.Klass, j.Runner, j.State, j.Callable
		v.Buffer, v.Start, v.Top, v.End = j.Buffer, j.Start, j.Top, j.End
		v.Heap, v.HeapEnd, v.Collections, v.Collecting = j.Heap, j.HeapEnd, j.Collections, j.Collecting
	}
	if j.Waits {
		v.Waits = 1
		v.Monitor, v.Blocker, v.Thread, v.Name, v.Body = j.Monitor, j.Blocker, j.Thread, j.Name, j.Body
		v.ClassAt, v.ClassFrom, v.ClassBits, v.ClassShift = j.ClassAt, j.ClassFrom, j.ClassBits, j.ClassShift
		v.ClassBase = j.ClassBase
	}
	if j.Colored {
		v.Colored = 1
	}
	if j.Direct {
		v.Direct = 1
	}
	if j.Moving {
		v.Moving = 1
	}
	return noteLayout(t.objects.JavaTargets, "the Java VM", pid, v)
}

// FoundJava says that a process which is selected already turned out to have a Java VM.
func (t *Tracer) FoundJava(pid uint32) error {
	var v bpf.SocketTarget
	err := t.objects.Targets.Lookup(pid, &v)
	if err == nil {
		v.Flags |= targetJava
		err = t.objects.Targets.Update(pid, v, ebpf.UpdateExist)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("note that process %d has a Java VM: %w", pid, err)
	}
	return nil
}

// ForgetJava ends what Java said.
func (t *Tracer) ForgetJava(pid uint32) error {
	return forgetLayout(t.objects.JavaTargets, "the Java VM", pid)
}
