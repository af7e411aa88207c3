package goruntime

import (
	"errors"
	"strings"
	"testing"
)

func TestMinor(t *testing.T) {
	for _, c := range []struct {
		version      string
		n            int
		released, ok bool
	}{
		{"go1.26.8", 26, true, true},
		{"go1.21", 21, true, true},
		{"go1.24rc1", 24, true, true},
		{"go1.24.3 X:boringcrypto", 24, true, true},
		{"go1.22.9 (Red Hat 1.22.9-1.el9)", 22, true, true},
		{"devel go1.27-a1b2c3d Mon Jan 2 15:04:05 2026 +0000", 27, false, true},
		{"go1.27-devel_a1b2c3d", 27, false, true},
		{"devel +a1b2c3d", 0, false, false},
		{"go1.", 0, false, false},
		{"go1.99999999999999999999", 0, false, false},
		{"unknown", 0, false, false},
		{"", 0, false, false},
	} {
		n, released, ok := minor(c.version)
		if n != c.n || ok != c.ok || ok && released != c.released {
			t.Errorf("minor(%q) = %d, %v, %v; want %d, %v, %v", c.version, n, released, ok, c.n, c.released, c.ok)
		}
	}
}

func TestSettleLayout(t *testing.T) {
	row := layouts[26]
	moved := row
	moved.Goid += 8
	noCode, noDWARF := errors.New("no code"), errors.New("no DWARF")
	for _, c := range []struct {
		name, version string
		code          Layout
		codeErr       error
		dwarf         Layout
		dwarfErr      error
		want          Layout
		source, say   string
	}{
		{name: "release", version: "go1.26.8", code: row, dwarfErr: noDWARF, want: row, source: "code and table"},
		{name: "release, code not understood", version: "go1.26.8", codeErr: noCode, dwarfErr: noDWARF, want: row, source: "table"},
		{name: "release, DWARF instead of code", version: "go1.26.8", codeErr: noCode, dwarf: row, want: row, source: "table and DWARF"},
		{name: "patched runtime", version: "go1.26.8", code: moved, dwarf: moved, want: moved, source: "code and DWARF"},
		{name: "patched runtime, stripped", version: "go1.26.8", code: moved, dwarfErr: noDWARF, say: "machine code says"},
		{name: "code and DWARF disagree", version: "go1.26.8", code: moved, dwarf: row, say: "DWARF says"},
		{name: "next release", version: "go1.27.0", code: moved, dwarfErr: noDWARF, want: moved, source: "code"},
		{name: "next release, DWARF only", version: "go1.27.0", codeErr: noCode, dwarf: moved, want: moved, source: "DWARF"},
		{name: "next release, nothing", version: "go1.27.0", codeErr: noCode, dwarfErr: noDWARF, say: "no offsets known"},
		{name: "development version is not in the table", version: "go1.26-devel_abc", codeErr: noCode, dwarfErr: noDWARF, say: "no offsets known"},
		{name: "before the register ABI", version: "go1.16.15", code: row, say: "before Go 1.17"},
		{name: "no version, layout of a release", version: "", code: row, want: row, source: "code, equal to a release's"},
		{name: "no version, other layout", version: "", code: moved, say: "garble"},
		{name: "no version, no code", version: "unknown", codeErr: noCode, say: "garble"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, source, err := settleLayout(c.version, c.code, c.codeErr, func() (Layout, error) { return c.dwarf, c.dwarfErr })
			if c.say != "" {
				if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.say) {
					t.Errorf("error %v, want ErrUnsupported that says %q", err, c.say)
				}
				return
			}
			if err != nil || got != c.want || source != c.source {
				t.Errorf("{%v} from %q, error %v; want {%v} from %q", got, source, err, c.want, c.source)
			}
		})
	}
}

