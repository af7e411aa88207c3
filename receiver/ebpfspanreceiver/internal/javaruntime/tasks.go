package javaruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// Tasks says how to read which task a thread of a pool runs, a java.util.concurrent.FutureTask, and where a thread
// makes its objects, in bytes. What is read holds until garbage is collected next.
type Tasks struct {
	// Slot, Current, OSThread, Pthread lead to the JavaThread of a thread, as in Layout.
	Slot, Current, OSThread, Pthread uint32
	// Platform (a handle of its java.lang.Thread), StackBase and Buffer (in which it makes objects) in it. Start, Top and
	// End in a buffer.
	Platform, StackBase, Buffer, Start, Top, End uint32
	// Klass is the class as an object refers to it. State, Runner and Callable are in such an object.
	Klass, State, Runner, Callable uint32
	// Narrow references are 32 bits wide: address = Base + reference << Shift.
	Narrow bool
	Shift  uint8
	Base   uint64
	// Objects lie from Heap to HeapEnd.
	Heap, HeapEnd uint64
	// Collections is the address of how often garbage was collected, Collecting that of whether it is being.
	Collections, Collecting uint64
}

// ErrMoved: garbage was collected since, or is being, and an address may be of anything.
var ErrMoved = errors.New("objects were moved")

const (
	collectedHeap  = "Universe::_collectedHeap"
	reserved       = "CollectedHeap::_reserved"
	collections    = "CollectedHeap::_total_collections"
	collecting     = "CollectedHeap::_is_stw_gc_active"
	oldCollecting  = "CollectedHeap::_is_gc_active" // before JDK 23
	tlab           = "Thread::_tlab"
	tlabStart      = "ThreadLocalAllocBuffer::_start"
	tlabTop        = "ThreadLocalAllocBuffer::_top"
	tlabEnd        = "ThreadLocalAllocBuffer::_end"
	stackBase      = "JavaThread::_stack_base"
	objectClass    = "vmClasses::_klasses[static_cast<int>(vmClassID::Object_klass_knum)]"
	klassOfObject  = "oopDesc::_metadata._compressed_klass"
	newNarrowBase  = "CompressedOops::_base"
	newNarrowShift = "CompressedOops::_shift"
	klassBase      = "CompressedKlassPointers::_base"
	klassShift     = "CompressedKlassPointers::_shift"
	oldKlassBase   = "CompressedKlassPointers::_narrow_klass._base"
	oldKlassShift  = "CompressedKlassPointers::_narrow_klass._shift"
	futureTask     = "java/util/concurrent/FutureTask"
	// taskState is how far a FutureTask is: 0 until it has its result, then 1 for a moment, then more.
	taskState = "state"
	taskDone  = 2
	// copied is how many bytes of a structure or an object the kernel side looks at: JAVA_COPY of bpf/javatask.bpf.h.
	copied = 64
)

var taskNames = []string{
	osThread, pthread, threadList, listLength, listThreads, platform, handle, collectedHeap, reserved, collections, collecting,
	tlab, tlabStart, tlabTop, tlabEnd, stackBase, objectClass, threadClass, klassOfObject, newNarrowBase, newNarrowShift,
	klassBase, klassShift, constants, className, subclass, sibling, symbolLength, symbolBody, flagTable, flagCount, flagName,
	flagAddress,
}

// renamed are names of older releases.
var renamed = map[string]string{
	oldOSThread: osThread, oldCollecting: collecting, narrowBase: newNarrowBase, narrowShift: newNarrowShift,
	oldKlassBase: klassBase, oldKlassShift: klassShift,
}

// InspectTasks reads the VM of a process, given by its directory in procfs. ErrNotReady: it starts, or has not loaded
// the class of tasks yet.
func InspectTasks(proc string) (Tasks, error) {
	t, err := inspectTasks(proc)
	// Its lists of threads and classes change while they are read, and may lead anywhere.
	if errors.Is(err, errNotMapped) || errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return t, err
}

