package link

import (
	"math/bits"
	"unsafe"
)

// Table maps keys to values. A Go map takes twice the room, and doubles all of it at once: here only the
// segment that is full is split in two. The zero Table is empty.
type Table[V any] struct {
	// directory has 1<<depth entries; a segment of less depth has several of them. segments are those of the same
	// number: they are not in the directory, so that more of it fits in the nearest cache.
	directory []*places[V]
	segments  []*segment
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

// segment is what a change needs to know of the places. The high bits of a key choose it (spread), the low ones
// above the domain the place, from which on it probes.
type segment struct {
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

// place is the entry of k.
func (t *Table[V]) place(k Key) uint64 { return uint64(spread(k)) >> ((32 - t.depth) % 64) }

// spread is what chooses the segment of k. Keys are hashes: by their high bits alone all segments would be full at
// once, and the table half empty after that. Here a segment gets the more keys the higher it is, the last twice as many
// as the first, so at any time as many of them are nearly full as have just been split. It is log2(1+x) nearly, x the
// high bits from 0 to 1: x + 0.344x(1-x).
func spread(k Key) uint32 {
	x := uint64(k) >> 32
	return uint32(x + (x*(1<<32-1-x)>>32)*88>>8)
}

// abreast is how many places of 16 bytes are a cache line.
const abreast = 4

// home is where a cache line of the places begins: most keys are found in the first of them, in one look at
// memory.
func home(k Key) uint { return uint(k>>domainBits) % segmentSize &^ (abreast - 1) }

// at is one of the places.
func (s *places[V]) at(i uint) *held[V] { return element((*held[V])(unsafe.Pointer(s)), uintptr(i)) }

// index is that of one of the places.
func (s *places[V]) index(at *held[V]) uint {
	return uint((uintptr(unsafe.Pointer(at)) - uintptr(unsafe.Pointer(s))) / unsafe.Sizeof(*at))
}

// find returns the place of k, or the empty one where it would be. It asks a line at once: in which of its places a key
// is, nobody can foresee, so to ask one after the other is a branch that the processor gets wrong for nearly each key.
func (s *places[V]) find(k Key) (at *held[V], found bool) {
	for i := home(k); ; i = (i + abreast) % segmentSize {
		at = s.at(i)
		line := (*[abreast]held[V])(unsafe.Pointer(at))
		a, b, c, d := line[0].key, line[1].key, line[2].key, line[3].key
		if here := bit(a == k) | bit(b == k)<<1 | bit(c == k)<<2 | bit(d == k)<<3; here != 0 {
			return element(at, uintptr(bits.TrailingZeros8(here))), true
		}
		// No key lies beyond an empty place.
		if free := bit(a == 0) | bit(b == 0)<<1 | bit(c == 0)<<2 | bit(d == 0)<<3; free != 0 {
			return element(at, uintptr(bits.TrailingZeros8(free))), false
		}
	}
}

// Get returns the value of k, nil when there is none. It is valid until the next Put or Delete.
func (t *Table[V]) Get(k Key) *V {
	if t.n == 0 {
		return nil
	}
	at, found := t.directory[t.place(k)].find(k)
	if !found {
		return nil
	}
	return &at.value
}

// Put returns the value of k, which is zero when there was none. It is valid until the next Put or Delete.
func (t *Table[V]) Put(k Key) *V {
	if t.directory == nil {
		t.directory, t.segments = []*places[V]{grab[places[V]](t.Arena)}, []*segment{{}}
	}
	n := t.place(k)
	at, found := t.directory[n].find(k)
	if found {
		return &at.value
	}
	for t.segments[n].n >= segmentFull {
		t.split(n)
		n = t.place(k)
		at, _ = t.directory[n].find(k)
	}
	t.segments[n].n++
	t.n++
	at.key = k
	return &at.value
}

// split moves the keys of the segment of entry n with the next bit set to a segment of their own.
func (t *Table[V]) split(n uint64) {
	lower := t.segments[n]
	if lower.depth == t.depth {
		t.depth++
		n *= 2
		t.directory, t.segments = twice(t.directory), twice(t.segments)
	}
	keep := t.directory[n]
	lower.n = 0
	lower.depth++
	move, upper := grab[places[V]](t.Arena), &segment{depth: lower.depth}
	// Behind an empty place all keys lie where they are looked for, or further on. So none is put on one that has not
	// been looked at.
	empty := uint(0)
	for keep.at(empty).key != 0 {
		empty++
	}
	for i := empty + 1; i < empty+segmentSize; i++ {
		from := keep.at(i % segmentSize)
		one := *from
		if one.key == 0 {
			continue
		}
		*from = held[V]{}
		to, half := keep, lower
		if spread(one.key)>>(32-lower.depth)&1 != 0 {
			to, half = move, upper
		}
		at, _ := to.find(one.key)
		*at = one
		half.n++
	}
	// The entries of a segment lie side by side; the upper half of them is the new one's.
	span := uint64(1) << (t.depth - lower.depth)
	first := n &^ (2*span - 1)
	for i := first + span; i < first+2*span; i++ {
		t.directory[i], t.segments[i] = move, upper
	}
}

// twice has each entry twice.
func twice[E any](entries []E) []E {
	wide := make([]E, 2*len(entries))
	for i, e := range entries {
		wide[2*i], wide[2*i+1] = e, e
	}
	return wide
}

// Delete removes k.
func (t *Table[V]) Delete(k Key) {
	if t.n == 0 {
		return
	}
	n := t.place(k)
	s := t.directory[n]
	gone, found := s.find(k)
	if !found {
		return
	}
	t.segments[n].n--
	t.n--
	// Close the gap with what was pushed past it, so that no probe ends too early.
	hole := s.index(gone)
	for i := (hole + 1) % segmentSize; ; i = (i + 1) % segmentSize {
		at := s.at(i)
		if at.key == 0 {
			break
		}
		if (i-home(at.key))%segmentSize >= (i-hole)%segmentSize {
			*gone = *at
			gone, hole = at, i
		}
	}
	*gone = held[V]{}
}
