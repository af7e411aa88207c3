package goruntime

import (
	"fmt"
	"regexp"
	"testing"
)

// TestBufferSites looks for the moves of elements in builds of each toolchain in the module cache, and
// compares the offset of hchan.elemtype with what the releases have.
func TestBufferSites(t *testing.T) {
	tools := map[string]string{"this": goTool(t)}
	if !testing.Short() {
		for name, tool := range otherToolchains(t) {
			tools[name] = tool
		}
	}
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) {
			for _, arch := range []string{"amd64", "arm64"} {
				info, err := Inspect(build(t, tool, variant{main: "buffers", env: []string{"CGO_ENABLED=0", "GOARCH=" + arch}}))
				if err != nil {
					t.Fatal(err)
				}
				n, _, _ := minor(info.Version)
				b := info.Buffers
				if arch == "arm64" && n < arm64RegABI {
					if len(b.Sites) != 0 || b.Reason == "" {
						t.Errorf("%+v, want none with a reason", b)
					}
					continue
				}
				if want := map[bool]int64{false: elemtypeOld, true: elemtypeNew}[n >= 23]; b.Elemtype != want || b.Reason != "" {
					t.Errorf("%s %s: elemtype at %d (%s), want %d", info.Version, arch, b.Elemtype, b.Reason, want)
				}
				kinds, call := map[string]int{}, regexp.MustCompile(`^(callq?|bl) `)
				for _, s := range b.Sites {
					kinds[fmt.Sprint(s.Symbol, " ", s.Kind)]++
					if !call.MatchString(s.Instruction) || s.Expensive || s.Offset == 0 {
						t.Errorf("%s %s: %+v is no call", info.Version, arch, s)
					}
				}
				for _, want := range []string{
					"runtime.chansend channel buffer put", "runtime.chanrecv channel buffer take",
					"runtime.selectgo channel buffer put", "runtime.selectgo channel buffer take",
				} {
					if kinds[want] != 1 {
						t.Errorf("%s %s: %d sites are %s, want one", info.Version, arch, kinds[want], want)
					}
				}
			}
		})
	}
}

// TestBuffersOfInlinedCopies: a runtime whose channels were inlined has more moves than are understood.
func TestBuffersOfInlinedCopies(t *testing.T) {
	move, clear := map[uint64]bool{0x2000: true}, map[uint64]bool{0x3000: true}
	call := func(from, to uint64) []byte {
		d := uint32(to - from - 5)
		return []byte{0xe8, byte(d), byte(d >> 8), byte(d >> 16), byte(d >> 24)}
	}
	load := []byte{0x48, 0x8b, 0x41, 0x28} // mov 0x28(%rcx),%rax
	code := append(load, call(0x1004, 0x2000)...)
	code = append(append(code, load...), call(0x100d, 0x3000)...)
	code = append(append(code, load...), call(0x1016, 0x2000)...)
	got := elementMoves(AMD64, body{"f", 0x1000, code}, move, clear)
	if len(got) != 2 || got[0].site.Kind != BufferTake || got[1].site.Kind != BufferPut {
		t.Fatalf("%+v, want a take and a put", got)
	}
	if got[0].elemtype != elemtypeNew || got[1].site.Address != 0x1016 {
		t.Errorf("%+v", got)
	}
}
