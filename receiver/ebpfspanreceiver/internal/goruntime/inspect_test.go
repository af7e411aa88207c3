package goruntime

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// want is what an unstripped build says of itself.
type want struct {
	layout  Layout
	symbols map[string]elf.Symbol
}

func readWant(t *testing.T, path string) want {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	im, err := openImage(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	w := want{symbols: make(map[string]elf.Symbol)}
	if w.layout, err = layoutFromDWARF(im); err != nil {
		t.Fatalf("DWARF of the unstripped build: %v", err)
	}
	e, err := elf.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	syms, err := e.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range syms {
		if strings.HasPrefix(s.Name, "runtime.") {
			w.symbols[s.Name] = s
		}
	}
	return w
}

// checkSites tests each site against the file's bytes and, when given, the symbol table.
func checkSites(t *testing.T, path string, info *Info, symbols map[string]elf.Symbol) {
	t.Helper()
	if len(info.Missing) > 0 || len(info.Sites) != 3 {
		t.Fatalf("sites %+v, missing %+v; want three sites", info.Sites, info.Missing)
	}
	e, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, _, _ := minor(info.Version)
	for i, s := range info.Sites {
		if s.Kind != Kind(i+1) || s.Expensive {
			t.Errorf("site %d is %+v, want kind %d and cheap", i, s, i+1)
		}
		code := make([]byte, 16)
		if _, err := f.ReadAt(code, int64(s.Offset)); err != nil {
			t.Fatal(err)
		}
		mapped := false
		for _, p := range e.Progs {
			if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && s.Offset >= p.Off && s.Offset < p.Off+p.Filesz {
				mapped = p.Vaddr+(s.Offset-p.Off) == s.Address
			}
		}
		if !mapped {
			t.Errorf("%s: offset %#x is not address %#x in an executable segment", s.Symbol, s.Offset, s.Address)
		}
		var pattern string
		switch {
		case info.Arch == AMD64 && s.Kind == NewGoroutine:
			pattern = `^e8`
		case info.Arch == AMD64 && n < 21:
			pattern = `^(0f86|76)` // jbe
		case info.Arch == AMD64:
			pattern = `^55` // push %rbp
		case s.Kind == NewGoroutine:
			pattern = `^......9[4-7]` // bl
		default:
			pattern = `^..{5}54` // b.cond
		}
		if got := fmt.Sprintf("%x", code); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%s at %#x: bytes %s (%s) do not match %s", s.Symbol, s.Offset, got, s.Instruction, pattern)
		}
		if got := disassemble(info.Arch, code, s.Address); got == "" || got != s.Instruction {
			t.Errorf("%s: instruction %q, disassembled from the file %q", s.Symbol, s.Instruction, got)
		}
		if symbols == nil {
			continue
		}
		sym, ok := symbols[s.Symbol]
		if !ok || s.Address < sym.Value || s.Address >= sym.Value+sym.Size {
			t.Errorf("%s at %#x is not inside symbol %+v", s.Symbol, s.Address, sym)
		}
	}
}

// tlsFromSymbol computes the offset as the linker does: runtime.tlsg is an
// offset in the thread-local block, which on amd64 ends at the thread pointer.
func tlsFromSymbol(t *testing.T, path string, symbols map[string]elf.Symbol) (int64, bool) {
	t.Helper()
	sym, ok := symbols["runtime.tlsg"]
	if !ok || elf.ST_TYPE(sym.Info) != elf.STT_TLS {
		return 0, false
	}
	e, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, p := range e.Progs {
		if p.Type == elf.PT_TLS {
			return int64(sym.Value) - int64(alignUp(p.Memsz, p.Align)), true
		}
	}
	return 0, false
}

