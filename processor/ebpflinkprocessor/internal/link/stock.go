package link

// Stock is Pages of which elements are taken and given back one by one: what not all facts have. Who took one
// keeps its number, which is never 0, so that 0 says that there is none. The zero Stock is empty.
type Stock[T any] struct {
	all  Pages[T]
	free []uint32
}

// Use makes a the place of the elements. It comes before the first Take.
func (s *Stock[T]) Use(a *Arena) { s.all.Arena = a }

// Take returns the number of an element that is nobody else's. What is in it is anything.
func (s *Stock[T]) Take() uint32 {
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		s.free = s.free[:n-1]
		return at
	}
	s.all.Grow(s.all.Len() + 1)
	return uint32(s.all.Len())
}

// Give gives back what Take returned; 0 is nothing.
func (s *Stock[T]) Give(n uint32) {
	if n != 0 {
		s.free = append(s.free, n)
	}
}

// Of returns the element with that number.
func (s *Stock[T]) Of(n uint32) *T { return s.all.At(ID(n - 1)) }
