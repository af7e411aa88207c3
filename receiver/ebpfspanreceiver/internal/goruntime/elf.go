package goruntime

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Limits on what a file may make us allocate. A linker writes some 10 segments
// and 50 sections; -ffunction-sections links stay far below the cap too.
const (
	maxSegments = 256
	maxSections = 4096
	maxShstrtab = 1 << 20
)

// ELF constants, System V ABI chapters 4 and 5 and the psABI of each machine.
const (
	ptLoad, ptInterp, ptNote, ptTLS = 1, 3, 4, 7
	pfX, pfW                        = 1, 2
	shtNobits                       = 8
	shfCompressed                   = 0x800
	emX86_64, emAArch64             = 62, 183
	etExec, etDyn                   = 2, 3
)

type segment struct {
	kind, flags                        uint32
	off, vaddr, filesz, memsz, alignTo uint64
}

type section struct {
	name              string
	kind              uint32
	flags             uint64
	addr, off, length uint64
}

// image is an ELF file seen through its headers; contents are read on demand.
type image struct {
	r        io.ReaderAt
	size     int64
	arch     Arch
	fileType uint16
	segments []segment
	sections []section
}

// openImage reads the headers of a 64-bit little-endian ELF file of size bytes.
// Missing or implausible section headers are not an error: the loader does not
// need them and some packers remove them.
func openImage(r io.ReaderAt, size int64) (*image, error) {
	var h [64]byte
	if size < int64(len(h)) {
		return nil, fmt.Errorf("%w: %d bytes are too few for an ELF header", ErrMalformed, size)
	}
	if err := readFull(r, h[:], 0); err != nil {
		return nil, fmt.Errorf("read ELF header: %w", err)
	}
	if string(h[:4]) != "\x7fELF" {
		return nil, fmt.Errorf("%w: no ELF magic at offset 0", ErrMalformed)
	}
	if h[4] != 2 || h[5] != 1 {
		return nil, fmt.Errorf("%w: ELF class %d, data encoding %d; only 64-bit little-endian is read", ErrUnsupported, h[4], h[5])
	}
	le := binary.LittleEndian
	im := &image{r: r, size: size, fileType: le.Uint16(h[16:])}
	switch m := le.Uint16(h[18:]); m {
	case emX86_64:
		im.arch = AMD64
	case emAArch64:
		im.arch = ARM64
	default:
		return nil, fmt.Errorf("%w: ELF machine %d; only amd64 (62) and arm64 (183) are read", ErrUnsupported, m)
	}
	if im.fileType != etExec && im.fileType != etDyn {
		return nil, fmt.Errorf("%w: ELF type %d is not an executable", ErrMalformed, im.fileType)
	}
	phoff, shoff := le.Uint64(h[32:]), le.Uint64(h[40:])
	phentsize, phnum := le.Uint16(h[54:]), le.Uint16(h[56:])
	shentsize, shnum, shstrndx := le.Uint16(h[58:]), le.Uint16(h[60:]), le.Uint16(h[62:])
	if phentsize != 56 || phnum == 0 || phnum > maxSegments {
		return nil, fmt.Errorf("%w: %d program headers of %d bytes (expected 1..%d of 56)", ErrMalformed, phnum, phentsize, maxSegments)
	}
	ph, err := im.bytes(phoff, uint64(phnum)*56)
	if err != nil {
		return nil, fmt.Errorf("program headers: %w", err)
	}
	im.segments = make([]segment, phnum)
	for i := range im.segments {
		b := ph[i*56:]
		im.segments[i] = segment{
			kind: le.Uint32(b), flags: le.Uint32(b[4:]), off: le.Uint64(b[8:]), vaddr: le.Uint64(b[16:]),
			filesz: le.Uint64(b[32:]), memsz: le.Uint64(b[40:]), alignTo: le.Uint64(b[48:]),
		}
	}
	if shentsize == 64 && shnum > 0 && shnum <= maxSections && shstrndx < shnum {
		im.readSections(shoff, int(shnum), int(shstrndx))
	}
	return im, nil
}

// readSections fills im.sections, or leaves it empty when the table is unusable.
func (im *image) readSections(shoff uint64, n, strndx int) {
	sh, err := im.bytes(shoff, uint64(n)*64)
	if err != nil {
		return
	}
	le := binary.LittleEndian
	str := sh[strndx*64:]
	strLen := le.Uint64(str[32:])
	if strLen > maxShstrtab {
		return
	}
	names, err := im.bytes(le.Uint64(str[24:]), strLen)
	if err != nil {
		return
	}
	im.sections = make([]section, n)
	for i := range im.sections {
		b := sh[i*64:]
		im.sections[i] = section{
			name: cString(names, uint64(le.Uint32(b))), kind: le.Uint32(b[4:]), flags: le.Uint64(b[8:]),
			addr: le.Uint64(b[16:]), off: le.Uint64(b[24:]), length: le.Uint64(b[32:]),
		}
	}
}

// section returns the first section of that name with contents inside the file.
func (im *image) section(names ...string) (section, bool) {
	for _, want := range names {
		for _, s := range im.sections {
			if s.name == want && s.kind != shtNobits && im.inFile(s.off, s.length) {
				return s, true
			}
		}
	}
	return section{}, false
}

func (im *image) inFile(off, n uint64) bool {
	return off <= uint64(im.size) && n <= uint64(im.size)-off
}

// bytes reads n bytes at file offset off. The length is checked against the
// file first, so a false header cannot make it allocate more than the file has.
func (im *image) bytes(off, n uint64) ([]byte, error) {
	if !im.inFile(off, n) {
		return nil, fmt.Errorf("%w: %d bytes at offset %#x lie outside the file of %d bytes", ErrMalformed, n, off, im.size)
	}
	b := make([]byte, n)
	return b, readFull(im.r, b, int64(off))
}

// fileOffset converts a virtual address of n mapped bytes to a file offset.
func (im *image) fileOffset(vaddr, n uint64) (uint64, bool) {
	for _, s := range im.segments {
		if s.kind != ptLoad || vaddr < s.vaddr || vaddr-s.vaddr > s.filesz || n > s.filesz-(vaddr-s.vaddr) {
			continue
		}
		off := s.off + (vaddr - s.vaddr)
		if off < s.off || !im.inFile(off, n) {
			return 0, false
		}
		return off, true
	}
	return 0, false
}

// at reads n bytes at virtual address vaddr.
func (im *image) at(vaddr, n uint64) ([]byte, error) {
	off, ok := im.fileOffset(vaddr, n)
	if !ok {
		return nil, fmt.Errorf("%w: %d bytes at address %#x are in no loaded segment", ErrMalformed, n, vaddr)
	}
	return im.bytes(off, n)
}

// readFull fills b from off; the end of the file inside b is an error.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// cString returns the NUL-terminated string at off, or "" if it leaves b.
func cString(b []byte, off uint64) string {
	if off >= uint64(len(b)) {
		return ""
	}
	for i := off; i < uint64(len(b)); i++ {
		if b[i] == 0 {
			return string(b[off:i])
		}
	}
	return ""
}
