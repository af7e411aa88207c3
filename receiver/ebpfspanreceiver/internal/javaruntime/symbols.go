package javaruntime

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// image is a shared library as the loader has put it into memory.
type image struct {
	*memory
	base                     uint64
	symbols, strings, hashes uint64 // DT_SYMTAB, DT_STRTAB, DT_GNU_HASH
	tls                      uint64 // bytes of thread-local storage
	close                    func()
}

func loadImage(m *memory, base uint64) (*image, error) {
	im := &image{memory: m, base: base}
	var head [64]byte
	if err := m.bytes(base, head[:]); err != nil {
		return nil, err
	}
	if string(head[:4]) != elf.ELFMAG || head[elf.EI_CLASS] != byte(elf.ELFCLASS64) || head[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return nil, fmt.Errorf("no 64-bit little-endian ELF file at %#x", base)
	}
	le := binary.LittleEndian
	size, count := le.Uint16(head[54:]), le.Uint16(head[56:])
	if size != 56 || count > 64 {
		return nil, fmt.Errorf("%d program headers of %d bytes", count, size)
	}
	dynamic, dynamicSize := uint64(0), uint64(0)
	for i := range uint64(count) {
		var p [56]byte
		if err := m.bytes(base+le.Uint64(head[32:])+i*56, p[:]); err != nil {
			return nil, err
		}
		switch elf.ProgType(le.Uint32(p[:])) {
		case elf.PT_DYNAMIC:
			dynamic, dynamicSize = base+le.Uint64(p[16:]), min(le.Uint64(p[40:]), 64<<10)
		case elf.PT_TLS:
			im.tls = min(le.Uint64(p[40:]), 4<<10)
		}
	}
	for at := dynamic; at+16 <= dynamic+dynamicSize; at += 16 {
		tag, err := m.word(at)
		if err != nil {
			return nil, err
		}
		value, err := m.word(at + 8)
		if err != nil {
			return nil, err
		}
		if value < base { // glibc makes them absolute, musl does not
			value += base
		}
		switch elf.DynTag(tag) {
		case elf.DT_SYMTAB:
			im.symbols = value
		case elf.DT_STRTAB:
			im.strings = value
		case elf.DT_GNU_HASH:
			im.hashes = value
		case elf.DT_NULL:
			at = dynamic + dynamicSize
		}
	}
	if im.symbols == 0 || im.strings == 0 || im.hashes == 0 {
		return nil, fmt.Errorf("no symbols: DT_SYMTAB %#x, DT_STRTAB %#x, DT_GNU_HASH %#x", im.symbols, im.strings, im.hashes)
	}
	return im, nil
}

// errNoSymbol: the library does not export it.
type errNoSymbol string

func (e errNoSymbol) Error() string { return "no exported symbol " + string(e) }

// symbol is the address of an exported symbol. The table: sourceware.org/gnu-gabi/program-loading-and-
// dynamic-linking.txt, "Hash table".
func (im *image) symbol(name string) (uint64, error) {
	hash := uint32(5381)
	for _, c := range []byte(name) {
		hash = hash*33 + uint32(c)
	}
	buckets, err := im.half(im.hashes)
	if err != nil {
		return 0, err
	}
	first, err := im.half(im.hashes + 4)
	if err != nil {
		return 0, err
	}
	blooms, err := im.half(im.hashes + 8)
	if err != nil {
		return 0, err
	}
	if buckets == 0 {
		return 0, errNoSymbol(name)
	}
	bucket := im.hashes + 16 + 8*uint64(blooms)
	chain := bucket + 4*uint64(buckets)
	index, err := im.half(bucket + 4*uint64(hash%buckets))
	if err != nil {
		return 0, err
	}
	if index < first {
		return 0, errNoSymbol(name)
	}
	for range 1000 {
		have, err := im.half(chain + 4*uint64(index-first))
		if err != nil {
			return 0, err
		}
		if have|1 == hash|1 {
			var s [24]byte
			if err := im.bytes(im.symbols+24*uint64(index), s[:]); err != nil {
				return 0, err
			}
			found, err := im.text(im.strings + uint64(binary.LittleEndian.Uint32(s[:])))
			if err != nil {
				return 0, err
			}
			if found == name {
				return im.base + binary.LittleEndian.Uint64(s[8:]), nil
			}
		}
		if have&1 != 0 {
			break
		}
		index++
	}
	return 0, errNoSymbol(name)
}
