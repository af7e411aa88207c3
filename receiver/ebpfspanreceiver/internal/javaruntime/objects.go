package javaruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Before JDK 24 the identity of a mounted virtual thread is only in its object in the heap. Collectors
// move objects, at any time for a thread that is in a system call; so the object must name the carrier as
// its own, which only the one that is mounted there does, and what does not is not believed.

// Objects says where it is read, in bytes.
type Objects struct {
	// Mounted and Platform in JavaThread: handles of the current java.lang.Thread and of the carrier's.
	Mounted, Platform uint32
	// ID in java.lang.Thread (tid), and Carrier in java.lang.VirtualThread (carrierThread).
	ID, Carrier uint32
	// Narrow references are 32 bits wide: address = Base + reference << Shift.
	Narrow bool
	Shift  uint8
	Base   uint64
	// Hidden says why objects cannot be read, if they cannot: virtual threads are then known from
	// platform threads, and not from each other. Only the first two are set.
	Hidden string
}

const (
	threadClass   = "vmClasses::_klasses[static_cast<int>(vmClassID::Thread_klass_knum)]"
	platform      = "JavaThread::_threadObj"
	handle        = "OopHandle::_obj"
	fieldStream   = "InstanceKlass::_fieldinfo_stream"
	constants     = "InstanceKlass::_constants"
	className     = "Klass::_name"
	subclass      = "Klass::_subklass"
	sibling       = "Klass::_next_sibling"
	symbolLength  = "Symbol::_length"
	symbolBody    = "Symbol::_body[0]"
	bytesData     = "Array<u1>::_data"
	narrowBase    = "CompressedOops::_narrow_oop._base"
	narrowShift   = "CompressedOops::_narrow_oop._shift"
	zInstance     = "ZGlobalsForVMStructs::_instance_p"
	zMask         = "ZGlobalsForVMStructs::_ZAddressOffsetMask"
	oldZInstance  = "XGlobalsForVMStructs::_instance_p" // JDK 21 to 23, without generations
	oldZMask      = "XGlobalsForVMStructs::_XAddressOffsetMask"
	virtualThread = "java/lang/VirtualThread"
)

var objectNames = []string{
	threadClass, mounted, platform, handle, fieldStream, constants, className, subclass, sibling, symbolLength,
	symbolBody, bytesData, narrowBase, narrowShift,
}

func readObjects(im *image, s structs, threads []thread) (*Objects, error) {
	if err := need(s, []string{mounted, platform}); err != nil {
		return nil, err
	}
	o := &Objects{Mounted: uint32(s[mounted].offset), Platform: uint32(s[platform].offset)}
	for mask, instance := range map[string]string{zMask: zInstance, oldZMask: oldZInstance} {
		if used, err := zUsed(im, s, instance, mask); err != nil {
			return nil, err
		} else if used {
			o.Hidden = "the Z collector of a JDK before 24 hides where objects are: use another collector, or a newer JDK"
			return o, nil
		}
	}
	if err := need(s, objectNames); err != nil {
		return nil, err
	}
	base, err := im.word(s[narrowBase].address)
	if err != nil {
		return nil, err
	}
	shift, err := im.half(s[narrowShift].address)
	if err != nil || shift > 5 {
		return nil, fmt.Errorf("CompressedOops shift %d: %w", shift, err)
	}
	o.Base, o.Shift = base, uint8(shift)
	class, err := im.word(s[threadClass].address)
	if err != nil {
		return nil, err
	}
	if class == 0 {
		return nil, ErrNotReady
	}
	c := classes{im: im, s: s}
	if c.pool, err = typeSize(im, "ConstantPool"); err != nil {
		return nil, err
	}
	fields, err := c.fields(class)
	if err != nil {
		return nil, fmt.Errorf("fields of java.lang.Thread: %w", err)
	}
	virtual, err := c.find(class, virtualThread)
	if err != nil {
		return nil, err
	}
	virtualFields, err := c.fields(virtual)
	if err != nil {
		return nil, fmt.Errorf("fields of java.lang.VirtualThread: %w", err)
	}
	var eetop uint32
	for _, f := range []struct {
		of   map[string]uint32
		name string
		to   *uint32
	}{{fields, "eetop", &eetop}, {fields, "tid", &o.ID}, {virtualFields, "carrierThread", &o.Carrier}} {
		v, ok := f.of[f.name]
		if !ok || v < 8 || v > 4096 {
			return nil, fmt.Errorf("field %s is at %d (found: %t)", f.name, v, ok)
		}
		*f.to = v
	}
	// A reference takes 4 bytes exactly when the two long fields leave no doubt: see narrow.
	if o.Narrow, err = narrow(virtualFields, o.Carrier); err != nil {
		return nil, err
	}
	return o, o.check(im, eetop, threads)
}

// zUsed says whether the Z collector has set a variable that it shows to debuggers.
func zUsed(im *image, s structs, instance, variable string) (bool, error) {
	i, ok := s[instance]
	v, known := s[variable]
	if !ok || !known {
		return false, nil
	}
	at, err := im.word(i.address)
	if err != nil || at == 0 {
		return false, err
	}
	if at, err = im.word(at + v.offset); err != nil || at == 0 {
		return false, err
	}
	value, err := im.word(at)
	return value != 0, err
}

// narrow tells the width of references from the distance of the fields of java.lang.VirtualThread that are
// references; the VM lays them out side by side.
func narrow(fields map[string]uint32, carrier uint32) (bool, error) {
	nearest := uint32(1 << 30)
	for _, name := range []string{"scheduler", "cont", "runContinuation", "termination"} {
		if at, ok := fields[name]; ok {
			nearest = min(nearest, max(at, carrier)-min(at, carrier))
		}
	}
	switch nearest {
	case 4:
		return true, nil
	case 8:
		return false, nil
	}
	return false, fmt.Errorf("references of java.lang.VirtualThread are %d bytes apart", nearest)
}

// check reads the object of each thread as the kernel side will.
func (o *Objects) check(im *image, eetop uint32, threads []thread) error {
	ids := map[uint64]bool{}
	for _, t := range threads {
		h, err := im.word(t.at + uint64(o.Platform))
		if err != nil {
			return err
		}
		if h == 0 {
			continue
		}
		object, err := im.word(h)
		if err != nil {
			return err
		}
		self, err := im.word(object + uint64(eetop))
		if err != nil || self != t.at {
			continue // it moves, or the thread ends
		}
		id, err := im.word(object + uint64(o.ID))
		if err != nil || id == 0 || id>>48 != 0 || ids[id] {
			return fmt.Errorf("%w: the identity of a thread is %d", ErrNotReady, id)
		}
		ids[id] = true
	}
	if len(ids) < minThreads || 2*len(ids) < len(threads) {
		return fmt.Errorf("%w: %d of %d threads have an object", ErrNotReady, len(ids), len(threads))
	}
	return nil
}

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
