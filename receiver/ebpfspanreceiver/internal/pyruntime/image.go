package pyruntime

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// image is an ELF file as it is in memory before relocation, except that pointers are resolved.
type image struct {
	file     *elf.File
	exported map[string]uint64
	names    map[uint64]string // of exported functions
	pointers map[uint64]uint64 // where R_X86_64_RELATIVE writes what
	symbols  map[uint64]string // where the address of a named symbol is written
	parts    []part
}

// part is a loaded section.
type part struct {
	address, offset uint64
	data            []byte
	code, writable  bool
}

// maxSection bounds what is read of a file: libpython with everything in it has sections of some 4 MB.
const maxSection = 64 << 20

func open(path string) (*image, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	im := &image{
		file: f, exported: map[string]uint64{}, names: map[uint64]string{},
		pointers: map[uint64]uint64{}, symbols: map[uint64]string{},
	}
	if err := im.load(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, errors.Join(err, f.Close()))
	}
	return im, nil
}

func (im *image) close() { _ = im.file.Close() }

func (im *image) load() error {
	dynamic, err := im.file.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range dynamic {
		if s.Section == elf.SHN_UNDEF || s.Value == 0 {
			continue
		}
		im.exported[s.Name] = s.Value
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			im.names[s.Value] = s.Name
		}
	}
	for _, s := range im.file.Sections {
		if s.Type == elf.SHT_RELA && s.Flags&elf.SHF_ALLOC != 0 {
			if err := im.relocations(s, dynamic); err != nil {
				return err
			}
		}
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Size > maxSection {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return err
		}
		im.parts = append(im.parts, part{
			address: s.Addr, offset: s.Offset, data: data,
			code: s.Flags&elf.SHF_EXECINSTR != 0, writable: s.Flags&elf.SHF_WRITE != 0,
		})
	}
	return nil
}

// relocations notes what the dynamic linker writes. Elf64_Rela is offset, info, addend.
func (im *image) relocations(s *elf.Section, dynamic []elf.Symbol) error {
	if s.Size > maxSection {
		return nil
	}
	data, err := s.Data()
	if err != nil {
		return err
	}
	for ; len(data) >= 24; data = data[24:] {
		at, info := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
		switch elf.R_X86_64(uint32(info)) {
		case elf.R_X86_64_RELATIVE:
			im.pointers[at] = binary.LittleEndian.Uint64(data[16:])
		case elf.R_X86_64_JMP_SLOT, elf.R_X86_64_GLOB_DAT, elf.R_X86_64_64:
			// Symbol 0 is not in the list.
			if n := int(info >> 32); n > 0 && n <= len(dynamic) {
				im.symbols[at] = dynamic[n-1].Name
			}
		}
	}
	return nil
}

// at returns the bytes from an address on, to the end of their section.
func (im *image) at(address uint64) ([]byte, *part) {
	for i := range im.parts {
		if p := &im.parts[i]; address >= p.address && address-p.address < uint64(len(p.data)) {
			return p.data[address-p.address:], p
		}
	}
	return nil, nil
}

// offset is where in the file code at an address is.
func (im *image) offset(address uint64) (uint64, bool) {
	_, p := im.at(address)
	if p == nil || !p.code {
		return 0, false
	}
	return address - p.address + p.offset, true
}

// pointer is the address that a word holds once the file is relocated; 0 where that is not known.
func (im *image) pointer(at uint64) uint64 {
	if v, ok := im.pointers[at]; ok {
		return v
	}
	if name, ok := im.symbols[at]; ok {
		return im.exported[name]
	}
	b, _ := im.at(at)
	if len(b) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}
