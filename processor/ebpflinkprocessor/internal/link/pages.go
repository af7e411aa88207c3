package link

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
func (p *Pages[T]) At(i ID) *T { return &p.pages[i>>pageBits][i%pageSize] }

// Grow makes the first n elements exist; new ones are zero.
func (p *Pages[T]) Grow(n int) {
	for ; len(p.pages)<<pageBits < n; p.pages = append(p.pages, grab[[pageSize]T](p.Arena)) {
	}
	p.n = max(p.n, n)
}