func TestInspectVariants(t *testing.T) {
	tool := goTool(t)
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			if v.slow && testing.Short() {
				t.Skip("compiles the standard library once more")
			}
			path := build(t, tool, v)
			info, err := Inspect(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.LayoutSource != "code and table" {
				t.Errorf("layout from %q, want code and table", info.LayoutSource)
			}
			// The unstripped twin has the same code.
			twin := v
			twin.strip, twin.blind = false, false
			twin.args = nil
			for _, a := range v.args {
				if a != "-ldflags=-s -w" {
					twin.args = append(twin.args, a)
				}
			}
			twinPath := path
			if twin.strip != v.strip || twin.blind != v.blind || len(twin.args) != len(v.args) {
				twinPath = build(t, tool, twin)
			}
			w := readWant(t, twinPath)
			if info.Layout != w.layout {
				t.Errorf("layout {%v}, DWARF {%v}", info.Layout, w.layout)
			}
			twinInfo, err := Inspect(twinPath)
			if err != nil {
				t.Fatal(err)
			}
			checkSites(t, twinPath, twinInfo, w.symbols)
			if !v.blind { // debug/elf also reads a file without section headers, but has no symbols then
				checkSites(t, path, info, nil)
			}
			for i := range info.Sites {
				a, b := info.Sites[i], twinInfo.Sites[i]
				if a != b {
					t.Errorf("site differs from the unstripped twin's:\n%+v\n%+v", a, b)
				}
			}
			if !info.TLSKnown {
				t.Fatalf("TLS offset unknown: %s", info.TLSReason)
			}
			if off, ok := tlsFromSymbol(t, twinPath, w.symbols); ok && info.Arch == AMD64 && off != info.TLSOffset {
				t.Errorf("TLS offset %d, by symbol and PT_TLS %d", info.TLSOffset, off)
			} else if !ok && v.cgo {
				t.Errorf("the unstripped cgo build has no TLS symbol runtime.tlsg to compare with")
			}
			if v.cgo && info.TLSOffset == -8 {
				t.Errorf("TLS offset -8: the C variables did not move g, so this variant tests nothing")
			}
			if !IsGo(path) {
				t.Errorf("IsGo is false")
			}
			if v.live {
				runLive(t, path, info)
			}
		})
	}
}

// runLive lets the program read its own g at the offsets found.
func runLive(t *testing.T, path string, info *Info) string {
	t.Helper()
	out, err := liveCommand(path, info).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, out)
	}
	re := regexp.MustCompile(`^self goid=(\d+) read=(\d+) creator=(\d+) parent=(\d+) curg=(\w+) g0=(\w+)$`)
	n := 0
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		m := re.FindStringSubmatch(sc.Text())
		if m == nil {
			continue
		}
		n++
		if m[1] != m[2] || m[3] != m[4] || m[5] != "true" || m[6] != "true" {
			t.Errorf("the program reads itself wrongly: %s", m[0])
		}
	}
	if n != 7 {
		t.Errorf("%d goroutines reported, want 7:\n%s", n, out)
	}
	return string(out)
}

func liveCommand(path string, info *Info) *exec.Cmd {
	parent := int64(-1)
	if info.HasParentGoid {
		parent = info.ParentGoid
	}
	var args []string
	for _, v := range []int64{info.TLSOffset, info.Goid, parent, info.M, info.Curg, info.G0} {
		args = append(args, strconv.FormatInt(v, 10))
	}
	return exec.Command(path, args...)
}

