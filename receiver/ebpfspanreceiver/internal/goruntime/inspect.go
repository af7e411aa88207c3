package goruntime

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Arch is the machine an executable is for.
type Arch string

const (
	AMD64 Arch = "amd64"
	ARM64 Arch = "arm64"
)

// Info is what Inspect finds out.
type Info struct {
	Version string // as the build information has it; "" if it was removed
	Arch    Arch
	Layout  // offsets of fields
	// LayoutSource names the evidence for Layout, for people.
	LayoutSource string
	// TLSOffset is the signed distance of the pointer to g from the thread
	// pointer, valid when TLSKnown; else TLSReason says why not. See the package
	// comment for arm64.
	TLSOffset int64
	TLSKnown  bool
	TLSReason string
	// GReg holds g while Go code runs ("r14", "x28").
	GReg    string
	Sites   []Site
	Missing []Missing // sites not found; each Kind is in Sites or Missing, a Kind with inlined copies may be in both
	Buffers Buffers
	WaitGroups
}

// Inspect reads the executable at path. Errors are or wrap ErrNotGo,
// ErrUnsupported, ErrMalformed or the failure to read.
func Inspect(path string) (*Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inspect Go executable: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect Go executable: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("inspect %s: %w: not a regular file", path, ErrMalformed)
	}
	info, err := InspectReader(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	return info, nil
}

// Functions of the runtime that are read or probed.
const (
	fnSend, fnRecv       = "runtime.send", "runtime.recv"
	fnNewproc1           = "runtime.newproc1"
	fnRunqput            = "runtime.runqput"
	fnSpawn, spawnPrefix = "runtime.newproc.func1", "runtime.newproc."
	fnSystemstack        = "runtime.systemstack"
)

// tlsFunctions access g in thread-local storage, in assembly.
var tlsFunctions = map[Arch][]string{
	AMD64: {fnSystemstack, "runtime.asmcgocall", "runtime.morestack"},
	ARM64: {"runtime.load_g", "runtime.save_g"},
}

// InspectReader is Inspect for a file of size bytes.
func InspectReader(r io.ReaderAt, size int64) (*Info, error) {
	im, err := openImage(r, size)
	if err != nil {
		return nil, err
	}
	t, err := findFuncTable(im)
	if err != nil {
		return nil, err
	}
	wanted := append([]string{fnSend, fnRecv, fnNewproc1, fnRunqput, fnSpawn, fnSystemstack, fnMove, fnClear, fnGroup}, tlsFunctions[im.arch]...)
	if err := t.load(wanted, callers); err != nil {
		return nil, fmt.Errorf("function table: %w", err)
	}
	if len(t.functions[fnNewproc1]) == 0 || len(t.functions[fnSystemstack]) == 0 {
		return nil, fmt.Errorf("%w: the function table has no %s or %s; names are obfuscated or the runtime is another one: build with the standard Go toolchain", ErrUnsupported, fnNewproc1, fnSystemstack)
	}
	base, err := t.findBase()
	if err != nil {
		return nil, err
	}
	info := &Info{Version: goVersion(im), Arch: im.arch, GReg: "r14"}
	if im.arch == ARM64 {
		info.GReg = "x28"
	}
	n, _, versionKnown := minor(info.Version)
	wantParent := t.magic == magic120 && !(versionKnown && n < parentGoidMinor)
	if info.Layout, info.LayoutSource, err = t.layout(base, info.Version, wantParent); err != nil {
		return nil, err
	}
	var tls [][]op
	for _, name := range tlsFunctions[im.arch] {
		for _, b := range t.bodies(base, name) {
			tls = append(tls, decodeOps(im.arch, b.code, b.addr))
		}
	}
	if info.TLSOffset, err = tlsOffset(im, tls); err != nil {
		info.TLSReason = err.Error()
	} else {
		info.TLSKnown = true
	}
	if im.arch == ARM64 && versionKnown && n < arm64RegABI {
		for _, k := range []Kind{ChanSend, ChanRecv, NewGoroutine} {
			info.Missing = append(info.Missing, Missing{k, "Go 1.17 passes arguments on the stack on arm64: rebuild with Go 1.18 or later"})
		}
		info.Buffers.Reason = "Go 1.17 passes arguments on the stack on arm64"
		info.GroupReason = info.Buffers.Reason
		return info, nil
	}
	t.findSites(base, info)
	info.Buffers = t.bufferSites(base)
	info.WaitGroups = t.waitGroups(base, versionKnown && n >= waitGroupMinor)
	return info, nil
}

