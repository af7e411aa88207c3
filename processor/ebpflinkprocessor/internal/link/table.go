package link

// Table maps keys that are good hashes to 32-bit values. A Go map takes twice the room, and doubles all
// of it at once: here only the segment that is full is split in two. The zero Table is empty.
type Table struct {
	// directory has 1<<depth places; a segment of less depth has several of them.
	directory []*segment
	depth     uint
	n         int
}

const (
	segmentBits = 10
	segmentSize = 1 << segmentBits
	// segmentFull leaves room enough for probing to end soon.
	segmentFull = segmentSize * 7 / 8
)

// segment probes linearly. The high bits of a key choose it, the low ones the place.
type segment struct {
	*places
	n     int
	depth uint
}

// places are apart because their 12 KiB are then a size that the allocator has.
type places struct {
	// keys are 0 where nothing is.
	keys   [segmentSize]Key
	values [segmentSize]uint32
}

// Len counts the keys.
func (t *Table) Len() int { return t.n }

// used is the key under which k is kept: 0 says that a place is empty.
func used(k Key) Key {
	if k == 0 {
		return 1
	}
	return k
}

func (t *Table) segment(k Key) *segment {
	// A shift by 64 gives 0.
	return t.directory[k>>(64-t.depth)]
}

// find returns the place of k, or the empty one where it would be.
func (s *segment) find(k Key) (at uint, found bool) {
	for at = uint(k) % segmentSize; ; at = (at + 1) % segmentSize {
		switch s.keys[at] {
		case k:
			return at, true
		case 0:
			return at, false
		}
	}
}

// Get returns the value of k.
func (t *Table) Get(k Key) (v uint32, ok bool) {
	if t.n == 0 {
		return 0, false
	}
	k = used(k)
	s := t.segment(k)
	at, ok := s.find(k)
	return s.values[at], ok
}

// Put sets the value of k.
func (t *Table) Put(k Key, v uint32) {
	if t.directory == nil {
		t.directory = []*segment{{places: new(places)}}
	}
	k = used(k)
	s := t.segment(k)
	at, found := s.find(k)
	if !found {
		for s.n >= segmentFull {
			t.split(s, k)
			s = t.segment(k)
			at, _ = s.find(k)
		}
		s.n++
		t.n++
	}
	s.keys[at], s.values[at] = k, v
}

// Add puts v under k unless there is a value already, which it returns.
func (t *Table) Add(k Key, v uint32) (old uint32, found bool) {
	if t.n > 0 {
		s := t.segment(used(k))
		at, found := s.find(used(k))
		if found {
			return s.values[at], true
		}
		if s.n < segmentFull {
			s.n++
			t.n++
			s.keys[at], s.values[at] = used(k), v
			return 0, false
		}
	}
	t.Put(k, v)
	return 0, false
}

// split moves the keys of s with the next bit set to a segment of their own.
func (t *Table) split(s *segment, k Key) {
	if s.depth == t.depth {
		t.depth++
		wide := make([]*segment, 2*len(t.directory))
		for i, s := range t.directory {
			wide[2*i], wide[2*i+1] = s, s
		}
		t.directory = wide
	}
	old := *s.places
	*s.places, s.n = places{}, 0
	s.depth++
	upper := &segment{places: new(places), depth: s.depth}
	for i, key := range old.keys {
		if key == 0 {
			continue
		}
		half := s
		if key>>(64-s.depth)&1 != 0 {
			half = upper
		}
		at, _ := half.find(key)
		half.keys[at], half.values[at] = key, old.values[i]
		half.n++
	}
	// The places of s in the directory lie side by side; the upper half of them is the new one's.
	span := 1 << (t.depth - s.depth)
	first := int(k>>(64-t.depth)) &^ (2*span - 1)
	for i := first + span; i < first+2*span; i++ {
		t.directory[i] = upper
	}
}

// Delete removes k.
func (t *Table) Delete(k Key) {
	if t.n == 0 {
		return
	}
	k = used(k)
	s := t.segment(k)
	hole, found := s.find(k)
	if !found {
		return
	}
	s.n--
	t.n--
	// Close the gap with what was pushed past it, so that no probe ends too early.
	for at := (hole + 1) % segmentSize; s.keys[at] != 0; at = (at + 1) % segmentSize {
		home := uint(s.keys[at]) % segmentSize
		if (at-home)%segmentSize >= (at-hole)%segmentSize {
			s.keys[hole], s.values[hole] = s.keys[at], s.values[at]
			hole = at
		}
	}
	s.keys[hole], s.values[hole] = 0, 0
}
