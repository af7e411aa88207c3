package link

import (
	"sync"
	"unsafe"
)

// Arena is memory outside the heap of Go, for what lives as long as its owner. The facts of millions of
// spans are most of what a Collector holds; on the heap the garbage collector would let as much garbage
// pile up beside them before it runs. What is in it has no pointers. The zero Arena is empty; a nil one is
// the heap.
type Arena struct {
	mu sync.Mutex
	// giveBack is one for each chunk.
	giveBack []func()
	rest     []byte
}

const (
	// chunkBytes is address space; memory comes as it is written to, by huge pages where there are any.
	chunkBytes = 32 << 20
	// cacheLine is what keeps two of them from sharing one.
	cacheLine = 64
)

// Free gives all of it back to the system. Nothing in it may be used any more.
func (a *Arena) Free() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, fn := range a.giveBack {
		fn()
	}
	a.giveBack, a.rest = nil, nil
}

// grab returns a zero T, which has no pointers, from a or from the heap.
func grab[T any](a *Arena) *T {
	var t T
	size := (int(unsafe.Sizeof(t)) + cacheLine - 1) &^ (cacheLine - 1)
	if a == nil || size > chunkBytes {
		return new(T)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rest) < size {
		c, giveBack := reserve(chunkBytes)
		if c == nil {
			return new(T)
		}
		a.giveBack, a.rest = append(a.giveBack, giveBack), c
	}
	p := (*T)(unsafe.Pointer(&a.rest[0]))
	a.rest = a.rest[size:]
	return p
}
