package javaruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Layout says how to read which virtual thread runs on a thread, in bytes.
type Layout struct {
	// Virtual: this VM has virtual threads. The rest is set then, and only then.
	Virtual bool
	// Slot of libjvm in the dynamic thread vector, and Current (Thread::_thr_current) in the block that
	// the slot points to.
	Slot, Current uint32
	// OSThread in JavaThread, and Pthread in OSThread: whose JavaThread it is.
	OSThread, Pthread uint32
	// Continuation in JavaThread: not zero while something is mounted.
	Continuation uint32
	// Owner in JavaThread: java.lang.Thread.tid of what is mounted.
	Owner uint32
	// Objects is how it is read where the VM has no Owner: before JDK 24.
	Objects *Objects
}

var (
	// ErrNotReady: the VM is still starting; try again.
	ErrNotReady = errors.New("the Java VM is not ready yet")
	// ErrUnreadable: which virtual threads run cannot be told.
	ErrUnreadable = errors.New("virtual threads cannot be read")
)

// Names of what is needed of gHotSpotVMStructs.
const (
	osThread     = "Thread::_osthread"
	oldOSThread  = "JavaThread::_osthread" // before JDK 22
	pthread      = "OSThread::_pthread_id"
	continuation = "JavaThread::_cont_entry"
	owner        = "JavaThread::_monitor_owner_id"
	mounted      = "JavaThread::_vthread"
	threadList   = "ThreadsSMRSupport::_java_thread_list"
	listLength   = "ThreadsList::_length"
	listThreads  = "ThreadsList::_threads"
	firstThread  = "Threads::_thread_list" // before JDK 10
	nextThread   = "JavaThread::_next"
)

// Names by what needs them: every VM with virtual threads, those with an owner, those without.
var (
	threadNames = []string{osThread, pthread, threadList, listLength, listThreads}
	ownerNames  = []string{continuation, owner}
	otherNames  = []string{oldOSThread, mounted, zInstance, zMask, oldZInstance, oldZMask}
)

func wanted() func(string) bool {
	all := map[string]bool{}
	for _, list := range [][]string{threadNames, ownerNames, objectNames, otherNames} {
		for _, name := range list {
			all[name] = true
		}
	}
	return func(name string) bool { return all[name] }
}

// need fails where a name is missing, or is nowhere near a structure.
func need(s structs, names []string) error {
	for _, name := range names {
		f, ok := s[name]
		if !ok {
			return fmt.Errorf("gHotSpotVMStructs has no %s", name)
		}
		if !f.static && f.offset > 1<<14 {
			return fmt.Errorf("%s is at %d", name, f.offset)
		}
	}
	return nil
}

// Inspect reads the VM of a process, given by its directory in procfs.
func Inspect(proc string) (Layout, error) {
	l, err := inspect(proc)
	switch {
	case errors.Is(err, errNotMapped):
		err = fmt.Errorf("%w: %w", ErrNotReady, err)
	case err != nil && !errors.Is(err, ErrNotReady):
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return l, err
}

func inspect(proc string) (Layout, error) {
	im, s, err := open(proc, wanted())
	if err != nil {
		return Layout{}, err
	}
	defer im.close()
	if _, ok := s[mounted]; !ok { // it came with virtual threads: JDK 19
		return Layout{}, nil
	}
	return layout(im, s)
}

// open finds the VM of a process, and what it says of those of its structures that are wanted. The image is to be closed.
func open(proc string, wanted func(name string) bool) (*image, structs, error) {
	base, err := library(proc)
	if err != nil {
		return nil, nil, err
	}
	file, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return nil, nil, err
	}
	im, err := loadImage(&memory{file: file, pages: map[uint64][]byte{}}, base)
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	im.close = func() { _ = file.Close() }
	s, err := readStructs(im, wanted)
	switch {
	case errors.Is(err, syscall.EIO): // pointers that the loader has not relocated yet lead nowhere
		err = fmt.Errorf("%w: %w", ErrNotReady, err)
	case err == nil && len(s) == 0: // each release has some of them
		err = fmt.Errorf("%w: it describes none of its structures", ErrNotReady)
	}
	if err != nil {
		im.close()
		return nil, nil, err
	}
	return im, s, nil
}

func layout(im *image, s structs) (Layout, error) {
	if runtime.GOARCH != "amd64" {
		return Layout{}, errors.New("only on x86-64 so far")
	}
	if f, ok := s[oldOSThread]; ok {
		s[osThread] = f
	}
	if err := need(s, threadNames); err != nil {
		return Layout{}, err
	}
	l := Layout{Virtual: true, OSThread: uint32(s[osThread].offset), Pthread: uint32(s[pthread].offset)}
	threads, err := readThreads(im, s, &l)
	if err != nil {
		return Layout{}, err
	}
	p, err := locate(im, threads)
	if err != nil {
		// A VM that is starting has threads that have not stored themselves yet.
		return Layout{}, fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	l.Slot, l.Current = p.slot, p.offset
	if _, ok := s[owner]; !ok {
		l.Objects, err = readObjects(im, s, threads)
		return l, err
	}
	if err := need(s, ownerNames); err != nil {
		return Layout{}, err
	}
	l.Continuation, l.Owner = uint32(s[continuation].offset), uint32(s[owner].offset)
	return l, checkOwners(im, threads, &l)
}

// checkOwners: a thread has an identity of its own. Carriers are left out: what they run changes.
func checkOwners(im *image, threads []thread, l *Layout) error {
	seen := map[uint64]bool{}
	for _, t := range threads {
		mounted, err := im.word(t.at + uint64(l.Continuation))
		if err != nil || mounted != 0 {
			continue
		}
		id, err := im.word(t.at + uint64(l.Owner))
		if err != nil || id == 0 || id>>48 != 0 || seen[id] {
			return fmt.Errorf("%w: %s of a thread is %d", ErrNotReady, owner, id)
		}
		seen[id] = true
	}
	if len(seen) < minThreads {
		return fmt.Errorf("%w: %d of %d threads have an identity", ErrNotReady, len(seen), len(threads))
	}
	return nil
}