// layout collects the code's evidence and settles it with the other kinds.
func (t *funcTable) layout(base uint64, version string, wantParent bool) (Layout, string, error) {
	var l Layout
	var codeErr error
	for _, b := range t.bodies(base, fnSystemstack) {
		if l.M, l.G0, l.Curg, codeErr = fromSystemstack(t.im.arch, decodeOps(t.im.arch, b.code, b.addr)); codeErr == nil {
			break
		}
	}
	if codeErr == nil {
		codeErr = fmt.Errorf("no body of runtime.newproc1")
		for _, b := range t.bodies(base, fnNewproc1) {
			ops := decodeOps(t.im.arch, b.code, b.addr)
			if l.Goid, l.ParentGoid, codeErr = fromNewproc1(t.im.arch, ops, wantParent); codeErr == nil {
				l.HasParentGoid = wantParent
				break
			}
		}
	}
	return settleLayout(version, l, codeErr, func() (Layout, error) { return layoutFromDWARF(t.im) })
}

// bodies returns the code of each function of that name.
func (t *funcTable) bodies(base uint64, name string) []body {
	var out []body
	for _, f := range t.functions[name] {
		if code, err := t.im.at(base+f.entry, f.end-f.entry); err == nil {
			out = append(out, body{name, base + f.entry, code})
		}
	}
	return out
}

// addresses returns the entry addresses of the functions of that name.
func (t *funcTable) addresses(base uint64, name string) map[uint64]bool {
	m := make(map[uint64]bool, 2)
	for _, f := range t.functions[name] {
		m[base+f.entry] = true
	}
	return m
}

func (t *funcTable) findSites(base uint64, info *Info) {
	add := func(s Site, kind Kind, found bool, reason string) {
		if found {
			var inFile bool
			if s.Offset, inFile = t.im.fileOffset(s.Address, 1); inFile {
				info.Sites = append(info.Sites, s)
				return
			}
			reason = fmt.Sprintf("%s at %#x is in no loaded segment", s.Symbol, s.Address)
		}
		info.Missing = append(info.Missing, Missing{kind, reason})
	}
	inlined, lost := t.inlinedSites(base)
	for _, w := range []struct {
		kind Kind
		name string
	}{{ChanSend, fnSend}, {ChanRecv, fnRecv}} {
		bs := t.bodies(base, w.name)
		if len(bs) == 1 {
			add(argSite(t.im.arch, w.kind, bs[0]), w.kind, true, "")
		} else if len(bs) > 1 {
			add(Site{}, w.kind, false, fmt.Sprintf("%d functions are named %s", len(bs), w.name))
		} else if !slices.ContainsFunc(inlined, func(s Site) bool { return s.Kind == w.kind }) {
			add(Site{}, w.kind, false, "no function is named "+w.name)
		}
	}
	for _, s := range inlined {
		add(s, s.Kind, true, "")
	}
	info.Missing = append(info.Missing, lost...)
	s, ok := t.spawn(base)
	add(s, NewGoroutine, ok, "no runtime.newproc or closure of it calls newproc1 and then runqput")
}

// spawn looks in newproc.func1 first, then in the other closures of newproc.
func (t *funcTable) spawn(base uint64) (Site, bool) {
	newproc1, runqput := t.addresses(base, fnNewproc1), t.addresses(base, fnRunqput)
	names := []string{fnSpawn}
	for name := range t.functions {
		if name != fnSpawn && strings.HasPrefix(name, spawnPrefix) {
			names = append(names, name)
		}
	}
	var fallback Site
	for _, name := range names {
		for _, b := range t.bodies(base, name) {
			if s, ok := spawnSite(t.im.arch, b, newproc1, runqput); ok {
				if !s.Expensive {
					return s, true
				}
				fallback = s
			}
		}
	}
	return fallback, fallback.Address != 0
}

// findBase finds the address that the table's entries are relative to: 0 for
// Go 1.17's table; else the text start in the header if it is there, the start of
// .text, or, with C code before Go's, wherever the code is that the table
// describes. A candidate counts only if newproc's closure, found at that base,
// calls newproc1 at that base.
func (t *funcTable) findBase() (uint64, error) {
	if !t.relative() {
		if t.baseFits(0) {
			return 0, nil
		}
		return 0, fmt.Errorf("%w: the function table's addresses do not match the code (relocated at load time): build without -linkmode=external -buildmode=pie, or with Go 1.18 or later", ErrUnsupported)
	}
	if t.textStart != 0 && t.baseFits(t.textStart) {
		return t.textStart, nil
	}
	if s, ok := t.im.section(".text"); ok && t.baseFits(s.addr) {
		return s.addr, nil
	}
	for _, s := range t.im.segments {
		if s.kind != ptLoad || s.flags&pfX == 0 || !t.im.inFile(s.off, s.filesz) {
			continue
		}
		if base, ok := t.scanBase(s); ok {
			return base, nil
		}
	}
	return 0, fmt.Errorf("%w: the code that the function table describes is in no executable segment", ErrUnsupported)
}

