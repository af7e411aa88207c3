package block

import (
	"reflect"
	"slices"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// pair is an attribute as pdata keeps it, where pairsAsKnown finds that it does.
type pair struct {
	value Shared
	key   string
	_     int32
}

// pairsOf is where m points to its attributes, if pcommon.Map is what pairsAsKnown finds it to be.
func pairsOf(m *pcommon.Map) *[]pair { return *(**[]pair)(unsafe.Pointer(m)) }

// room is where the attributes of spans and their values are made: of several spans in one object, where pdata makes
// an object for each. So who keeps an attribute keeps those of some spans beside it.
type room struct {
	pairs []pair
	ints  []int64
	texts []string
	// anInt and aText are of the types of pdata's objects, empty is a value that is nowhere.
	anInt, aText Shared
	empty        pcommon.Value
}

// How many are made at once. 172 pairs are what fits an object of 6.75 KiB, of which the allocator takes seven at a time
// (of 4 KiB, two: that takes three times as long): the attributes of some thirteen spans.
const (
	pairsAtOnce = 172
	intsAtOnce  = 64
	textsAtOnce = 8
)

// open makes the room ready. Ask CanShare first.
func (r *room) open() {
	if r.anInt.object == nil {
		r.anInt, r.aText, r.empty = Share(pcommon.NewValueInt(0)), Share(pcommon.NewValueStr("")), pcommon.NewValueEmpty()
	}
}

// attributes returns room for n attributes.
func (r *room) attributes(n int) []pair {
	if len(r.pairs) < n {
		r.pairs = make([]pair, max(n, pairsAtOnce))
	}
	ps := r.pairs[:0:n]
	r.pairs = r.pairs[n:]
	return ps
}

// integer returns v as a value.
func (r *room) integer(v int64) Shared {
	return r.anInt.at(unsafe.Pointer(place(&r.ints, intsAtOnce, v)))
}

// text returns s as a value.
func (r *room) text(s string) Shared {
	return r.aText.at(unsafe.Pointer(place(&r.texts, textsAtOnce, s)))
}

// place puts v where free has room for it, of which so much is made at once.
func place[T any](free *[]T, atOnce int, v T) *T {
	if len(*free) == 0 {
		*free = make([]T, atOnce)
	}
	p := &(*free)[0]
	*free = (*free)[1:]
	*p = v
	return p
}

// at returns the object at p, of the type of that of s.
func (s Shared) at(p unsafe.Pointer) Shared {
	(*[2]unsafe.Pointer)(unsafe.Pointer(&s.object))[1] = p
	return s
}

// add appends an attribute without a value, and returns where that belongs. It is written where it stays: copying one
// there costs more while garbage is collected.
func add(ps *[]pair, key string) *Shared {
	n := len(*ps)
	if n == cap(*ps) {
		*ps = slices.Grow(*ps, 1)
	}
	*ps = (*ps)[:n+1]
	p := &(*ps)[n]
	p.key = key
	return &p.value
}

// kind tells the types of objects apart, place is where the object is. There is none in an empty value.
func (s *Shared) kind() unsafe.Pointer  { return (*[2]unsafe.Pointer)(unsafe.Pointer(s))[0] }
func (s *Shared) place() unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(s))[1] }

// value is what s is in pdata's words.
func (r *room) value(s *Shared) pcommon.Value {
	v := r.empty
	*(**Shared)(unsafe.Pointer(&v)) = s
	return v
}

// pairsAsKnown says whether t is laid out as pairsOf takes pcommon.Map to be: a pointer to a slice of what pair is.
func pairsAsKnown(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.NumField() == 0 || t.Field(0).Offset != 0 || t.Field(0).Type.Kind() != reflect.Pointer ||
		t.Field(0).Type.Elem().Kind() != reflect.Slice {
		return false
	}
	known, found := reflect.TypeFor[pair](), t.Field(0).Type.Elem().Elem()
	return found.Kind() == reflect.Struct && found.NumField() == known.NumField() && found.Size() == known.Size() &&
		heldAsKnown(found.Field(0).Type) &&
		found.Field(1).Type == known.Field(1).Type && found.Field(1).Offset == known.Field(1).Offset &&
		found.Field(2).Type == known.Field(2).Type && found.Field(2).Offset == known.Field(2).Offset
}

// objectAsKnown says whether the object of v is a pointer to a struct with nothing but a T.
func objectAsKnown[T any](v pcommon.Value) bool {
	t := reflect.TypeOf(Share(v).object)
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && t.Elem().NumField() == 1 &&
		t.Elem().Field(0).Type == reflect.TypeFor[T]() && t.Elem().Size() == reflect.TypeFor[T]().Size()
}
