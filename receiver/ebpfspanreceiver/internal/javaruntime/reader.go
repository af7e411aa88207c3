package javaruntime

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// Threads says how to find what the VM knows of a thread, in bytes.
type Threads struct {
	// Slot, Current, OSThread, Pthread lead to the JavaThread of a thread, as in Layout.
	Slot, Current, OSThread, Pthread uint32
	// Platform (a handle of its java.lang.Thread) and StackBase in it. Direct: it is the reference itself.
	Platform, StackBase uint32
	Direct              bool
	// Narrow references are 32 bits wide: address = Base + reference << Shift.
	Narrow bool
	Shift  uint8
	Base   uint64
}

const (
	stackBase      = "JavaThread::_stack_base"
	newNarrowBase  = "CompressedOops::_base"
	newNarrowShift = "CompressedOops::_shift"
	klassBase      = "CompressedKlassPointers::_base"
	klassShift     = "CompressedKlassPointers::_shift"
	oldKlassBase   = "CompressedKlassPointers::_narrow_klass._base"
	oldKlassShift  = "CompressedKlassPointers::_narrow_klass._shift"
	klassOfObject  = "oopDesc::_metadata._compressed_klass"
)

// readerNames are needed of any VM.
var readerNames = []string{
	osThread, pthread, platform, stackBase, threadClass, klassOfObject, newNarrowBase,
	newNarrowShift, klassBase, klassShift, constants, className, symbolLength, symbolBody, flagTable, flagCount, flagName,
	flagAddress,
}

// renamed are names of older releases. Those of releases before JDK 17 are of the serviceability agent's sources
// (sun.jvm.hotspot), and untested: what they lead to counts where threads are found by it.
var renamed = map[string]string{
	oldOSThread: osThread, oldCollecting: collecting, narrowBase: newNarrowBase, narrowShift: newNarrowShift,
	oldKlassBase: klassBase, oldKlassShift: klassShift, oldWaitedMonitor: waitedMonitor,
	"SystemDictionary::_well_known_klasses[SystemDictionary::Thread_klass_knum]": threadClass,
	"Universe::_narrow_oop._base":    newNarrowBase,
	"Universe::_narrow_oop._shift":   newNarrowShift,
	"Universe::_narrow_klass._base":  klassBase,
	"Universe::_narrow_klass._shift": klassShift,
	"Symbol::_body":                  symbolBody,
	"Flag::flags":                    flagTable,
	"Flag::numFlags":                 flagCount,
	"Flag::_name":                    flagName,
	"Flag::_addr":                    flagAddress,
}

// reader reads a VM of any release.
type reader struct {
	classes
	flags map[string]bool
	err   error // the first that came
}

// withReader reads the VM of a process, given by its directory in procfs, of which names are needed, too. ErrNotReady: it
// starts.
func withReader(proc string, names []string, read func(*reader) error) error {
	err := openReader(proc, names, read)
	// Its lists of threads and classes change while they are read, and may lead anywhere.
	if errors.Is(err, errNotMapped) || errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return err
}

func openReader(proc string, names []string, read func(*reader) error) error {
	if runtime.GOARCH != "amd64" {
		return errors.New("only on x86-64 so far")
	}
	needed := append(append([]string{}, readerNames...), names...)
	wanted := map[string]bool{
		fieldStream: true, bytesData: true, oldFields: true, oldFieldCount: true, shortsData: true,
		threadList: true, listLength: true, listThreads: true, firstThread: true, nextThread: true,
	}
	for _, name := range needed {
		wanted[name] = true
	}
	for name := range renamed {
		wanted[name] = true
	}
	im, s, err := open(proc, func(name string) bool { return wanted[name] })
	if err != nil {
		return err
	}
	defer im.close()
	for old, name := range renamed {
		if f, ok := s[old]; ok {
			s[name] = f
		}
	}
	if err := need(s, needed); err != nil {
		return err
	}
	r := &reader{classes: classes{im: im, s: s}}
	if at := s[klassOfObject].offset; at != 8 {
		return fmt.Errorf("an object has its class at %d", at)
	}
	if r.flags, err = readFlags(im, s); err != nil {
		return err
	}
	if r.pool, err = typeSize(im, "ConstantPool"); err != nil {
		return err
	}
	return read(r)
}

func (r *reader) word(at uint64) uint64 {
	v, err := r.im.word(at)
	if r.err == nil {
		r.err = err
	}
	return v
}

func (r *reader) half(at uint64) uint32 {
	v, err := r.im.half(at)
	if r.err == nil {
		r.err = err
	}
	return v
}

// threads finds the threads of the VM.
func (r *reader) threads() (Threads, []thread, error) {
	t := Threads{
		OSThread: uint32(r.s[osThread].offset), Pthread: uint32(r.s[pthread].offset),
		Platform: uint32(r.s[platform].offset), StackBase: uint32(r.s[stackBase].offset),
		Narrow: r.flags["UseCompressedOops"],
		Base:   r.word(r.s[newNarrowBase].address), Shift: uint8(r.half(r.s[newNarrowShift].address)),
	}
	if r.err != nil {
		return t, nil, r.err
	}
	if t.Shift > 5 {
		return t, nil, fmt.Errorf("%w: its references are shifted by %d", ErrNotReady, t.Shift)
	}
	list, err := readThreads(r.im, r.s, &Layout{OSThread: t.OSThread, Pthread: t.Pthread})
	if err != nil {
		return t, nil, err
	}
	p, err := locate(r.im, list)
	if err != nil {
		return t, nil, fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	t.Slot, t.Current = p.slot, p.offset
	return t, list, nil
}