// TestTableMatchesToolchains builds with each Go toolchain in the module cache
// and compares with DWARF. It measures the rows of the table.
func TestTableMatchesToolchains(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program with each toolchain")
	}
	tools := otherToolchains(t)
	tools["this"] = goTool(t)
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) {
			for _, arch := range []string{"amd64", "arm64"} {
				path := build(t, tool, variant{env: []string{"CGO_ENABLED=0", "GOARCH=" + arch}})
				info, err := Inspect(path)
				if err != nil {
					t.Fatal(err)
				}
				w := readWant(t, path)
				n, released, ok := minor(info.Version)
				if !ok || name != "this" && info.Version != name {
					t.Fatalf("version %q", info.Version)
				}
				if info.Layout != w.layout {
					t.Errorf("%s %s: {%v} from %s, DWARF {%v}", info.Version, arch, info.Layout, info.LayoutSource, w.layout)
				}
				if row, ok := layouts[n]; released && (!ok || row != w.layout) {
					t.Errorf("%s %s: table {%v}, DWARF {%v}", info.Version, arch, row, w.layout)
				}
				if info.LayoutSource != "code and table" {
					t.Errorf("%s %s: layout from %s: the code was not understood", info.Version, arch, info.LayoutSource)
				}
				if arch == "arm64" && n < arm64RegABI {
					if len(info.Sites) != 0 || len(info.Missing) != 3 {
						t.Errorf("sites %+v, missing %+v; want none", info.Sites, info.Missing)
					}
					continue
				}
				checkSites(t, path, info, w.symbols)
			}
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	elfHead := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00"
	for _, c := range []struct{ name, path, say string }{
		{"missing", dir + "/none", "no such file"},
		{"directory", dir, "not a regular file"},
		{"empty", write("empty", ""), "too few for an ELF header"},
		{"script", write("script", "#!/bin/sh\n"+strings.Repeat("echo\n", 20)), "no ELF magic"},
		{"32-bit", write("elf32", "\x7fELF\x01\x01"+strings.Repeat("\x00", 80)), "only 64-bit little-endian"},
		{"machine", write("riscv", elfHead+"\xf3\x00"+strings.Repeat("\x00", 60)), "ELF machine 243"},
		{"no segments", write("noseg", elfHead+"\x3e\x00"+strings.Repeat("\x00", 60)), "program headers"},
		{"C program", "/bin/sh", "no function table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Inspect(c.path)
			if err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("error %v, want one that says %q", err, c.say)
			}
			if IsGo(c.path) {
				t.Error("IsGo is true")
			}
		})
	}
}

// TestInspectWithoutVersion removes the build information, as obfuscators do.
func TestInspectWithoutVersion(t *testing.T) {
	path := build(t, goTool(t), variant{args: []string{"-ldflags=-s -w"}, env: []string{"CGO_ENABLED=0"}})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, []byte(buildInfoMagic))
	if i < 0 {
		t.Fatal("no build information to remove")
	}
	copy(b[i:], "XXXXXXXXXXXXXX")
	info, err := InspectReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if info.Version != "" || !isReleased(info.Layout) || !strings.HasPrefix(info.LayoutSource, "code") {
		t.Errorf("version %q, layout {%v} from %s", info.Version, info.Layout, info.LayoutSource)
	}
	// Without the names nothing can be found, and the error must say so.
	b = bytes.ReplaceAll(b, []byte("runtime.newproc1\x00"), []byte("aGVsbG8.b3duY2gx\x00"))
	if _, err := InspectReader(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), "obfuscated") {
		t.Errorf("error %v, want one that names obfuscation", err)
	}
}

// countingReader counts the bytes asked for.
type countingReader struct {
	*os.File
	n int64
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	c.n += int64(len(b))
	return c.File.ReadAt(b, off)
}

// TestReadsLittle: the go command is the largest Go program that is surely here.
// What is read depends on the runtime's size, not on the program's.
func TestReadsLittle(t *testing.T) {
	f, err := os.Open(goTool(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := &countingReader{File: f}
	if _, err := InspectReader(r, st.Size()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d bytes read", r.n, st.Size())
	if r.n > 4<<20 {
		t.Errorf("%d of %d bytes read, want at most 4 MiB", r.n, st.Size())
	}
}

// TestInspectSharedLibrary: in a library the loader chooses where g is.
func TestInspectSharedLibrary(t *testing.T) {
	path := build(t, goTool(t), variant{args: []string{"-buildmode=c-shared"}, env: []string{"CGO_ENABLED=1"}, cgo: true})
	info, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.TLSKnown || info.TLSReason == "" {
		t.Errorf("TLS offset %d known %v, reason %q; want unknown with a reason", info.TLSOffset, info.TLSKnown, info.TLSReason)
	}
	if len(info.Sites) != 3 || info.LayoutSource != "code and table" {
		t.Errorf("layout from %q, sites %+v, missing %+v", info.LayoutSource, info.Sites, info.Missing)
	}
}
