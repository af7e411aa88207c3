package javaruntime

import (
	"errors"
	"fmt"
	"os"
)

// Tasks says how to read which task a thread of a pool runs, a java.util.concurrent.FutureTask, and where a thread
// makes its objects, in bytes. What is read holds until garbage is collected next.
type Tasks struct {
	Threads
	// Buffer, in which a thread makes objects, in JavaThread. Start, Top and End in a buffer.
	Buffer, Start, Top, End uint32
	// Klass is the class as an object refers to it. State, Runner and Callable are in such an object.
	Klass, State, Runner, Callable uint32
	// Objects lie from Heap to HeapEnd.
	Heap, HeapEnd uint64
	// Collections is the address of how often garbage was collected, Collecting that of whether it is being.
	Collections, Collecting uint64
}

// ErrMoved: garbage was collected since, or is being, and an address may be of anything.
var ErrMoved = errors.New("objects were moved")

const (
	collectedHeap = "Universe::_collectedHeap"
	reserved      = "CollectedHeap::_reserved"
	collections   = "CollectedHeap::_total_collections"
	collecting    = "CollectedHeap::_is_stw_gc_active"
	oldCollecting = "CollectedHeap::_is_gc_active" // before JDK 23
	tlab          = "Thread::_tlab"
	tlabStart     = "ThreadLocalAllocBuffer::_start"
	tlabTop       = "ThreadLocalAllocBuffer::_top"
	tlabEnd       = "ThreadLocalAllocBuffer::_end"
	objectClass   = "vmClasses::_klasses[static_cast<int>(vmClassID::Object_klass_knum)]"
	futureTask    = "java/util/concurrent/FutureTask"
	// taskState is how far a FutureTask is: 0 until it has its result, then 1 for a moment, then more.
	taskState = "state"
	taskDone  = 2
	// copied is how many bytes of a structure or an object the kernel side looks at: JAVA_COPY of bpf/javatask.bpf.h.
	copied = 64
)

var taskNames = []string{
	collectedHeap, reserved, collections, collecting, tlab, tlabStart, tlabTop, tlabEnd, objectClass, subclass, sibling,
}

// InspectTasks reads the VM of a process, given by its directory in procfs. ErrNotReady: it starts, or has not loaded
// the class of tasks yet.
func InspectTasks(proc string) (t Tasks, err error) {
	err = withReader(proc, taskNames, func(r *reader) error {
		t, err = readTasks(r)
		return err
	})
	return t, err
}

func readTasks(r *reader) (Tasks, error) {
	switch {
	case !r.flags["UseG1GC"] && !r.flags["UseParallelGC"] && !r.flags["UseSerialGC"]:
		return Tasks{}, errors.New("its collector moves objects while the program runs: G1, Parallel and Serial do not")
	case r.flags["UseCompactObjectHeaders"]:
		return Tasks{}, errors.New("where an object has its class with UseCompactObjectHeaders is not known")
	}
	if narrowed, known := r.flags["UseCompressedClassPointers"]; known && !narrowed {
		return Tasks{}, errors.New("it runs without UseCompressedClassPointers")
	}
	heap := r.word(r.s[collectedHeap].address)
	if heap == 0 {
		return Tasks{}, ErrNotReady
	}
	var t Tasks
	region := heap + r.s[reserved].offset // a MemRegion: where it begins, and how many words it has
	t.Heap = r.word(region)
	t.HeapEnd = t.Heap + 8*r.word(region+8)
	t.Collections, t.Collecting = heap+r.s[collections].offset, heap+r.s[collecting].offset
	t.Buffer = uint32(r.s[tlab].offset)
	t.Start, t.Top, t.End = uint32(r.s[tlabStart].offset), uint32(r.s[tlabTop].offset), uint32(r.s[tlabEnd].offset)
	if max(t.Start, t.Top, t.End) > copied-8 {
		return Tasks{}, fmt.Errorf("an allocation buffer has its bounds at %d, %d and %d", t.Start, t.Top, t.End)
	}
	if r.err != nil {
		return Tasks{}, r.err
	}
	if t.Heap == 0 || t.Heap >= t.HeapEnd || t.HeapEnd >= 1<<47 {
		return Tasks{}, fmt.Errorf("%w: its heap is from %#x to %#x", ErrNotReady, t.Heap, t.HeapEnd)
	}
	threads, list, err := r.threads()
	if err != nil {
		return Tasks{}, err
	}
	t.Threads = threads
	if err := r.buffers(&t, list); err != nil {
		return Tasks{}, err
	}
	return t, r.class(&t)
}