func inspectTasks(proc string) (Tasks, error) {
	if runtime.GOARCH != "amd64" {
		return Tasks{}, errors.New("only on x86-64 so far")
	}
	wanted := map[string]bool{fieldStream: true, bytesData: true, oldFields: true, oldFieldCount: true, shortsData: true}
	for _, name := range taskNames {
		wanted[name] = true
	}
	for name := range renamed {
		wanted[name] = true
	}
	im, s, err := open(proc, func(name string) bool { return wanted[name] })
	if err != nil {
		return Tasks{}, err
	}
	defer im.close()
	for old, name := range renamed {
		if f, ok := s[old]; ok {
			s[name] = f
		}
	}
	if err := need(s, taskNames); err != nil {
		return Tasks{}, err
	}
	r := taskReader{classes: classes{im: im, s: s}}
	return r.read()
}

// taskReader puts Tasks together.
type taskReader struct {
	classes
	tasks Tasks
	err   error // the first that came
}

func (r *taskReader) word(at uint64) uint64 {
	v, err := r.im.word(at)
	if r.err == nil {
		r.err = err
	}
	return v
}

func (r *taskReader) half(at uint64) uint32 {
	v, err := r.im.half(at)
	if r.err == nil {
		r.err = err
	}
	return v
}

func (r *taskReader) read() (Tasks, error) {
	t := &r.tasks
	flags, err := readFlags(r.im, r.s)
	if err != nil {
		return Tasks{}, err
	}
	switch {
	case !flags["UseG1GC"] && !flags["UseParallelGC"] && !flags["UseSerialGC"]:
		return Tasks{}, errors.New("its collector moves objects while the program runs: G1, Parallel and Serial do not")
	case flags["UseCompactObjectHeaders"]:
		return Tasks{}, errors.New("where an object has its class with UseCompactObjectHeaders is not known")
	}
	if narrowed, known := flags["UseCompressedClassPointers"]; known && !narrowed {
		return Tasks{}, errors.New("it runs without UseCompressedClassPointers")
	}
	if at := r.s[klassOfObject].offset; at != 8 {
		return Tasks{}, fmt.Errorf("an object has its class at %d", at)
	}
	t.Narrow = flags["UseCompressedOops"]
	t.Base, t.Shift = r.word(r.s[newNarrowBase].address), uint8(r.half(r.s[newNarrowShift].address))
	heap := r.word(r.s[collectedHeap].address)
	if heap == 0 {
		return Tasks{}, ErrNotReady
	}
	region := heap + r.s[reserved].offset // a MemRegion: where it begins, and how many words it has
	t.Heap = r.word(region)
	t.HeapEnd = t.Heap + 8*r.word(region+8)
	t.Collections, t.Collecting = heap+r.s[collections].offset, heap+r.s[collecting].offset
	t.Buffer = uint32(r.s[tlab].offset)
	t.OSThread, t.Pthread = uint32(r.s[osThread].offset), uint32(r.s[pthread].offset)
	t.Platform, t.StackBase = uint32(r.s[platform].offset), uint32(r.s[stackBase].offset)
	t.Start, t.Top, t.End = uint32(r.s[tlabStart].offset), uint32(r.s[tlabTop].offset), uint32(r.s[tlabEnd].offset)
	if max(t.Start, t.Top, t.End) > copied-8 {
		return Tasks{}, fmt.Errorf("an allocation buffer has its bounds at %d, %d and %d", t.Start, t.Top, t.End)
	}
	if r.err != nil {
		return Tasks{}, r.err
	}
	if t.Heap == 0 || t.Heap >= t.HeapEnd || t.HeapEnd >= 1<<47 || t.Shift > 5 {
		return Tasks{}, fmt.Errorf("%w: its heap is from %#x to %#x, its references are shifted by %d", ErrNotReady, t.Heap, t.HeapEnd, t.Shift)
	}
	if err := r.threads(); err != nil {
		return Tasks{}, err
	}
	return *t, r.class()
}

