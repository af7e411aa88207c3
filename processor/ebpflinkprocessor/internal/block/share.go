package block

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Shared is a string, a number or a boolean that any number of attributes have without an allocation for each.
// pdata keeps each value in an object of its own, to which an attribute points. Setting an attribute gives
// it another object and never changes the old one, so attributes of different spans may point to the same.
// pdata has no way to say so: Share and Set go past its API, where CanShare has found that they may.
type Shared struct {
	object any
}

// Share returns the value of v, which is a string, a number or a boolean. Ask CanShare first.
func Share(v pcommon.Value) Shared { return Shared{*objectOf(&v)} }

// Set makes v the value.
func (s Shared) Set(v pcommon.Value) { *objectOf(&v) = s.object }

// Put makes s the value of key in m.
func (s Shared) Put(m pcommon.Map, key string) {
	ps := pairsOf(&m)
	for i := range *ps {
		if p := &(*ps)[i]; p.key == key {
			p.value = s
			return
		}
	}
	*add(ps, key) = s
}

// Recent is the value that some attributes had last.
type Recent[T comparable] struct {
	last  T
	value Shared
}

// Of is the value v, made by write or as it was last.
func (r *Recent[T]) Of(v T, write func(T) pcommon.Value) Shared {
	if !r.was(v) {
		r.last, r.value = v, Share(write(v))
	}
	return r.value
}

// was says whether v is the value that they had last.
func (r *Recent[T]) was(v T) bool { return r.last == v && r.value.object != nil }

// objectOf is where v points to its object, if pcommon.Value is what asKnown finds it to be: a pointer to a struct
// with nothing but an interface, and the state of the batch.
func objectOf(v *pcommon.Value) *any { return *(**any)(unsafe.Pointer(v)) }

// CanShare says whether values can be shared with the pdata of this program as it is configured: its feature gate
// pdata.useProtoPooling, which is off unless somebody asks for it, uses the objects of values again.
func CanShare() bool {
	return asKnown(reflect.TypeFor[pcommon.Value]()) && pairsAsKnown(reflect.TypeFor[pcommon.Map]()) && keepsObjects() &&
		objectAsKnown[int64](pcommon.NewValueInt(0)) && objectAsKnown[string](pcommon.NewValueStr(""))
}

// asKnown says whether t is laid out as objectOf takes pcommon.Value to be.
func asKnown(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.NumField() == 0 || t.Field(0).Offset != 0 || t.Field(0).Type.Kind() != reflect.Pointer {
		return false
	}
	return heldAsKnown(t.Field(0).Type.Elem())
}

// heldAsKnown says whether held is a struct with nothing but an interface that says nothing.
func heldAsKnown(held reflect.Type) bool {
	return held.Kind() == reflect.Struct && held.NumField() == 1 &&
		held.Field(0).Type.Kind() == reflect.Interface && held.Field(0).Type.NumMethod() == 0
}

// keepsObjects tries whether changing one of two attributes that share a value leaves the other as it was.
func keepsObjects() bool {
	for _, first := range []any{"a", int64(1), 1.5, true} {
		changes := []func(pcommon.Value){
			func(v pcommon.Value) { v.SetStr("b") },
			func(v pcommon.Value) { v.SetInt(2) },
			func(v pcommon.Value) { v.SetDouble(2.5) },
			func(v pcommon.Value) { v.SetBool(false) },
			func(v pcommon.Value) { pcommon.NewValueEmpty().MoveTo(v) },
			func(v pcommon.Value) { pcommon.NewValueStr("b").CopyTo(v) },
		}
		for _, change := range changes {
			one, other := pcommon.NewValueEmpty(), pcommon.NewValueEmpty()
			if one.FromRaw(first) != nil {
				return false
			}
			Share(one).Set(other)
			change(one)
			if other.AsRaw() != first {
				return false
			}
		}
	}
	return true
}
