package noderuntime

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

func node(t *testing.T) string {
	path, err := exec.LookPath("node")
	if err != nil {
		bpftest.Lacks(t, "node")
	}
	return path
}

// The machine's own Node.js 20: offsets compared with its disassembly by hand.
func TestInspect(t *testing.T) {
	info, err := Inspect(node(t))
	require.NoError(t, err)
	version, err := exec.Command(node(t), "--version").Output()
	require.NoError(t, err)
	if string(version) == "v20.20.2\n" {
		require.Equal(t, Layout{
			AsyncIDs: 0x480, Depth: 0x5f8, WrapIDs: 0x28, Check: 0x178, Stack: 0x410, Fields: 0x448,
		}, info.Layout)
		// Twenty calls of one and eight of the other, less three of the HTTP parser and two of the phases.
		require.Empty(t, info.Entries)
		require.Len(t, info.Sites, 17+6+3)
	}
	kinds := map[Kind]bool{}
	for _, s := range info.Sites {
		kinds[s.Kind] = true
		require.Falsef(t, s.Expensive, "%s at %s", s.Kind, s.Symbol)
		require.NotZero(t, s.Offset)
	}
	require.Len(t, kinds, len(sites))
}

// What is no Node.js says so, and what is no executable.
func TestInspectRefuses(t *testing.T) {
	own, err := os.Executable()
	require.NoError(t, err)
	for path, want := range map[string]error{own: ErrNotNode, "/bin/sh": ErrNotNode, "inspect.go": ErrMalformed} {
		_, err := Inspect(path)
		require.ErrorIsf(t, err, want, "%s: %v", path, err)
	}
	_, err = Inspect("testdata/none")
	require.True(t, errors.Is(err, os.ErrNotExist))
}

func TestCode(t *testing.T) {
	for _, tc := range []struct {
		name   string
		decode func([]byte) (uint32, bool)
		code   []byte
		want   uint32
	}{
		{"ids", asyncIDs, []byte{
			0x49, 0x8b, 0x84, 0x24, 0x80, 4, 0, 0, // mov 0x480(%r12),%rax
			0x4c, 0x8b, 0x65, 0xf8, // mov -0x8(%rbp),%r12
			0xf2, 0x0f, 0x10, 0x00, // movsd (%rax),%xmm0
		}, 0x480},
		{"ids, another register was loaded", asyncIDs, []byte{
			0x49, 0x8b, 0x84, 0x24, 0x80, 4, 0, 0, 0xf2, 0x0f, 0x10, 0x01, // movsd (%rcx),%xmm0
		}, 0},
		{"ids, a call lies between", asyncIDs, []byte{
			0x49, 0x8b, 0x84, 0x24, 0x80, 4, 0, 0, 0xe8, 0, 0, 0, 0, 0xf2, 0x0f, 0x10, 0x00,
		}, 0},
		{"ids, not aligned", asyncIDs, []byte{
			0x49, 0x8b, 0x84, 0x24, 0x81, 4, 0, 0, 0xf2, 0x0f, 0x10, 0x00,
		}, 0},
		{"depth", depth, []byte{0x48, 0x83, 0x86, 0xf8, 5, 0, 0, 1}, 0x5f8},                // addq $1,0x5f8(%rsi)
		{"depth, incq", depth, []byte{0x48, 0xff, 0x86, 0xf8, 5, 0, 0}, 0x5f8},             // incq 0x5f8(%rsi)
		{"depth, of something else", depth, []byte{0x48, 0x83, 0x87, 0xf8, 5, 0, 0, 1}, 0}, // addq $1,0x5f8(%rdi)
		{"wrap", wrapIDs, []byte{0xf2, 0x0f, 0x10, 0x56, 0x28, 0xf2, 0x0f, 0x10, 0x4e, 0x30}, 0x28},
		{"wrap, together", wrapIDs, []byte{0x0f, 0x10, 0x46, 0x28}, 0x28}, // movups 0x28(%rsi),%xmm0
		{"wrap, only one", wrapIDs, []byte{0xf2, 0x0f, 0x10, 0x56, 0x28, 0xc3}, 0},
		{"check", check, []byte{0x48, 0x8d, 0x9f, 0x88, 0xfe, 0xff, 0xff}, 0x178}, // lea -0x178(%rdi),%rbx
		{"check, the wrong way", check, []byte{0x48, 0x8d, 0x9f, 0x88, 1, 0, 0}, 0},
	} {
		got, ok := tc.decode(tc.code)
		require.Equal(t, tc.want, got*uint32(b2i(ok)), tc.name)
		require.Equal(t, tc.want != 0, ok, tc.name)
	}
}

