package javaruntime

import (
	"encoding/binary"
	"fmt"
)

// field is an entry of gHotSpotVMStructs: offset in its structure, or address when it is static.
type field struct {
	offset, address uint64
	static          bool
}

// structs are the entries that were asked for, by "Type::field".
type structs map[string]field

// readStructs reads gHotSpotVMStructs.
func readStructs(im *image, wanted func(name string) bool) (structs, error) {
	out := structs{}
	members := []string{"TypeNameOffset", "FieldNameOffset", "IsStaticOffset", "OffsetOffset", "AddressOffset"}
	err := im.table("gHotSpotVMStructs", "gHotSpotVMStructEntry", members, func(e []uint64) (bool, error) {
		typ, err := im.text(e[0])
		if err != nil {
			return false, err
		}
		name, err := im.text(e[1])
		if err != nil {
			return false, err
		}
		if name = typ + "::" + name; wanted(name) {
			out[name] = field{offset: e[3], address: e[4], static: uint32(e[2]) != 0}
		}
		return true, nil
	})
	return out, err
}

// typeSize is that of a type in gHotSpotVMTypes, in bytes.
func typeSize(im *image, name string) (uint64, error) {
	size := uint64(0)
	err := im.table("gHotSpotVMTypes", "gHotSpotVMTypeEntry", []string{"TypeNameOffset", "SizeOffset"}, func(e []uint64) (bool, error) {
		typ, err := im.text(e[0])
		if typ == name {
			size = e[1]
		}
		return size == 0, err
	})
	if err == nil && size == 0 {
		err = fmt.Errorf("gHotSpotVMTypes has no %s", name)
	}
	return size, err
}

// table walks a table of the VM until visit says no, or to its end: an entry whose first member is 0.
// Where the members of an entry are is exported, too. visit gets a word of each.
func (im *image) table(name, entry string, members []string, visit func([]uint64) (bool, error)) error {
	at, err := im.value(name)
	if err != nil {
		return err
	}
	layout := make([]uint64, len(members)+1)
	for i, m := range append([]string{"ArrayStride"}, members...) {
		if layout[i], err = im.value(entry + m); err != nil {
			return err
		}
		if layout[i] > 256 {
			// The loader maps the whole library first, and its data over that then.
			return fmt.Errorf("%w: %s%s is %d", ErrNotReady, entry, m, layout[i])
		}
	}
	stride, offsets := layout[0], layout[1:]
	if at < im.base || stride == 0 {
		return ErrNotReady // the library has not been initialized, or the loader has not relocated it yet
	}
	raw, words := make([]byte, 256+8), make([]uint64, len(members))
	for range 1 << 14 { // about 3000 fields in JDK 25
		if err := im.bytes(at, raw); err != nil {
			return err
		}
		for i, o := range offsets {
			words[i] = binary.LittleEndian.Uint64(raw[o:])
		}
		if words[0] == 0 {
			return nil
		}
		if more, err := visit(words); !more || err != nil {
			return err
		}
		at += stride
	}
	return fmt.Errorf("%s does not end", name)
}

// value is the word at an exported symbol.
func (im *image) value(name string) (uint64, error) {
	at, err := im.symbol(name)
	if err != nil {
		return 0, err
	}
	return im.word(at)
}