// stackCheck is how a Go function with a small frame begins:
// cmp 0x10(%r14),%rsp and ldr x16, [x28, #16] (g.stackguard0).
var stackCheck = map[Arch][]byte{
	AMD64: {0x49, 0x3b, 0x66, 0x10},
	ARM64: {0x90, 0x0b, 0x40, 0xf9},
}

// maxBaseTries bounds the work on a hostile file; each try costs a few reads.
// C code has no Go stack checks, so the first tries normally succeed.
const maxBaseTries = 1 << 17

// scanBase tries each function-aligned stack check as the start of newproc's closure.
func (t *funcTable) scanBase(s segment) (uint64, bool) {
	fs := t.functions[fnSpawn]
	if len(fs) == 0 {
		return 0, false
	}
	w, err := newWindow(t.im, s.off, s.filesz)
	if err != nil {
		return 0, false
	}
	pattern := stackCheck[t.im.arch]
	tries := 0
	for off := uint64(0); off < w.length() && tries < maxBaseTries; {
		n := min(windowSize, w.length()-off)
		b, err := w.read(off, n)
		if err != nil {
			return 0, false
		}
		for i := 0; i < len(b); {
			j := bytes.Index(b[i:], pattern)
			if j < 0 {
				break
			}
			i += j
			addr := s.vaddr + off + uint64(i)
			if addr%16 == 0 && addr >= fs[0].entry && (addr-fs[0].entry)%16 == 0 {
				if tries++; t.baseFits(addr - fs[0].entry) {
					return addr - fs[0].entry, true
				}
			}
			i += len(pattern)
		}
		if n < windowSize {
			break
		}
		off += n - uint64(len(pattern)-1)
	}
	return 0, false
}

// baseFits checks a candidate against the code: newproc's closure calls
// newproc1, and they, send and recv all begin with a stack check there. One
// such test alone is not enough: with a base that is off by a few functions a
// call can still hit by accident.
func (t *funcTable) baseFits(base uint64) bool {
	for _, name := range []string{fnNewproc1, fnSend, fnRecv} {
		for _, f := range t.functions[name] {
			if f.end-f.entry < 16 {
				return false
			}
			if code, err := t.im.at(base+f.entry, 16); err != nil || !startsWithStackCheck(t.im.arch, code) {
				return false
			}
		}
	}
	newproc1 := t.addresses(base, fnNewproc1)
	for name := range t.functions {
		if !strings.HasPrefix(name, spawnPrefix) {
			continue
		}
		for _, b := range t.bodies(base, name) {
			if !startsWithStackCheck(t.im.arch, b.code) {
				continue
			}
			for i := 0; i < len(b.code); {
				n, target, call := callAt(t.im.arch, b.code[i:], b.addr+uint64(i))
				if n == 0 {
					break
				}
				if call && newproc1[target] {
					return true
				}
				i += n
			}
		}
	}
	return false
}

// startsWithStackCheck also knows the forms of functions that only run on the
// system stack (they compare with g.stackguard1, at 0x18) and, on amd64, of
// frames of more than 128 bytes: lea -n(%rsp),%r12, of 5 or 8 bytes, comes first.
func startsWithStackCheck(arch Arch, code []byte) bool {
	if len(code) < 16 {
		return false
	}
	if arch == ARM64 {
		w := binary.LittleEndian.Uint32(code) &^ 31 // any scratch register: x16, in Go 1.17 x1
		return w == 0xf9400b80 || w == 0xf9400f80
	}
	compare := func(b []byte, rex byte) bool {
		return b[0] == rex && b[1] == 0x3b && b[2] == 0x66 && (b[3] == 0x10 || b[3] == 0x18)
	}
	return compare(code, 0x49) ||
		code[0] == 0x4c && code[1] == 0x8d && (compare(code[5:], 0x4d) || compare(code[8:], 0x4d))
}

// IsGo says whether the file at path looks like a Go executable. It reads the
// ELF header, the section headers and the notes; Inspect decides.
func IsGo(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	im, err := openImage(f, st.Size())
	if err != nil {
		return false
	}
	if _, ok := im.section(".gopclntab", ".go.buildinfo", ".data.rel.ro.gopclntab"); ok {
		return true
	}
	if len(im.sections) > 1 {
		return false
	}
	// No section headers: the linker's build id note, or the build information.
	for _, s := range im.segments {
		if s.kind != ptNote || s.filesz > 4096 {
			continue
		}
		// Note header: name size 4, description size, type 4, "Go\0\0".
		if b, err := im.bytes(s.off, s.filesz); err == nil && bytes.Contains(b, []byte("\x04\x00\x00\x00Go\x00\x00")) {
			return true
		}
	}
	return goVersion(im) != ""
}
