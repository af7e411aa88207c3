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

// readStructs walks gHotSpotVMStructs, whose own layout is exported too.
func readStructs(im *image, wanted func(typ, name string) bool) (structs, error) {
	at, err := im.value("gHotSpotVMStructs")
	if err != nil {
		return nil, err
	}
	var stride, typeName, fieldName, isStatic, offset, address uint64
	for name, to := range map[string]*uint64{
		"ArrayStride": &stride, "TypeNameOffset": &typeName, "FieldNameOffset": &fieldName,
		"IsStaticOffset": &isStatic, "OffsetOffset": &offset, "AddressOffset": &address,
	} {
		if *to, err = im.value("gHotSpotVMStructEntry" + name); err != nil {
			return nil, err
		}
		if *to > 256 {
			return nil, fmt.Errorf("gHotSpotVMStructEntry%s is %d", name, *to)
		}
	}
	if at == 0 || stride == 0 {
		return nil, errNotReady
	}
	out := structs{}
	entry := make([]byte, stride+8)
	word := func(at uint64) uint64 {
		if at+8 > uint64(len(entry)) {
			return 0
		}
		return binary.LittleEndian.Uint64(entry[at:])
	}
	for range 1 << 14 { // about 3000 in JDK 25
		if err := im.bytes(at, entry); err != nil {
			return nil, err
		}
		if word(typeName) == 0 {
			return out, nil
		}
		typ, err := im.text(word(typeName))
		if err != nil {
			return nil, err
		}
		name, err := im.text(word(fieldName))
		if err != nil {
			return nil, err
		}
		if wanted(typ, name) {
			out[typ+"::"+name] = field{word(offset), word(address), uint32(word(isStatic)) != 0}
		}
		at += stride
	}
	return nil, fmt.Errorf("gHotSpotVMStructs does not end")
}

// value is the word at an exported symbol.
func (im *image) value(name string) (uint64, error) {
	at, err := im.symbol(name)
	if err != nil {
		return 0, err
	}
	return im.word(at)
}
