package pyruntime

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// interpreters are those of this machine: Debian's, of any version, and pyenv's.
func interpreters(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{
		"/usr/bin/python3.[0-9]*", "/usr/lib/*/libpython3.*.so.1.0", "/root/.pyenv/versions/*/lib/libpython3.*.so.1.0",
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, f := range files {
			if info, err := os.Lstat(f); err == nil && info.Mode().IsRegular() && !strings.Contains(f, "config") {
				found = append(found, f)
			}
		}
	}
	if len(found) == 0 {
		bpftest.Lacks(t, "CPython")
	}
	return found
}

// TestContexts: every interpreter from 3.9 on has all sites, each on an instruction that is cheap to probe;
// an older one is refused with a reason.
func TestContexts(t *testing.T) {
	for _, file := range interpreters(t) {
		t.Run(file, func(t *testing.T) {
			sites, err := Contexts(file)
			for _, old := range []string{"3.6", "3.7", "3.8"} {
				if strings.Contains(filepath.Base(file), "thon"+old) {
					require.Error(t, err)
					return
				}
			}
			require.NoError(t, err)
			checkSites(t, file, sites, map[Kind][2]int{Enter: {1, 2}, EnterMoved: {0, 1}, MadeArgument: {1, 8}, MadeResult: {1, 8}})
		})
	}
}

func TestQueue(t *testing.T) {
	var files []string
	for _, pattern := range []string{
		"/usr/lib/python3.*/lib-dynload/_queue.*.so", "/root/.pyenv/versions/*/lib/python3.*/lib-dynload/_queue.*.so",
	} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	if len(files) == 0 {
		bpftest.Lacks(t, "CPython")
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			sites, err := Queue(file)
			require.NoError(t, err)
			checkSites(t, file, sites, map[Kind][2]int{Put: {0, 2}, PutMethod: {0, 2}, Got: {2, 2}})
			_, err = Contexts(file)
			require.ErrorIs(t, err, ErrNotPython)
		})
	}
}

// TestStreams: the module of uvloop has its sites, and no other file of Python.
func TestStreams(t *testing.T) {
	var files []string
	for _, pattern := range []string{
		"/usr/lib/python3/dist-packages/uvloop/loop.*.so",
		"/root/.pyenv/versions/*/lib/python3.*/site-packages/uvloop/loop.*.so",
	} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	if len(files) == 0 {
		bpftest.Lacks(t, "uvloop")
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			sites, err := Streams(file)
			require.NoError(t, err)
			checkSites(t, file, sites, map[Kind][2]int{Write: {0, 2}, WriteArray: {0, 2}})
			require.Len(t, sites, 2)
			for _, other := range []func(string) ([]Site, error){Contexts, Queue} {
				_, err = other(file)
				require.ErrorIs(t, err, ErrNotPython)
			}
		})
	}
}

// TestStreamOfLibuv: libuv's own functions read of a stream where python.bpf.h does.
func TestStreamOfLibuv(t *testing.T) {
	files, err := filepath.Glob("/usr/lib/*/libuv.so.1")
	require.NoError(t, err)
	if len(files) == 0 {
		bpftest.Lacks(t, "libuv")
	}
	for _, file := range files {
		im, err := open(file)
		require.NoError(t, err)
		defer im.close()
		for name, want := range map[string]struct {
			at int64
			n  int // instructions: all but the last do nothing else
		}{
			"uv_handle_get_data":             {0, 2},
			"uv_handle_get_type":             {16, 2},
			"uv_stream_get_write_queue_size": {writeQueueSizeAt, 2},
			"uv_fileno":                      {184, 64},
		} {
			require.NotZero(t, im.exported[name], name)
			var read []int64
			im.straight(im.exported[name], want.n, func(in *x86asm.Inst) { // uv_fileno has a table of jumps
				if m, ok := in.Args[1].(x86asm.Mem); ok && in.Op == x86asm.MOV && m.Base == x86asm.RDI {
					read = append(read, m.Disp)
				}
			})
			require.Contains(t, read, want.at, name)
		}
	}
}

// straight visits the instructions that follow one another, wherever they jump.
func (im *image) straight(at uint64, n int, visit func(*x86asm.Inst)) {
	for range n {
		in, ok := im.decode(at)
		if !ok {
			return
		}
		visit(&in)
		at += uint64(in.Len)
	}
}