// threads finds the threads of the VM, and checks that each has its object, and its buffer, where it should be.
func (r *taskReader) threads() error {
	t := &r.tasks
	threads, err := readThreads(r.im, r.s, &Layout{OSThread: t.OSThread, Pthread: t.Pthread})
	if err != nil {
		return err
	}
	p, err := locate(r.im, threads)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	t.Slot, t.Current = p.slot, p.offset
	plain := r.word(r.s[threadClass].address)
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
		if r.klass(self) == plain { // the signal dispatcher is one
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

// klass is the class of an object.
func (r *taskReader) klass(object uint64) uint64 {
	shift := r.half(r.s[klassShift].address) & 31
	return r.word(r.s[klassBase].address) + uint64(r.half(object+8))<<shift
}

// class finds the class of tasks, and its fields.
func (r *taskReader) class() error {
	root := r.word(r.s[objectClass].address)
	base, shift := r.word(r.s[klassBase].address), r.half(r.s[klassShift].address)&31
	if r.err != nil {
		return r.err
	}
	if root == 0 {
		return ErrNotReady
	}
	var err error
	if r.pool, err = typeSize(r.im, "ConstantPool"); err != nil {
		return err
	}
	class, err := r.find(root, futureTask)
	if err != nil {
		return err
	}
	fields, err := r.fieldsOf(class)
	if err != nil {
		return fmt.Errorf("fields of %s: %w", futureTask, err)
	}
	for name, to := range map[string]*uint32{
		taskState: &r.tasks.State, "runner": &r.tasks.Runner, "callable": &r.tasks.Callable,
	} {
		at, ok := fields[name]
		if !ok || at < 8 || at > copied-8 {
			return fmt.Errorf("field %s of %s is at %d (found: %t)", name, futureTask, at, ok)
		}
		*to = at
	}
	narrowed := (class - base) >> shift
	if class < base || narrowed >= 1<<32 || base+narrowed<<shift != class {
		return fmt.Errorf("class %s at %#x is out of reach from %#x", futureTask, class, base)
	}
	r.tasks.Klass = uint32(narrowed)
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

const (
	oldFields     = "InstanceKlass::_fields"
	oldFieldCount = "InstanceKlass::_java_fields_count"
	shortsData    = "Array<u2>::_data"
)

// fieldsOf is fields, of any release.
func (c *classes) fieldsOf(class uint64) (map[string]uint32, error) {
	if _, ok := c.s[fieldStream]; ok {
		return c.fields(class)
	}
	return c.oldFields(class)
}

// oldFields: before JDK 21 a field took six numbers of 16 bits: hotspot/share/oops/fieldInfo.hpp of JDK 17.
func (c *classes) oldFields(class uint64) (map[string]uint32, error) {
	if err := need(c.s, []string{oldFields, oldFieldCount, shortsData}); err != nil {
		return nil, err
	}
	array, err := c.im.word(class + c.s[oldFields].offset)
	if err != nil {
		return nil, err
	}
	pool, err := c.im.word(class + c.s[constants].offset)
	if err != nil {
		return nil, err
	}
	var count [2]byte
	if err := c.im.bytes(class+c.s[oldFieldCount].offset, count[:]); err != nil {
		return nil, err
	}
	const (
		size             = 6 * 2
		name, low, high  = 1 * 2, 4 * 2, 5 * 2
		tagBits, isPlace = 2, 1 // what the lowest bits of an offset say
	)
	data := make([]byte, size*min(int(binary.LittleEndian.Uint16(count[:])), 1000))
	if err := c.im.bytes(array+c.s[shortsData].offset, data); err != nil {
		return nil, err
	}
	out := map[string]uint32{}
	for ; len(data) >= size; data = data[size:] {
		number := func(at int) uint32 { return uint32(binary.LittleEndian.Uint16(data[at:])) }
		packed := number(high)<<16 | number(low)
		if packed&(1<<tagBits-1) != isPlace {
			return nil, fmt.Errorf("%w: a field has no place yet", ErrNotReady)
		}
		at, err := c.im.word(pool + c.pool + 8*uint64(number(name)))
		if err != nil {
			return nil, err
		}
		text, err := c.symbol(at)
		if err != nil {
			return nil, err
		}
		out[text] = packed >> tagBits
	}
	return out, nil
}
