package link

// origin is what many spans have in common: those of one process. An Index keeps it once, or it would be a sixth of
// what a span takes. Zero values mean unknown.
type origin struct {
	Host           uint64
	Service        uint32
	HintConfidence float32
}

// origins numbers them as long as a fact has them. The zero origins is empty; number 0 is of what says nothing.
type origins struct {
	all  []shared
	free []uint32
	at   map[origin]uint32
	// last is the number of the one that was taken last: spans come by process.
	last uint32
}

// shared is an origin that so many facts have.
type shared struct {
	origin
	uses uint32
}

func newOrigins() origins {
	return origins{all: make([]shared, 1), at: map[origin]uint32{}}
}

// of returns the origin with that number, which must not be changed.
func (s *origins) of(n uint32) *origin { return &s.all[n].origin }

// take returns the number of o for another fact.
func (s *origins) take(o origin) uint32 {
	if s.all[s.last].origin == o && s.last != 0 {
		s.all[s.last].uses++
		return s.last
	}
	if o == (origin{}) {
		return 0
	}
	n, known := s.at[o]
	switch {
	case known:
	case len(s.free) > 0:
		n = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		s.all[n], s.at[o] = shared{origin: o}, n
	default:
		n = uint32(len(s.all))
		s.all, s.at[o] = append(s.all, shared{origin: o}), n
	}
	s.all[n].uses++
	s.last = n
	return n
}

// give says that a fact has n no more.
func (s *origins) give(n uint32) {
	if n == 0 {
		return
	}
	if s.all[n].uses--; s.all[n].uses > 0 {
		return
	}
	delete(s.at, s.all[n].origin)
	s.all[n] = shared{}
	s.free = append(s.free, n)
	if s.last == n {
		s.last = 0
	}
}
