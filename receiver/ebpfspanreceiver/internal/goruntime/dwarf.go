package goruntime

import (
	"bytes"
	"compress/zlib"
	"debug/dwarf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Debug information is asked only when code and table do not settle the layout,
// so its cost matters less than its bound.
const maxDebugSection = 256 << 20

var errNoDWARF = errors.New("no debug information")

// layoutFromDWARF reads the offsets from the type descriptions of runtime.g and runtime.m.
func layoutFromDWARF(im *image) (Layout, error) {
	var parts [4][]byte
	for i, name := range []string{"abbrev", "info", "str", "line"} {
		b, err := im.debugSection(name)
		if err != nil && i < 2 {
			return Layout{}, err
		}
		parts[i] = b
	}
	d, err := dwarf.New(parts[0], nil, nil, parts[1], parts[3], nil, nil, parts[2])
	if err != nil {
		return Layout{}, fmt.Errorf("debug information: %w", err)
	}
	for _, name := range []string{"str_offsets", "addr", "line_str"} { // DWARF 5, Go 1.25 and later
		if b, err := im.debugSection(name); err == nil {
			if err := d.AddSection(".debug_"+name, b); err != nil {
				return Layout{}, fmt.Errorf("debug information: %w", err)
			}
		}
	}
	fields := make(map[string]int64)
	r := d.Reader()
	for structs := 0; structs < 2; {
		e, err := r.Next()
		if err != nil {
			return Layout{}, fmt.Errorf("debug information: %w", err)
		}
		if e == nil {
			break
		}
		switch e.Tag {
		case dwarf.TagSubprogram:
			r.SkipChildren()
			continue
		case dwarf.TagStructType:
		default:
			continue
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		if name != "runtime.g" && name != "runtime.m" {
			r.SkipChildren()
			continue
		}
		structs++
		for {
			f, err := r.Next()
			if err != nil {
				return Layout{}, fmt.Errorf("debug information of %s: %w", name, err)
			}
			if f == nil || f.Tag == 0 {
				break
			}
			member, _ := f.Val(dwarf.AttrName).(string)
			if off, ok := f.Val(dwarf.AttrDataMemberLoc).(int64); ok {
				fields[name+"."+member] = off
			}
			r.SkipChildren()
		}
	}
	var l Layout
	for _, want := range []struct {
		name string
		to   *int64
	}{{"runtime.g.goid", &l.Goid}, {"runtime.g.m", &l.M}, {"runtime.m.curg", &l.Curg}, {"runtime.m.g0", &l.G0}} {
		off, ok := fields[want.name]
		if !ok || off < 0 || off > 1<<16 {
			return Layout{}, fmt.Errorf("debug information does not describe %s", want.name)
		}
		*want.to = off
	}
	l.ParentGoid, l.HasParentGoid = fields["runtime.g.parentGoid"]
	return l, nil
}

// debugSection returns .debug_name, uncompressed: SHF_COMPRESSED (ELF gABI,
// "Section Compression") or Go's older .zdebug_name ("ZLIB", size u64 big-endian).
func (im *image) debugSection(name string) ([]byte, error) {
	s, ok := im.section(".debug_"+name, ".zdebug_"+name)
	if !ok {
		return nil, fmt.Errorf("%w: section .debug_%s is missing (built with -ldflags=-w or -s, or stripped)", errNoDWARF, name)
	}
	if s.length > maxDebugSection {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than the %d that are read", errNoDWARF, s.name, s.length, maxDebugSection)
	}
	b, err := im.bytes(s.off, s.length)
	if err != nil {
		return nil, err
	}
	var size uint64
	switch {
	case s.flags&shfCompressed != 0 && len(b) >= 24 && binary.LittleEndian.Uint32(b) == 1:
		size, b = binary.LittleEndian.Uint64(b[8:]), b[24:]
	case s.flags&shfCompressed != 0:
		return nil, fmt.Errorf("%w: %s is compressed with an unknown method", errNoDWARF, s.name)
	case s.name[1] == 'z' && len(b) >= 12 && string(b[:4]) == "ZLIB":
		size, b = binary.BigEndian.Uint64(b[4:]), b[12:]
	default:
		return b, nil
	}
	if size > maxDebugSection {
		return nil, fmt.Errorf("%w: %s expands to %d bytes, more than the %d that are read", errNoDWARF, s.name, size, maxDebugSection)
	}
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	// The claimed size is not trusted for the allocation: the buffer grows with what really comes out.
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(z, int64(size)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if uint64(n) != size {
		return nil, fmt.Errorf("%w: %s expands to %d bytes, not the %d it claims", ErrMalformed, s.name, n, size)
	}
	return out.Bytes(), nil
}
