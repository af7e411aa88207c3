package link

import "unsafe"

// Pages is an array that grows without moving what is in it: at millions of facts, doubling would stop
// everything for the copy and need the room twice. The zero Pages is empty.
type Pages[T any] struct {
	pages []*[pageSize]T
	n     int
	// Arena is where it is, nil for the heap.
	Arena *Arena
}

const (
	pageBits = 10
	pageSize = 1 << pageBits
)

// Len is the number of elements.
func (p *Pages[T]) Len() int { return p.n }

// At returns element i, which exists.
func (p *Pages[T]) At(i ID) *T {
	return element((*T)(unsafe.Pointer(p.pages[i>>pageBits])), uintptr(i%pageSize))
}

// element is that of the array that begins at first. Indexing a pointer to an array of more than a page would look at the
// first element, too, as proof that the array is there: one more cache line.
func element[T any](first *T, i uintptr) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(first), i*unsafe.Sizeof(*first)))
}

// Grow makes the first n elements exist; new ones are zero.
func (p *Pages[T]) Grow(n int) {
	for ; len(p.pages)<<pageBits < n; p.pages = append(p.pages, grab[[pageSize]T](p.Arena)) {
	}
	p.n = max(p.n, n)
}
