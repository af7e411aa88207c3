package javaruntime

import (
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
	var thread uint32
	if err := places(fields, "java.lang.Thread", maxPlace, map[string]*uint32{eetop: &thread, "tid": &o.ID}); err != nil {
		return nil, err
	}
	if err := places(virtualFields, "java.lang.VirtualThread", maxPlace, map[string]*uint32{"carrierThread": &o.Carrier}); err != nil {
		return nil, err
	}
	// A reference takes 4 bytes exactly when the two long fields leave no doubt: see narrow.
	if o.Narrow, err = narrow(virtualFields, o.Carrier); err != nil {
		return nil, err
	}
	return o, o.check(im, thread, threads)
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
func (o *Objects) check(im *image, own uint32, threads []thread) error {
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
		self, err := im.word(object + uint64(own))
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