func TestAMD64Cheap(t *testing.T) {
	for _, c := range []struct {
		name        string
		code        string
		at          uint64
		retried, ok bool
	}{
		{"push after the stack check", "\x49\x3b\x66\x10\x76\x10\x55\x48\x89\xe5", 6, false, true},
		{"large frame", "\x4c\x8d\x64\x24\xf0\x4d\x3b\x66\x10\x0f\x86\x10\x00\x00\x00\x55", 15, false, true},
		{"no push: the conditional jump", "\x49\x3b\x66\x10\x76\x10\x48\x83\xec\x28\x55", 4, true, true},
		{"push r12", "\x41\x54\xc3", 0, false, true},
		{"argument changed before the push", "\x48\x89\xc3\x55", 0, false, false},
		{"first instruction returns", "\xc3\x55", 0, false, false},
		{"not code", "\x06\x55", 0, false, false},
		{"empty", "", 0, false, false},
	} {
		at, retried, ok := amd64Cheap([]byte(c.code))
		if at != c.at || retried != c.retried || ok != c.ok {
			t.Errorf("%s: %d, retried %v, %v; want %d, %v, %v", c.name, at, retried, ok, c.at, c.retried, c.ok)
		}
	}
}

func TestTLSOffset(t *testing.T) {
	im := &image{arch: AMD64, segments: []segment{{kind: ptTLS, memsz: 0x50, alignTo: 64}}} // block of 128 bytes
	load := func(off int64) op { return op{kind: opTLSLoad, dst: 0, base: noReg, src: noReg, disp: off} }
	through := []op{{kind: opConst, dst: 1, base: noReg, src: noReg, disp: -80}, {kind: opTLSLoad, dst: 0, base: 1, src: noReg}}
	for _, c := range []struct {
		name   string
		bodies [][]op
		want   int64
		say    string
	}{
		{"direct", [][]op{{load(-128)}, {load(-128)}}, -128, ""},
		{"through a constant", [][]op{through, {load(-80)}}, -80, ""},
		{"disagreement", [][]op{{load(-8)}, {load(-80)}}, 0, "disagree"},
		{"outside the block", [][]op{{load(-136)}}, 0, "outside"},
		{"not negative", [][]op{{load(0x28)}}, 0, "outside"},
		{"chosen at load time", [][]op{{{kind: opTLSLoad, dst: 0, base: 1, src: noReg}}}, 0, "load time"},
		{"constant lost", [][]op{{through[0], {kind: opCall, dst: noReg, base: noReg, src: noReg}, through[1]}}, 0, "load time"},
		{"none", nil, 0, "no access"},
	} {
		got, err := tlsOffset(im, c.bodies)
		if got != c.want || (err == nil) != (c.say == "") || err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %d, %v; want %d, error with %q", c.name, got, err, c.want, c.say)
		}
	}
}

// TestARM64TLSConstant: with an external linker load_g has the offset in two
// instructions, movz x27, #1, lsl #16; movk x27, #0x20; ldr x28, [x0, x27].
func TestARM64TLSConstant(t *testing.T) {
	code := []byte{0x3b, 0x00, 0xa0, 0xd2, 0x1b, 0x04, 0x80, 0xf2, 0x1c, 0x68, 0x7b, 0xf8}
	off, err := tlsOffset(&image{arch: ARM64}, [][]op{decodeOps(ARM64, code, 0)})
	if err != nil || off != 0x10020 {
		t.Errorf("%#x, %v; want 0x10020", off, err)
	}
}

// TestARM64CodeAddress: adrp x2, page of pc - 1 page; add x2, x2, #0xf70.
func TestARM64CodeAddress(t *testing.T) {
	code := []byte{0xe2, 0xff, 0xff, 0xf0, 0x42, 0xc0, 0x3d, 0x91}
	if got := codeAddress(ARM64, code, 0x21f18); got != 0x20f70 {
		t.Errorf("%#x, want 0x20f70", got)
	}
}

func TestInlinedClosureNames(t *testing.T) {
	for name, want := range map[string]string{
		"runtime.chanrecv.recv.goready.func2":              "runtime.chanrecv recv",
		"runtime.selectgo.send.goready.func4":              "runtime.selectgo send",
		"runtime.chansend1.chansend.send.goready.func1":    "runtime.chansend1 send",
		"runtime.recv.goready.func1":                       "",
		"runtime.closechan.goready.func1":                  "",
		"runtime.chanrecv.recv.func1":                      "",
		"example.com/runtime.chanrecv.recv.goready.func2x": "",
	} {
		m := inlinedClosure.FindStringSubmatch(name)
		got := ""
		if m != nil {
			got = m[1] + " " + m[2]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