// What was built by hand is taken apart: whether an instruction is one, and its third argument.
func TestCall(t *testing.T) {
	filler := bytes.Repeat([]byte{0x48, 0x89, 0xc3}, 24) // mov %rax,%rbx
	for _, tc := range []struct {
		name         string
		before       []byte
		whole, skips bool
	}{
		{"flags", []byte{0xba, 2, 0, 0, 0, 0x48, 0x89, 0xdf}, true, true}, // mov $2,%edx; mov %rbx,%rdi
		{"other flags", []byte{0xba, 1, 0, 0, 0}, true, false},
		{"no flags", []byte{0x31, 0xd2}, true, false}, // xor %edx,%edx
		{"of a variable", []byte{0x89, 0xc2}, true, false},
		{"a branch lies between", []byte{0xba, 2, 0, 0, 0, 0x74, 0x00}, true, false},
		{"a call lies between", []byte{0xba, 2, 0, 0, 0, 0xe8, 0, 0, 0, 0}, true, false},
		{"nothing", nil, true, false},
		{"the end of another instruction", []byte{0x48, 0xb8}, false, false}, // movabs $…,%rax
	} {
		c := call{before: slices.Concat(filler, tc.before, []byte{0xe8, 0, 0, 0, 0})}
		require.Equal(t, tc.whole, c.whole(), tc.name)
		if tc.whole {
			require.Equal(t, tc.skips, c.skipsTaskQueues(), tc.name)
		}
	}
}

func TestPopped(t *testing.T) {
	code := []byte{
		0x48, 0x8b, 0x47, 0x60, // mov 0x60(%rdi),%rax
		0x44, 0x8b, 0x68, 0x1c, // mov 0x1c(%rax),%r13d
		0x48, 0x8b, 0x97, 0x98, 0, 0, 0, // mov 0x98(%rdi),%rdx
		0x49, 0x89, 0xfc, // mov %rdi,%r12
		0x49, 0x8b, 0x4c, 0x24, 0x28, // mov 0x28(%r12),%rcx
		0xf2, 0x0f, 0x10, 0x04, 0xf9, // movsd (%rcx,%rdi,8),%xmm0
		0xf2, 0x0f, 0x11, 0x02, // movsd %xmm0,(%rdx)
	}
	stack, fields, ids, ok := popped(code)
	require.True(t, ok)
	require.Equal(t, [3]uint32{0x28, 0x60, 0x98}, [3]uint32{stack, fields, ids})
	for i, name := range map[int]string{7: "another word", 3: "nothing of the object", 26: "another register", 18: "not the object"} {
		other := bytes.Clone(code)
		other[i] ^= 0x04
		s, f, d, ok := popped(other)
		require.False(t, ok && [3]uint32{s, f, d} == [3]uint32{0x28, 0x60, 0x98}, name)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCheapSite(t *testing.T) {
	for _, tc := range []struct {
		name  string
		code  []byte
		at    uint64
		cheap bool
	}{
		{"push", []byte{0x55}, 0, true},
		{"endbr64", []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x57}, 4, true},
		{"after mov to rbp", []byte{0x48, 0x89, 0xe5, 0x55}, 3, true},
		{"an argument is overwritten first", []byte{0x48, 0x89, 0xfe, 0x55}, 0, false}, // mov %rdi,%rsi
		{"a branch comes first", []byte{0x74, 0x10, 0x55}, 0, false},
	} {
		at, cheap := cheapSite(tc.code)
		require.Equal(t, tc.at, at, tc.name)
		require.Equal(t, tc.cheap, cheap, tc.name)
	}
}

// A hostile file makes an error, never a panic.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte{0x49, 0x8b, 0x84, 0x24, 0x80, 4, 0, 0, 0xf2, 0x0f, 0x10, 0x00})
	f.Fuzz(func(t *testing.T, code []byte) {
		for _, d := range decoders {
			if at, ok := d.decode(code); ok && (at == 0 || at >= maxOffset || at%8 != 0) {
				t.Fatalf("%s: %#x", d.what, at)
			}
		}
		if _, _, ids, ok := popped(code); ok && (ids == 0 || ids >= maxOffset) {
			t.Fatalf("ids at %#x", ids)
		}
		c := call{before: append(bytes.Clone(code), 0xe8, 0, 0, 0, 0)}
		c.skipsTaskQueues()
		if c.whole(); len(c.before) < callBytes {
			t.Fatal("no call")
		}
		if at, cheap := cheapSite(code); cheap && at >= uint64(len(code)) {
			t.Fatalf("site at %d of %d bytes", at, len(code))
		}
	})
}