// buffers checks that each thread has its object, and its buffer, where it should be.
func (r *reader) buffers(t *Tasks, threads []thread) error {
	plain := r.word(r.s[threadClass].address)
	base, shift := r.word(r.s[klassBase].address), r.half(r.s[klassShift].address)&31
	sound, known := 0, 0
	for _, thread := range threads {
		from, to := r.word(thread.at+uint64(t.Buffer+t.Start)), r.word(thread.at+uint64(t.Buffer+t.End))
		at := r.word(thread.at + uint64(t.Platform))
		if r.err != nil {
			return r.err
		}
		if from > to || from != 0 && (from < t.Heap || to > t.HeapEnd) || at == 0 {
			continue // it begins or ends
		}
		self := r.word(at)
		if self < t.Heap || self >= t.HeapEnd {
			continue
		}
		sound++
		if base+uint64(r.half(self+8))<<shift == plain { // the signal dispatcher is one
			known++
		}
	}
	if r.err != nil {
		return r.err
	}
	if known == 0 || 2*sound < len(threads) {
		return fmt.Errorf("%w: of %d threads %d have objects where they should, %d a java.lang.Thread", ErrNotReady, len(threads), sound, known)
	}
	return nil
}

// class finds the class of tasks, and its fields.
func (r *reader) class(t *Tasks) error {
	root := r.word(r.s[objectClass].address)
	base, shift := r.word(r.s[klassBase].address), r.half(r.s[klassShift].address)&31
	if r.err != nil {
		return r.err
	}
	if root == 0 {
		return ErrNotReady
	}
	class, err := r.find(root, futureTask)
	if err != nil {
		return err
	}
	fields, err := r.fieldsOf(class)
	if err != nil {
		return fmt.Errorf("fields of %s: %w", futureTask, err)
	}
	if err := places(fields, futureTask, copied-8, map[string]*uint32{
		taskState: &t.State, "runner": &t.Runner, "callable": &t.Callable,
	}); err != nil {
		return err
	}
	narrowed := (class - base) >> shift
	if class < base || narrowed >= 1<<32 || base+narrowed<<shift != class {
		return fmt.Errorf("class %s at %#x is out of reach from %#x", futureTask, class, base)
	}
	t.Klass = uint32(narrowed)
	return nil
}

// Done says whether a task was over that lay at object when garbage had been collected so many times. Memory is that of
// the process.
func (t *Tasks) Done(mem *os.File, object uint64, collections uint32) (bool, error) {
	m := memory{file: mem}
	if err := t.unmoved(&m, collections); err != nil {
		return false, err
	}
	state, err := m.half(object + uint64(t.State))
	if err != nil {
		return false, err
	}
	klass, err := m.half(object + 8)
	if err != nil {
		return false, err
	}
	if klass != t.Klass {
		return false, fmt.Errorf("%w: what lies at %#x is of another class", ErrMoved, object)
	}
	return state >= taskDone, t.unmoved(&m, collections)
}

func (t *Tasks) unmoved(m *memory, collections uint32) error {
	var now [1]byte
	if err := m.bytes(t.Collecting, now[:]); err != nil {
		return err
	}
	count, err := m.half(t.Collections)
	if err != nil {
		return err
	}
	if now[0] != 0 || count != collections {
		return ErrMoved
	}
	return nil
}
