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

// FuzzInspect damages a real executable: each 6 bytes of the input say where
// (u32, counted from one of the places that matter) and what (a place, a byte).
// Whatever comes out must be an error of a known kind, or sites inside the file.
func FuzzInspect(f *testing.F) {
	path := build(f, goTool(f), variant{env: []string{"CGO_ENABLED=0"}})
	base, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	src := &edited{base: base}
	im, err := openImage(src, int64(len(base)))
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
	code := func(name string) int64 {
		off, ok := im.fileOffset(table.bodiesBase(f)+table.functions[name][0].entry, 1)
		if !ok {
			f.Fatalf("%s is not in the file", name)
		}
		return int64(off)
	}
	header, _ := im.section(".gopclntab")
	info, _ := im.section(".go.buildinfo")
	debug, _ := im.section(".debug_info")
	shoff := int64(binary.LittleEndian.Uint64(base[40:]))
	places := []int64{0, 64, int64(header.off), int64(table.funcs.off), int64(info.off), shoff, int64(debug.off), code(fnNewproc1), code(fnSystemstack), code(fnSend), code(fnSpawn)}

	f.Add([]byte{}, uint32(0))
	for p := range places {
		f.Add([]byte{4, 0, 0, 0, byte(p), 0xff, 9, 0, 0, 0, byte(p), 0x7f}, uint32(0))
	}
	f.Add([]byte{60, 0, 0, 0, 0, 0, 61, 0, 0, 0, 0, 0}, uint32(0)) // no section headers
	f.Add([]byte{}, uint32(1<<16))                                 // cut short
	f.Fuzz(func(t *testing.T, script []byte, cut uint32) {
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
			if IsUnreadable(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
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
		if info.TLSKnown && (info.TLSOffset > -8 || info.TLSOffset < -(1<<21)) {
			t.Errorf("TLS offset %d", info.TLSOffset)
		}
	})
}

func (t *funcTable) bodiesBase(tb testing.TB) uint64 {
	base, err := t.findBase()
	if err != nil {
		tb.Fatal(err)
	}
	return base
}
