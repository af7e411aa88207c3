package link

// Table maps keys to values. A Go map takes twice the room, and doubles all of it at once: here only the
// segment that is full is split in two. The zero Table is empty.
type Table[V any] struct {
	// directory has 1<<depth entries; a segment of less depth has several of them.
	directory []entry[V]
	depth     uint
	n         int
	// Arena is where it is, nil for the heap.
	Arena *Arena
}

const (
	segmentBits = 10
	segmentSize = 1 << segmentBits
	// segmentFull leaves room enough for probing to end soon.
	segmentFull = segmentSize * 7 / 8
)

// entry has the places themselves beside the segment: looking one up misses the cache once less.
type entry[V any] struct {
	*places[V]
	segment *segment[V]
}

// segment is what a change needs to know of the places. The high bits of a key choose it (spread), the low ones
// above the domain the place, from which on it probes.
type segment[V any] struct {
	n     int
	depth uint
}

type places[V any] [segmentSize]held[V]

// held is a key with its value beside it: who looks for one wants the other. Key is 0 where nothing is: no
// domain is 0.
type held[V any] struct {
	key   Key
	value V
}

// Len counts the keys.
func (t *Table[V]) Len() int { return t.n }

func (t *Table[V]) entry(k Key) entry[V] {
	return t.directory[t.place(k)]
}

func (t *Table[V]) place(k Key) uint32 {
	// A shift by 32 gives 0.
	return spread(k) >> (32 - t.depth)
}

// spread is what chooses the segment of k. Keys are hashes: by their high bits alone all segments would be full at
// once, and the table half empty after that. Here a segment gets the more keys the higher it is, the last twice as many
// as the first, so at any time as many of them are nearly full as have just been split. It is log2(1+x) nearly, x the
// high bits from 0 to 1: x + 0.344x(1-x).
func spread(k Key) uint32 {
	x := uint64(k) >> 32
	return uint32(x + (x*(1<<32-1-x)>>32)*88>>8)
}

// home is where a cache line of the places begins: most keys are found in the first four, in one look at
// memory.
func home(k Key) uint { return uint(k>>domainBits) % segmentSize &^ 3 }

// find returns the place of k, or the empty one where it would be.
func (s *places[V]) find(k Key) (at uint, found bool) {
	for at = home(k); ; at = (at + 1) % segmentSize {
		switch s[at].key {
		case k:
			return at, true
		case 0:
			return at, false
		}
	}
}

// Get returns the value of k, nil when there is none. It is valid until the next Put or Delete.
func (t *Table[V]) Get(k Key) *V {
	if t.n == 0 {
		return nil
	}
	e := t.entry(k)
	at, found := e.find(k)
	if !found {
		return nil
	}
	return &e.places[at].value
}

// Put returns the value of k, which is zero when there was none. It is valid until the next Put or Delete.
func (t *Table[V]) Put(k Key) *V {
	if t.directory == nil {
		t.directory = []entry[V]{{grab[places[V]](t.Arena), &segment[V]{}}}
	}
	e := t.entry(k)
	at, found := e.find(k)
	if found {
		return &e.places[at].value
	}
	for e.segment.n >= segmentFull {
		t.split(e, k)
		e = t.entry(k)
		at, _ = e.find(k)
	}
	e.segment.n++
	t.n++
	e.places[at].key = k
	return &e.places[at].value
}

// split moves the keys of e, which is that of k, with the next bit set to a segment of their own.
func (t *Table[V]) split(e entry[V], k Key) {
	if e.segment.depth == t.depth {
		t.depth++
		wide := make([]entry[V], 2*len(t.directory))
		for i, e := range t.directory {
			wide[2*i], wide[2*i+1] = e, e
		}
		t.directory = wide
	}
	old := *e.places
	*e.places, e.segment.n = places[V]{}, 0
	e.segment.depth++
	upper := entry[V]{grab[places[V]](t.Arena), &segment[V]{depth: e.segment.depth}}
	for i := range old {
		key := old[i].key
		if key == 0 {
			continue
		}
		half := e
		if spread(key)>>(32-e.segment.depth)&1 != 0 {
			half = upper
		}
		at, _ := half.find(key)
		half.places[at] = old[i]
		half.segment.n++
	}
	// The entries of a segment lie side by side; the upper half of them is the new one's.
	span := 1 << (t.depth - e.segment.depth)
	first := int(t.place(k)) &^ (2*span - 1)
	for i := first + span; i < first+2*span; i++ {
		t.directory[i] = upper
	}
}

// Delete removes k.
func (t *Table[V]) Delete(k Key) {
	if t.n == 0 {
		return
	}
	s := t.entry(k)
	hole, found := s.find(k)
	if !found {
		return
	}
	s.segment.n--
	t.n--
	// Close the gap with what was pushed past it, so that no probe ends too early.
	for at := (hole + 1) % segmentSize; s.places[at].key != 0; at = (at + 1) % segmentSize {
		if (at-home(s.places[at].key))%segmentSize >= (at-hole)%segmentSize {
			s.places[hole] = s.places[at]
			hole = at
		}
	}
	s.places[hole] = held[V]{}
}
