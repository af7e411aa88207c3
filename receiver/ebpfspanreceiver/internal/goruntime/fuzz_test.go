package goruntime

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

// edited is a file with some bytes replaced.
type edited struct {
	base  []byte
	edits map[int64]byte
}

func (e *edited) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(e.base)) {
		return 0, io.EOF
	}
	n := copy(b, e.base[off:])
	for at, v := range e.edits {
		if at >= off && at < off+int64(n) {
			b[at-off] = v
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// target is an executable to damage and the places in it that matter.
type target struct {
	base   []byte
	places []int64
}

func newTarget(f *testing.F, arch string) target {
	// Uncompressed debug information, so that damage reaches the reader behind zlib.
	path := build(f, goTool(f), variant{args: []string{"-ldflags=-compressdwarf=false"}, env: []string{"CGO_ENABLED=0", "GOARCH=" + arch}})
	base, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	im, err := openImage(&edited{base: base}, int64(len(base)))
	if err != nil {
		f.Fatal(err)
	}
	table, err := findFuncTable(im)
	if err != nil {
		f.Fatal(err)
	}
	if err := table.load([]string{fnNewproc1, fnSystemstack, fnSend, fnSpawn}, nil); err != nil {
		f.Fatal(err)
	}
	text, err := table.findBase()
	if err != nil {
		f.Fatal(err)
	}
	tg := target{base: base, places: []int64{0, 64, int64(table.funcs.off), int64(binary.LittleEndian.Uint64(base[40:]))}}
	for _, name := range []string{".gopclntab", ".go.buildinfo", ".debug_info", ".debug_abbrev"} {
		s, ok := im.section(name)
		if !ok {
			f.Fatalf("no section %s", name)
		}
		tg.places = append(tg.places, int64(s.off))
	}
	for _, name := range []string{fnNewproc1, fnSystemstack, fnSend, fnSpawn} {
		off, ok := im.fileOffset(text+table.functions[name][0].entry, 1)
		if !ok {
			f.Fatalf("%s is not in the file", name)
		}
		tg.places = append(tg.places, int64(off))
	}
	return tg
}

// FuzzInspect damages a real executable: each 6 bytes of the input say where
// (u32, counted from one of the places that matter) and what (a place, a byte).
// Whatever comes out must be an error of a known kind, or sites inside the file.
func FuzzInspect(f *testing.F) {
	targets := []target{newTarget(f, "amd64"), newTarget(f, "arm64")}
	for arch := range targets {
		arm := arch == 1
		f.Add([]byte{}, uint32(0), arm)
		for p := range targets[arch].places {
			f.Add([]byte{4, 0, 0, 0, byte(p), 0xff, 9, 0, 0, 0, byte(p), 0x7f}, uint32(0), arm)
		}
		f.Add([]byte{60, 0, 0, 0, 0, 0, 61, 0, 0, 0, 0, 0}, uint32(0), arm) // no section headers
		f.Add([]byte{}, uint32(1<<16), arm)                                 // cut short
		// systemstack is not understood: debug information is read.
		f.Add([]byte{10, 0, 0, 0, 9, 0xcc, 11, 0, 0, 0, 9, 0xcc, 12, 0, 0, 0, 9, 0xcc, 13, 0, 0, 0, 9, 0xcc, 40, 0, 0, 0, 6, 1}, uint32(0), arm)
	}
	f.Fuzz(func(t *testing.T, script []byte, cut uint32, arm bool) {
		base, places := targets[0].base, targets[0].places
		if arm {
			base, places = targets[1].base, targets[1].places
		}
		if len(script) > 6*64 {
			return
		}
		e := &edited{base: base, edits: make(map[int64]byte)}
		if n := int(cut % uint32(len(base))); n != 0 {
			e.base = base[:n]
		}
		for ; len(script) >= 6; script = script[6:] {
			at := places[int(script[4])%len(places)] + int64(binary.LittleEndian.Uint32(script)%4096)
			e.edits[at] = script[5]
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		info, err := InspectReader(e, int64(len(e.base)))
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Errorf("allocated %d bytes for a file of %d", used, len(e.base))
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("took %v", d)
		}
		if err != nil {
			if !errors.Is(err, ErrNotGo) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed) &&
				!errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error of no known kind: %v", err)
			}
			return
		}
		for _, s := range info.Sites {
			if s.Offset >= uint64(len(e.base)) || s.Instruction == "" && !s.Expensive {
				t.Errorf("site %+v in a file of %d bytes", s, len(e.base))
			}
		}
		if len(info.Sites)+len(info.Missing) < 3 {
			t.Errorf("%d sites and %d missing do not cover the three kinds", len(info.Sites), len(info.Missing))
		}
		if info.Arch == AMD64 && info.TLSKnown && (info.TLSOffset > -8 || info.TLSOffset < -(1<<21)) {
			t.Errorf("TLS offset %d", info.TLSOffset)
		}
	})
}
