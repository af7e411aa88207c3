package javaruntime

import (
	"errors"
	"fmt"
	"math/bits"
)

// Waits says how to read what a thread waits for, in bytes.
type Waits struct {
	Threads
	// Monitor in JavaThread: the one that it waits to enter, or 0. Blocker in java.lang.Thread: the object for which it
	// is parked (java.util.concurrent.locks.LockSupport); Thread: its JavaThread (eetop).
	Monitor, Blocker, Thread uint32
	// Colored references are those of generational ZGC: see Uncolored. Moving: objects are moved while the program runs, so
	// that a reference may be old, and lead anywhere.
	Colored, Moving bool
	// Class of an object: what its word at ClassAt has in ClassBits from bit ClassFrom on, times 1 << ClassShift, from
	// ClassBase on. Name in that, and Body in a name.
	ClassAt, ClassFrom, ClassBits, ClassShift uint8
	ClassBase                                 uint64
	Name, Body                                uint32
}

const (
	waitedMonitor    = "JavaThread::_current_pending_monitor"
	oldWaitedMonitor = "Thread::_current_pending_monitor" // before JDK 16
	parkBlocker      = "parkBlocker"
	eetop            = "eetop"
)

// Layouts of the head of an object: hotspot/share/oops/markWord.hpp, oop.hpp.
var (
	plainHead   = Waits{ClassAt: 8, ClassBits: 64}
	narrowHead  = Waits{ClassAt: 8, ClassBits: 32}
	compactHead = Waits{ClassAt: 0, ClassFrom: 42, ClassBits: 22}
)

// InspectWaits reads the VM of a process, given by its directory in procfs. ErrNotReady: it starts.
func InspectWaits(proc string) (w Waits, err error) {
	err = withReader(proc, []string{waitedMonitor}, func(r *reader) error {
		w, err = readWaits(r)
		return err
	})
	return w, err
}

func readWaits(r *reader) (Waits, error) {
	narrowed, known := r.flags["UseCompressedClassPointers"]
	w := narrowHead
	switch {
	case r.flags["UseCompactObjectHeaders"]:
		w = compactHead
	case known && !narrowed:
		w = plainHead
	}
	if w.ClassBits < 64 {
		w.ClassBase, w.ClassShift = r.word(r.s[klassBase].address), uint8(r.half(r.s[klassShift].address)&31)
	}
	w.Monitor = uint32(r.s[waitedMonitor].offset)
	w.Name, w.Body = uint32(r.s[className].offset), uint32(r.s[symbolBody].offset)
	class := r.word(r.s[threadClass].address)
	if r.err != nil {
		return Waits{}, r.err
	}
	if class == 0 {
		return Waits{}, ErrNotReady
	}
	fields, err := r.fieldsOf(class)
	if err != nil {
		return Waits{}, fmt.Errorf("fields of java.lang.Thread: %w", err)
	}
	if err := places(fields, "java.lang.Thread", maxPlace, map[string]*uint32{parkBlocker: &w.Blocker, eetop: &w.Thread}); err != nil {
		return Waits{}, err
	}
	w.Moving = !r.flags["UseG1GC"] && !r.flags["UseParallelGC"] && !r.flags["UseSerialGC"]
	threads, list, err := r.threads()
	if err != nil {
		return Waits{}, err
	}
	w.Threads = threads
	for _, w.Colored = range []bool{false, r.flags["UseZGC"]} {
		for _, w.Direct = range []bool{false, true} { // a handle since JDK 16
			if r.finds(&w, list, class) {
				return w, nil
			}
		}
	}
	return Waits{}, fmt.Errorf("%w: of %d threads none has a java.lang.Thread for its object", ErrNotReady, len(list))
}

// finds says whether an object of that class is found for one of the threads at least: the signal dispatcher has one.
func (r *reader) finds(w *Waits, threads []thread, class uint64) bool {
	for _, t := range threads {
		h, err := r.im.word(t.at + uint64(w.Platform))
		if err != nil {
			continue
		}
		object := h
		if !w.Direct {
			if object, err = r.im.word(h); err != nil {
				continue
			}
		}
		if w.Colored {
			if object, err = Uncolored(object); err != nil {
				continue
			}
		}
		if head, err := r.im.word(object + uint64(w.ClassAt)); err == nil && w.class(head) == class {
			return true
		}
	}
	return false
}

// class is that of an object, of the word of it that names its class.
func (w *Waits) class(word uint64) uint64 {
	return w.ClassBase + word>>w.ClassFrom&(1<<w.ClassBits-1)<<w.ClassShift
}

// Uncolored is the address that a reference of generational ZGC has: its lowest 16 bits are the color, of which one of
// the upper four is set, and the address lies directly above that (hotspot/share/gc/z/zAddress.hpp).
func Uncolored(reference uint64) (uint64, error) {
	remapped := reference >> 12 & 0xf
	if bits.OnesCount64(remapped) != 1 {
		return 0, errors.New("a reference without a color")
	}
	return reference >> (13 + bits.TrailingZeros64(remapped)), nil
}
