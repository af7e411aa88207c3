package javaruntime

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// jdks are those of this machine, by the version that each says it has.
func jdks(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	found, err := filepath.Glob("/usr/lib/jvm/*/release")
	require.NoError(t, err)
	for _, release := range found {
		text, err := os.ReadFile(release)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "JAVA_VERSION="); ok {
				major, _, _ := strings.Cut(strings.Trim(v, `"`), ".")
				out[major] = filepath.Join(filepath.Dir(release), "bin", "java")
			}
		}
	}
	if len(out) == 0 {
		t.Skip("no JDK in /usr/lib/jvm")
	}
	return out
}

// startVM runs a program until the test ends, and returns when it has said something.
func startVM(t *testing.T, java string, flags ...string) (proc string) {
	t.Helper()
	cmd := exec.Command(java, append(flags, "testdata/Contexts.java", "1")...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return fmt.Sprintf("/proc/%d", cmd.Process.Pid)
}

// Whether what is found is right is for probe.TestJavaContexts to say; here each VM is recognised.
func TestInspect(t *testing.T) {
	bpftest.Need(t) // as ordinary user a process may read its own children, unless ptrace_scope forbids it
	for version, java := range jdks(t) {
		for _, flags := range [][]string{nil, {"-XX:+UseZGC"}} {
			t.Run(version+strings.Join(flags, ""), func(t *testing.T) {
				t.Parallel()
				proc := startVM(t, java, flags...)
				require.True(t, Mapped(proc))
				l, err := Inspect(proc)
				require.NoError(t, err)
				require.Equal(t, version > "18", l.Virtual)
				if l.Virtual {
					require.NotZero(t, l.Slot)
					require.NotZero(t, l.OSThread)
					require.True(t, l.Owner != 0 || l.Objects != nil)
				} else {
					require.Zero(t, l)
				}
			})
		}
	}
}

// TestInspectAtStart: whatever is seen of a VM while the loader maps its library and the VM sets itself up, it is not
// taken for one that cannot be read.
func TestInspectAtStart(t *testing.T) {
	for version, java := range jdks(t) {
		if version <= "18" {
			continue // it has no virtual threads to look for
		}
		for range 5 {
			cmd := exec.Command(java, "testdata/Contexts.java", "1")
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
			looks := 0
			var l Layout
			for begin := time.Now(); time.Since(begin) < time.Minute; looks++ {
				if l, err = Inspect(proc); !errors.Is(err, ErrNotReady) {
					break
				}
			}
			in.Close()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			require.NoError(t, err, "look %d at a VM of Java %s", looks, version)
			require.True(t, l.Virtual, "look %d", looks)
		}
	}
}

func TestNoVM(t *testing.T) {
	require.False(t, Mapped("/proc/self"))
	_, err := Inspect("/proc/self")
	require.ErrorIs(t, err, ErrNotReady)
	require.ErrorContains(t, err, libraryName)
	_, err = Inspect("/proc/0")
	require.ErrorIs(t, err, ErrUnreadable)
}

func TestUnsigned5(t *testing.T) {
	for _, tc := range []struct {
		bytes []byte
		want  uint32
		bad   bool
	}{
		{[]byte{1}, 0, false},
		{[]byte{191}, 190, false},
		{[]byte{192, 1}, 191, false},
		{[]byte{255, 2}, 254 + 64, false},
		{[]byte{192, 192, 192, 192, 1}, 191 * (1 + 64 + 64*64 + 64*64*64), false},
		{nil, 0, true},
		{[]byte{0}, 0, true},
		{[]byte{192}, 0, true},
	} {
		r := unsigned5{data: tc.bytes}
		require.Equal(t, tc.want, r.next(), "%v", tc.bytes)
		require.Equal(t, tc.bad, r.bad, "%v", tc.bytes)
	}
}

func TestNarrow(t *testing.T) {
	for _, tc := range []struct {
		fields map[string]uint32
		want   bool
		err    bool
	}{
		{map[string]uint32{"scheduler": 124, "cont": 128, "carrierThread": 136, "runContinuation": 132}, true, false},
		{map[string]uint32{"scheduler": 184, "cont": 192, "carrierThread": 208, "runContinuation": 200}, false, false},
		{map[string]uint32{"carrierThread": 136}, false, true},
		{map[string]uint32{"cont": 200, "carrierThread": 136}, false, true},
	} {
		got, err := narrow(tc.fields, tc.fields["carrierThread"])
		require.Equal(t, tc.want, got)
		require.Equal(t, tc.err, err != nil, "%v", err)
	}
}

// A process may have anything where its VM should be.
func FuzzImage(f *testing.F) {
	head := make([]byte, 256)
	copy(head, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint64(head[32:], 64)
	binary.LittleEndian.PutUint16(head[54:], 56)
	binary.LittleEndian.PutUint16(head[56:], 2)
	binary.LittleEndian.PutUint32(head[64:], 2) // PT_DYNAMIC
	binary.LittleEndian.PutUint64(head[80:], 176)
	binary.LittleEndian.PutUint64(head[104:], 80)
	for i, tag := range []uint64{5, 6, 0x6ffffef5} {
		binary.LittleEndian.PutUint64(head[176+16*i:], tag)
		binary.LittleEndian.PutUint64(head[184+16*i:], 64)
	}
	f.Add(head)
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		im, err := loadImage(&memory{file: strings.NewReader(string(b)), pages: map[uint64][]byte{}}, 0)
		if err != nil {
			return
		}
		_, _ = readStructs(im, wanted())
	})
}
