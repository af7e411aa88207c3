package javaruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// classes reads what the VM knows of classes.
type classes struct {
	im   *image
	s    structs
	pool uint64 // bytes before the entries of a constant pool
}

func (c *classes) symbol(at uint64) (string, error) {
	var length [2]byte
	if err := c.im.bytes(at+c.s[symbolLength].offset, length[:]); err != nil {
		return "", err
	}
	body := make([]byte, min(binary.LittleEndian.Uint16(length[:]), 256))
	err := c.im.bytes(at+c.s[symbolBody].offset, body)
	return string(body), err
}

// find looks for a class among the subclasses of class.
func (c *classes) find(class uint64, name string) (uint64, error) {
	next := []uint64{class}
	for range 1 << 17 { // a large application has tens of thousands of classes
		if len(next) == 0 {
			break
		}
		k := next[len(next)-1]
		next = next[:len(next)-1]
		at, err := c.im.word(k + c.s[className].offset)
		if err != nil {
			return 0, err
		}
		if have, err := c.symbol(at); err != nil {
			return 0, err
		} else if have == name {
			return k, nil
		}
		for _, link := range []string{sibling, subclass} {
			if k == class && link == sibling {
				continue
			}
			to, err := c.im.word(k + c.s[link].offset)
			if err != nil {
				return 0, err
			}
			if to != 0 {
				next = append(next, to)
			}
		}
	}
	return 0, fmt.Errorf("%w: class %s is not loaded", ErrNotReady, name)
}

// fields are the offsets of the fields that a class declares itself, by name. Their stream, since JDK 21:
// hotspot/share/oops/fieldInfo.hpp. Each number is in the encoding UNSIGNED5.
func (c *classes) fields(class uint64) (map[string]uint32, error) {
	array, err := c.im.word(class + c.s[fieldStream].offset)
	if err != nil {
		return nil, err
	}
	pool, err := c.im.word(class + c.s[constants].offset)
	if err != nil {
		return nil, err
	}
	length, err := c.im.half(array)
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(length, 8<<10))
	if err := c.im.bytes(array+c.s[bytesData].offset, data); err != nil {
		return nil, err
	}
	r := unsigned5{data: data}
	declared, injected := r.next(), r.next()
	_ = injected // they follow the declared ones
	out := map[string]uint32{}
	for range min(declared, 1000) {
		name, _, offset := r.next(), r.next(), r.next()
		_ = r.next() // access flags
		flags := r.next()
		for _, optional := range []uint32{fieldInitialized, fieldGeneric, fieldContended} {
			if flags&optional != 0 {
				r.next()
			}
		}
		if r.bad {
			return nil, errors.New("the stream of fields cannot be read")
		}
		at, err := c.im.word(pool + c.pool + 8*uint64(name))
		if err != nil {
			return nil, err
		}
		text, err := c.symbol(at)
		if err != nil {
			return nil, err
		}
		out[text] = offset
	}
	return out, nil
}

// Flags of a field that say what follows it in the stream.
const (
	fieldInitialized = 1 << 0
	fieldGeneric     = 1 << 2
	fieldContended   = 1 << 4
)

// unsigned5 reads numbers of one to five bytes: hotspot/share/utilities/unsigned5.hpp. A byte is a digit of
// 6 bits plus 1, the lowest first; from 192 on another follows. No byte is 0.
type unsigned5 struct {
	data []byte
	bad  bool
}

func (r *unsigned5) next() uint32 {
	sum := uint32(0)
	for i := range 5 {
		if len(r.data) == 0 || r.data[0] == 0 {
			r.bad = true
			return 0
		}
		b := uint32(r.data[0])
		r.data = r.data[1:]
		sum += (b - 1) << (6 * i)
		if b < 192 {
			return sum
		}
	}
	return sum
}

const (
	oldFields     = "InstanceKlass::_fields"
	oldFieldCount = "InstanceKlass::_java_fields_count"
	shortsData    = "Array<u2>::_data"
)

// fieldsOf is fields, of any release.
func (c *classes) fieldsOf(class uint64) (map[string]uint32, error) {
	if _, ok := c.s[fieldStream]; ok {
		return c.fields(class)
	}
	return c.oldFields(class)
}

// places are where fields of a class are, by their names, each in the first most bytes of an object.
func places(fields map[string]uint32, class string, most uint32, to map[string]*uint32) error {
	for name, place := range to {
		at, ok := fields[name]
		if !ok || at < 8 || at > most {
			return fmt.Errorf("field %s of %s is at %d (found: %t)", name, class, at, ok)
		}
		*place = at
	}
	return nil
}

// maxPlace is further from the beginning of an object than any field of a thread.
const maxPlace = 4096

// oldFields: before JDK 21 a field took six numbers of 16 bits: hotspot/share/oops/fieldInfo.hpp of JDK 17.
func (c *classes) oldFields(class uint64) (map[string]uint32, error) {
	if err := need(c.s, []string{oldFields, oldFieldCount, shortsData}); err != nil {
		return nil, err
	}
	array, err := c.im.word(class + c.s[oldFields].offset)
	if err != nil {
		return nil, err
	}
	pool, err := c.im.word(class + c.s[constants].offset)
	if err != nil {
		return nil, err
	}
	var count [2]byte
	if err := c.im.bytes(class+c.s[oldFieldCount].offset, count[:]); err != nil {
		return nil, err
	}
	const (
		size             = 6 * 2
		name, low, high  = 1 * 2, 4 * 2, 5 * 2
		tagBits, isPlace = 2, 1 // what the lowest bits of an offset say
	)
	data := make([]byte, size*min(int(binary.LittleEndian.Uint16(count[:])), 1000))
	if err := c.im.bytes(array+c.s[shortsData].offset, data); err != nil {
		return nil, err
	}
	out := map[string]uint32{}
	for ; len(data) >= size; data = data[size:] {
		number := func(at int) uint32 { return uint32(binary.LittleEndian.Uint16(data[at:])) }
		packed := number(high)<<16 | number(low)
		if packed&(1<<tagBits-1) != isPlace {
			return nil, fmt.Errorf("%w: a field has no place yet", ErrNotReady)
		}
		at, err := c.im.word(pool + c.pool + 8*uint64(number(name)))
		if err != nil {
			return nil, err
		}
		text, err := c.symbol(at)
		if err != nil {
			return nil, err
		}
		out[text] = packed >> tagBits
	}
	return out, nil
}
