package javaruntime

import "fmt"

// thread is one of the VM's own, as it stands in ThreadsSMRSupport::_java_thread_list or Threads::_thread_list.
type thread struct {
	at      uint64 // JavaThread
	pointer uint64 // the thread pointer: what pthread_self returns on x86-64, glibc and musl alike
	vector  uint64 // its dynamic thread vector
}

// Bounds of what is looked at: a VM may have tens of thousands of platform threads, and a process may
// have loaded many libraries with thread-local storage.
const (
	maxThreads = 64
	minThreads = 4 // a VM that runs has twice as many: collector, compiler, references, signals
	maxModules = 128
)

// readThreads lists threads. They come and go meanwhile: one that cannot be read is left out.
func readThreads(im *image, s structs, l *Layout) ([]thread, error) {
	list := listedThreads
	if _, ok := s[threadList]; !ok {
		list = linkedThreads
	}
	at, err := list(im, s)
	if err != nil {
		return nil, err
	}
	var out []thread
	for _, t := range at {
		if t, err := readThread(im, t, l); err == nil {
			out = append(out, t)
		}
	}
	if len(out) < minThreads || 2*len(out) < len(at) {
		return nil, ErrNotReady
	}
	return out, nil
}

// listedThreads are those of an array.
func listedThreads(im *image, s structs) ([]uint64, error) {
	list, err := im.word(s[threadList].address)
	if err != nil {
		return nil, err
	}
	if list == 0 {
		return nil, ErrNotReady
	}
	length, err := im.half(list + s[listLength].offset)
	if err != nil {
		return nil, err
	}
	array, err := im.word(list + s[listThreads].offset)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for i := range uint64(min(length, maxThreads)) {
		t, err := im.word(array + 8*i)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// linkedThreads: before JDK 10 each thread names the next.
func linkedThreads(im *image, s structs) ([]uint64, error) {
	if err := need(s, []string{firstThread, nextThread}); err != nil {
		return nil, err
	}
	var out []uint64
	t, err := im.word(s[firstThread].address)
	for ; err == nil && t != 0 && len(out) < maxThreads; t, err = im.word(t + s[nextThread].offset) {
		out = append(out, t)
	}
	return out, err
}

func readThread(im *image, at uint64, l *Layout) (t thread, err error) {
	t.at = at
	native, err := im.word(t.at + uint64(l.OSThread))
	if err != nil {
		return t, err
	}
	if t.pointer, err = im.word(native + uint64(l.Pthread)); err != nil {
		return t, err
	}
	t.vector, err = im.word(t.pointer + dtvOffset)
	return t, err
}

// dtvOffset is where a thread's control block has its dynamic thread vector, from the thread pointer
// (glibc sysdeps/x86_64/nptl/tls.h tcbhead_t, musl src/internal/pthread_impl.h struct pthread).
const dtvOffset = 8

// place is where a thread finds itself: a slot of the vector, and an offset in the block it points to.
type place struct{ slot, offset uint32 }

// locate finds Thread::_thr_current: the one place in which every thread's storage holds that thread. An
// entry of the vector is 16 bytes in glibc and 8 in musl; each is tried.
func locate(im *image, threads []thread) (place, error) {
	var agree map[place]bool
	seen := 0
	for _, t := range threads {
		here := map[place]bool{}
		for slot := uint32(8); slot < 16*maxModules; slot += 8 {
			block, err := im.word(t.vector + uint64(slot))
			if err != nil {
				break
			}
			if block < pageSize || block%8 != 0 {
				continue
			}
			for offset := uint32(0); uint64(offset)+8 <= im.tls; offset += 8 {
				p := place{slot, offset}
				if agree != nil && !agree[p] {
					continue
				}
				if v, err := im.word(block + uint64(offset)); err == nil && v == t.at {
					here[p] = true
				}
			}
		}
		if len(here) == 0 {
			continue // it has ended, or has not begun
		}
		seen++
		agree = here
	}
	if seen < minThreads || 2*seen < len(threads) {
		return place{}, fmt.Errorf("the thread-local variable of the current thread was found in %d of %d threads", seen, len(threads))
	}
	best := place{slot: ^uint32(0)}
	for p := range agree {
		if p.slot < best.slot || p.slot == best.slot && p.offset < best.offset {
			best = p // glibc repeats the pointer in the second word of an entry
		}
	}
	return best, nil
}
