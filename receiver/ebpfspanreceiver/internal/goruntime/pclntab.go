package goruntime

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Layouts of the runtime's function table (pclntab). Each starts with
//
//	magic u32, 0 u8, 0 u8, instruction quantum u8, pointer size u8, nfunc u64, nfiles u64
//
// then 1.16: offsets of funcname, cu, file, pc tables and of the function table, all u64;
// from 1.18 a text start u64 comes before them (0 in 1.26: the linker no longer relocates it).
// The function table has nfunc entries {entry, offset of the function's record} and a final entry address:
// 1.16 two u64 with absolute addresses, from 1.18 two u32 with the address relative to the text start.
// A record starts with its entry (same width) and then the name's offset, i32.
const (
	magic116 = 0xfffffffa
	magic118 = 0xfffffff0
	magic120 = 0xfffffff1

	// A name longer than this is none of ours.
	maxWantedName = 64
	// The linker keeps a package's functions together; wrappers with the same
	// name as an assembly function come at the end of its package. The runtime
	// has some 4,000 functions.
	functionsAfterLast = 8192
	// More functions of one name than any linker makes.
	maxSameName = 8
	// More names than we ask for; a bound for hostile tables.
	maxNames = 128
	// More functions than the largest known Go programs have (about a million).
	maxFunctions = 8 << 20
	// No one function of the runtime that we read is near this size.
	maxFunction = 64 << 10
)

// function is a function's address range, relative to the text start when relative is set in its table.
type function struct {
	name       string
	entry, end uint64
}

type funcTable struct {
	im        *image
	magic     uint32
	nfunc     uint64
	textStart uint64 // as the header says: 0 when absent
	names     section
	funcs     section // function table and records
	functions map[string][]function
}

func (t *funcTable) relative() bool { return t.magic != magic116 }

// findFuncTable locates the table by section name, else by its magic in the loaded segments.
func findFuncTable(im *image) (*funcTable, error) {
	if s, ok := im.section(".gopclntab", ".data.rel.ro.gopclntab"); ok {
		if t := parseFuncTable(im, s.off, s.length); t != nil {
			return t, nil
		}
	}
	for _, s := range im.segments {
		if s.kind != ptLoad || !im.inFile(s.off, s.filesz) {
			continue
		}
		if t := scanFuncTable(im, s); t != nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: no function table (.gopclntab) of Go 1.16 or later in any loaded segment; packed executables (upx) must be unpacked, gccgo and TinyGo programs are not read", ErrNotGo)
}

func scanFuncTable(im *image, s segment) *funcTable {
	quantum := byte(1)
	if im.arch == ARM64 {
		quantum = 4
	}
	w, err := newWindow(im, s.off, s.filesz)
	if err != nil {
		return nil
	}
	const overlap = 8
	for off := uint64(0); off+overlap < w.length(); {
		n := min(windowSize, w.length()-off)
		b, err := w.read(off, n)
		if err != nil {
			return nil
		}
		// All three magics share the three high bytes, then 00 00 quantum 08.
		tail := []byte{0xff, 0xff, 0xff, 0, 0, quantum, 8}
		for i := 1; i < len(b); {
			j := bytes.Index(b[i:], tail)
			if j < 0 {
				break
			}
			i += j + 1
			// parseFuncTable reads through the file, not through w, so b stays valid.
			if t := parseFuncTable(im, s.off+off+uint64(i-2), s.filesz-off-uint64(i-2)); t != nil {
				return t
			}
		}
		if n < windowSize {
			break
		}
		off += n - overlap
	}
	return nil
}

// parseFuncTable checks the header at file offset off, with at most length bytes after it. nil if it is not one.
func parseFuncTable(im *image, off, length uint64) *funcTable {
	if length < 72 || !im.inFile(off, length) {
		return nil
	}
	h, err := im.bytes(off, 72)
	if err != nil {
		return nil
	}
	le := binary.LittleEndian
	t := &funcTable{im: im, magic: le.Uint32(h), nfunc: le.Uint64(h[8:])}
	var nameOff, cuOff, pclnOff, entrySize uint64
	switch t.magic {
	case magic116:
		nameOff, cuOff, pclnOff, entrySize = le.Uint64(h[24:]), le.Uint64(h[32:]), le.Uint64(h[56:]), 16
	case magic118, magic120:
		t.textStart = le.Uint64(h[24:])
		nameOff, cuOff, pclnOff, entrySize = le.Uint64(h[32:]), le.Uint64(h[40:]), le.Uint64(h[64:]), 8
	default:
		return nil
	}
	if h[4] != 0 || h[5] != 0 || h[7] != 8 || nameOff < 64 || nameOff >= cuOff || cuOff > pclnOff || pclnOff >= length {
		return nil
	}
	if t.nfunc == 0 || t.nfunc > maxFunctions || t.nfunc > (length-pclnOff)/entrySize {
		return nil
	}
	t.names = section{off: off + nameOff, length: cuOff - nameOff}
	t.funcs = section{off: off + pclnOff, length: length - pclnOff}
	return t
}

// load finds the functions whose name is in wanted or optional, closures of
// newproc, and closures of goready in inlined send and recv. It stops early,
// after the runtime's part of both tables, when each wanted name was found; a
// wanted name should be of assembly, which the linker puts after Go code.
func (t *funcTable) load(wanted, optional []string) error {
	byOffset, err := t.nameOffsets(wanted, optional)
	if err != nil {
		return err
	}
	t.functions = make(map[string][]function, len(wanted))
	if len(byOffset) == 0 {
		return nil
	}
	index, err := newWindow(t.im, t.funcs.off, t.funcs.length)
	if err != nil {
		return err
	}
	records, err := newWindow(t.im, t.funcs.off, t.funcs.length)
	if err != nil {
		return err
	}
	missing, last := make(map[string]bool, len(wanted)), t.nfunc
	for _, n := range wanted {
		missing[n] = true
	}
	for i := uint64(0); i < last; i++ {
		entry, rec, end, err := t.entry(index, i)
		if err != nil {
			return err
		}
		nameAt := uint64(4)
		if !t.relative() {
			nameAt = 8
		}
		b, err := records.read(rec+nameAt, 4)
		if err != nil {
			return fmt.Errorf("function %d of %d: %w", i, t.nfunc, err)
		}
		name, ok := byOffset[binary.LittleEndian.Uint32(b)]
		if !ok {
			continue
		}
		if end <= entry || end-entry > maxFunction {
			continue
		}
		have := t.functions[name]
		if len(have) >= maxSameName {
			continue
		}
		t.functions[name] = append(have, function{name: name, entry: entry, end: end})
		if missing[name] {
			if delete(missing, name); len(missing) == 0 {
				last = min(last, i+functionsAfterLast)
			}
		}
	}
	return nil
}

// entry returns function i's entry, its record's offset and the next function's entry.
func (t *funcTable) entry(w *window, i uint64) (entry, record, end uint64, err error) {
	le := binary.LittleEndian
	if !t.relative() {
		b, err := w.read(i*16, 24)
		if err != nil {
			return 0, 0, 0, err
		}
		return le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), nil
	}
	b, err := w.read(i*8, 12)
	if err != nil {
		return 0, 0, 0, err
	}
	return uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:])), nil
}

