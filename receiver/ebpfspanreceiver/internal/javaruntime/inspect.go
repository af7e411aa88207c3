package javaruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
}

var (
	// ErrNotReady: the VM is still starting; try again.
	ErrNotReady = errors.New("the Java VM is not ready yet")
	errNotReady = ErrNotReady
	// ErrUnreadable: which virtual threads run cannot be told.
	ErrUnreadable = errors.New("virtual threads cannot be read")
)

// Names of what is needed of gHotSpotVMStructs.
const (
	osThread     = "Thread::_osthread"
	pthread      = "OSThread::_pthread_id"
	continuation = "JavaThread::_cont_entry"
	ownerID      = "JavaThread::_monitor_owner_id"
	mounted      = "JavaThread::_vthread"
	threadList   = "ThreadsSMRSupport::_java_thread_list"
	listLength   = "ThreadsList::_length"
	listThreads  = "ThreadsList::_threads"
)

var names = map[string]bool{
	osThread: true, pthread: true, continuation: true, ownerID: true, mounted: true,
	threadList: true, listLength: true, listThreads: true,
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
	base, err := library(proc)
	if err != nil {
		return Layout{}, err
	}
	file, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return Layout{}, err
	}
	defer file.Close()
	im, err := loadImage(&memory{file: file, pages: map[uint64][]byte{}}, base)
	if err != nil {
		return Layout{}, err
	}
	s, err := readStructs(im, func(typ, name string) bool { return names[typ+"::"+name] })
	if err != nil {
		return Layout{}, err
	}
	// Neither came before virtual threads did (JDK 19).
	_, hasMounted := s[mounted]
	_, hasContinuation := s[continuation]
	if !hasMounted && !hasContinuation {
		return Layout{}, nil
	}
	return layout(im, s)
}

func layout(im *image, s structs) (Layout, error) {
	if runtime.GOARCH != "amd64" {
		return Layout{}, errors.New("only on x86-64 so far")
	}
	for name := range names {
		if f, ok := s[name]; !ok {
			return Layout{}, fmt.Errorf("gHotSpotVMStructs has no %s (JDK 24 and newer have all)", name)
		} else if !f.static && f.offset > 1<<16 {
			return Layout{}, fmt.Errorf("%s at %d", name, f.offset)
		}
	}
	l := Layout{
		Virtual:  true,
		OSThread: uint32(s[osThread].offset), Pthread: uint32(s[pthread].offset),
		Continuation: uint32(s[continuation].offset), Owner: uint32(s[ownerID].offset),
	}
	threads, err := readThreads(im, s, &l)
	if err != nil {
		return Layout{}, err
	}
	p, err := locate(im, threads)
	if err != nil {
		// A VM that is starting has threads that have not stored themselves yet.
		return Layout{}, fmt.Errorf("%w: %w", errNotReady, err)
	}
	l.Slot, l.Current = p.slot, p.offset
	owners := map[uint64]bool{}
	for _, t := range threads {
		if t.owner == 0 || t.owner>>48 != 0 || owners[t.owner] {
			return Layout{}, fmt.Errorf("%w: %s of a thread is %d, which is no identity", errNotReady, ownerID, t.owner)
		}
		owners[t.owner] = true
	}
	return l, nil
}