func checkSites(t *testing.T, file string, sites []Site, want map[Kind][2]int) {
	t.Helper()
	im, err := open(file)
	require.NoError(t, err)
	defer im.close()
	n := map[Kind]int{}
	for _, s := range sites {
		n[s.Kind]++
		i := slices.IndexFunc(im.parts, func(p part) bool {
			return p.code && s.Offset >= p.offset && s.Offset < p.offset+uint64(len(p.data))
		})
		require.GreaterOrEqual(t, i, 0, "%#x is no code", s.Offset)
		in, ok := im.decode(im.parts[i].address + s.Offset - im.parts[i].offset)
		require.True(t, ok && isCheap(&in), "%#x: %v", s.Offset, in)
	}
	for kind, bounds := range want {
		require.GreaterOrEqual(t, n[kind], bounds[0], "kind %d", kind)
		require.LessOrEqual(t, n[kind], bounds[1], "kind %d", kind)
		delete(n, kind)
	}
	require.Empty(t, n)
}

// TestStripped: nothing that strip removes is used.
func TestStripped(t *testing.T) {
	strip, err := exec.LookPath("strip")
	if err != nil {
		if strip, err = exec.LookPath("llvm-strip-19"); err != nil {
			t.Skip("needs strip")
		}
	}
	checked := false
	for _, file := range interpreters(t) {
		want, err := Contexts(file)
		if err != nil {
			continue
		}
		bare := filepath.Join(t.TempDir(), "python")
		require.NoError(t, exec.Command(strip, "--strip-all", "-o", bare, file).Run())
		got, err := Contexts(bare)
		require.NoError(t, err, file)
		if len(got) != len(want) { // offsets may move
			t.Errorf("%s: %d sites, stripped %d", file, len(want), len(got))
		}
		checked = true
	}
	require.True(t, checked)
}

// TestOthers: what is not of CPython is told apart from what is broken.
func TestOthers(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for name, sites := range map[string]func(string) ([]Site, error){"contexts": Contexts, "queue": Queue, "streams": Streams} {
		for file, other := range map[string]bool{"/bin/sh": true, self: true, "inspect.go": false, "none": false} {
			_, err := sites(file)
			require.Error(t, err, "%s of %s", name, file)
			require.Equal(t, other, errors.Is(err, ErrNotPython), "%s of %s: %v", name, file, err)
		}
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	dynload := filepath.Join(root, "opt/lib/python3.12/lib-dynload")
	require.NoError(t, os.MkdirAll(dynload, 0o755))
	module := filepath.Join(dynload, "_queue.cpython-312-x86_64-linux-gnu.so")
	require.NoError(t, os.WriteFile(module, nil, 0o644))
	for name, c := range map[string]struct {
		maps string
		want Files
	}{
		"none":    {"55d0-55d1 r-xp 00000000 00:00 0 [heap]\n", Files{}},
		"modules": {"7f00-7f01 r-xp 00000000 08:01 12 /usr/lib/python3.11/lib-dynload/_asyncio.so\n", Files{Modules: "/usr/lib/python3.11/lib-dynload"}},
		"library": {
			"7f00-7f01 r--p 00000000 08:01 12 /opt/lib/libpython3.12.so.1.0\n",
			Files{
				Library: "/opt/lib/libpython3.12.so.1.0", LibraryAt: 0x7f00, Modules: "/opt/lib/python3.12/lib-dynload",
				Queue: "/opt/lib/python3.12/lib-dynload/_queue.cpython-312-x86_64-linux-gnu.so",
			},
		},
		"uvloop": {
			"7f00-7f01 r-xp 00000000 08:01 12 /srv/venv/lib/python3.12/site-packages/uvloop/loop.cpython-312-x86_64-linux-gnu.so\n",
			Files{Loop: "/srv/venv/lib/python3.12/site-packages/uvloop/loop.cpython-312-x86_64-linux-gnu.so"},
		},
		"executable, and where it begins": {
			"400000-41f000 r--p 00000000 08:01 12 /usr/bin/python3.11\n41f000-6d2000 r-xp 0001f000 08:01 12 /usr/bin/python3.11\n",
			Files{ExecutableAt: 0x400000},
		},
		"where a library begins": {
			"7e00-7f00 r-xp 00001000 08:01 12 /srv/lib/libpython3.13.so.1.0\n7f00-7f01 r--p 00000000 08:01 12 /opt/lib/libpython3.13.so.1.0\n" +
				"8f00-8f01 r--p 00000000 08:01 12 /srv/lib/libpython3.13.so.1.0\n",
			Files{Library: "/srv/lib/libpython3.13.so.1.0", LibraryAt: 0x7f00},
		},
		"not a library": {"7f00-7f01 r-xp 00000000 08:01 12 /opt/lib/libpython3.so\n", Files{}},
	} {
		t.Run(name, func(t *testing.T) {
			maps := filepath.Join(t.TempDir(), "maps")
			require.NoError(t, os.WriteFile(maps, []byte(c.maps), 0o644))
			got, err := Find(maps, root, "/usr/bin/python3.11")
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