// nameOffsets maps the offset of each wanted name in the name table to the name.
func (t *funcTable) nameOffsets(wanted, optional []string) (map[uint32]string, error) {
	w, err := newWindow(t.im, t.names.off, t.names.length)
	if err != nil {
		return nil, err
	}
	want := make(map[string]bool, len(wanted)+len(optional)) // true: not found yet and wanted
	for _, n := range optional {
		want[n] = false
	}
	left := 0
	for _, n := range wanted {
		if !want[n] {
			want[n] = true
			left++
		}
	}
	found := make(map[uint32]string, len(want)+2)
	long := false // inside a name that did not fit in a window
	for off := uint64(0); off < w.length(); {
		n := min(windowSize, w.length()-off)
		b, err := w.read(off, n)
		if err != nil {
			return nil, err
		}
		end := bytes.LastIndexByte(b, 0)
		if end < 0 {
			long = true
			off += n
			continue
		}
		for i := 0; i <= end; {
			j := i + bytes.IndexByte(b[i:], 0)
			if name := b[i:j]; !long && len(name) <= maxWantedName && searched(name) {
				if need, listed := want[string(name)]; listed {
					found[uint32(off)+uint32(i)] = string(name)
					if need {
						want[string(name)] = false
						left--
					}
				} else if len(found) < maxNames && related(name) {
					found[uint32(off)+uint32(i)] = string(name)
				}
			}
			long = false
			i = j + 1
		}
		if left <= 0 {
			break
		}
		off += uint64(end) + 1
	}
	return found, nil
}

// searched: it is a function of a package in which some are wanted.
func searched(name []byte) bool {
	const first, second = "runtime.", "sync."
	return len(name) > len(first) && (string(name[:len(first)]) == first || string(name[:len(second)]) == second)
}

// related tells closures of newproc and of goready in inlined send and recv, by cheap tests.
func related(name []byte) bool {
	return bytes.HasPrefix(name, []byte(spawnPrefix)) ||
		bytes.Contains(name, []byte(".goready.func")) && inlinedClosure.Match(name)
}
