package rubyruntime

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestInspectRuby: what is found in a real interpreter is what its threads say. Their thread pointers are not known here,
// so the threads are found by the conditions on which they sleep.
func TestInspectRuby(t *testing.T) {
	name, err := exec.LookPath("ruby")
	if err != nil {
		bpftest.Lacks(t, "ruby")
	}
	version, err := exec.Command(name, "-e", "print RUBY_VERSION").Output() //nolint:gosec // a test
	require.NoError(t, err)
	if !strings.HasPrefix(string(version), known) {
		t.Skipf("Ruby %s is not known", version)
	}
	// One waits for a queue, one for a Mutex, one for a thread, one for the interpreter's lock: a thread that is in the
	// system call of a library does not let go of it.
	cmd := exec.Command(name, "-e", `
require 'fiddle'
q, m = Queue.new, Mutex.new
m.lock
waits = [Thread.new { q.pop }, Thread.new { m.lock }]
waits << Thread.new { waits[0].join }
sleep 0.01 until waits.all?(&:stop?)
$stdout.sync = true
puts 'waits'
gets
waits << Thread.new { 1 }
Fiddle::Function.new(Fiddle.dlopen(nil)['pause'], [], Fiddle::TYPE_INT, need_gvl: true).call
`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "waits\n", line)
	proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
	l, err := Inspect(proc)
	require.NoError(t, err)
	require.Zero(t, l.Slot%vectorSlot)
	require.NotZero(t, l.Slot)

	require.Equal(t, map[string]int{"thread": 2, "mutex": 1}, waiting(t, proc, l))
	_, err = fmt.Fprintln(in)
	require.NoError(t, err)
	want := map[string]int{"thread": 2, "mutex": 1, "lock": 1}
	var got map[string]int
	for range 100 {
		if got = waiting(t, proc, l); fmt.Sprint(got) == fmt.Sprint(want) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	require.Equal(t, want, got)
}

// waiting counts what the threads of a process wait for that sleep on a condition of their own.
func waiting(t *testing.T, proc string, l Layout) map[string]int {
	t.Helper()
	mem, err := os.Open(filepath.Join(proc, "mem"))
	require.NoError(t, err)
	defer mem.Close()
	im := image{mem: mem}
	calls, err := filepath.Glob(filepath.Join(proc, "task", "*", "syscall"))
	require.NoError(t, err)
	got := map[string]int{}
	for _, name := range calls {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var number int
		var address uint64
		if _, err := fmt.Sscanf(string(text), "%d 0x%x", &number, &address); err != nil || number != unix.SYS_FUTEX {
			continue
		}
		for thread := address &^ 7; address-thread < uint64(l.Unblock); thread -= 8 {
			ec, err := im.word(thread + uint64(l.EC))
			require.NoError(t, err)
			if back, err := im.word(ec + uint64(l.Thread)); err != nil || back != thread {
				continue
			}
			unblock, err := im.word(thread + uint64(l.Unblock))
			require.NoError(t, err)
			mutex, err := im.word(thread + uint64(l.Locking))
			require.NoError(t, err)
			switch {
			case unblock == 0:
				require.Zero(t, mutex)
				got["lock"]++
			case mutex != 0:
				got["mutex"]++
			default:
				got["thread"]++
			}
			break
		}
	}
	return got
}

func TestInspectOther(t *testing.T) {
	_, err := Inspect("/proc/self")
	require.ErrorIs(t, err, ErrNotReady)
	_, err = Inspect(t.TempDir())
	require.ErrorIs(t, err, ErrUnreadable)
}

func TestFind(t *testing.T) {
	const (
		libc = "7f10a000-7f10b000 r--p 00000000 fe:00 1    /usr/lib/libc.so.6\n"
		ruby = "7f00a000-7f00b000 r--p 00000000 fe:00 2    /usr/lib/libruby-3.1.so.3.1.2\n" +
			"7f00b000-7f00f000 r-xp 00001000 fe:00 2    /usr/lib/libruby-3.1.so.3.1.2 (deleted)\n"
		other = "7f02b000-7f02f000 r-xp 00001000 fe:00 2    /opt/libruby.so.3.1.2\n"
	)
	for name, tc := range map[string]struct {
		maps string
		err  string
	}{
		"both":                   {maps: ruby + "7f01a000-7f01b000 rw-p 00000000 00:00 0 \n" + libc},
		"no libruby":             {maps: libc, err: "not ready"},
		"a library of that name": {maps: libc + strings.ReplaceAll(ruby, "libruby", "librubylike"), err: "not ready"},
		"not glibc":              {maps: ruby + strings.ReplaceAll(libc, "libc.so.6", "ld-musl-x86_64.so.1"), err: "not glibc"},
		"two of them":            {maps: ruby + other + libc, err: "both"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "maps")
			require.NoError(t, os.WriteFile(file, []byte(tc.maps), 0o600))
			got, err := find(file)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, library{"/usr/lib/libruby-3.1.so.3.1.2", 0x7f00a000, 0x7f00f000}, got)
		})
	}
}

// TestMoves: what is taken for an instruction, and what is not.
func TestMoves(t *testing.T) {
	at := func(head ...byte) []byte { return binary.LittleEndian.AppendUint32(head, 0xf8) }
	for name, tc := range map[string]struct {
		code []byte
		op   byte
		zero bool
		want map[move]bool
	}{
		"mov 0xf8(%r14),%rax":     {code: at(0x49, 0x8b, 0x86), op: opLoad, want: map[move]bool{{14, 0xf8}: true}},
		"mov 0xf8(%rbx),%r12":     {code: at(0x4c, 0x8b, 0xa3), op: opLoad, want: map[move]bool{{3, 0xf8}: true}},
		"mov %r12,0xf8(%rbx)":     {code: at(0x4c, 0x89, 0xa3), op: opStore, want: map[move]bool{{3, 0xf8}: true}},
		"mov 0xf8(%rsp),%rax":     {code: at(0x48, 0x8b, 0x84, 0x24), op: opLoad},
		"mov 0xf8(%rbx),%eax":     {code: at(0x90, 0x8b, 0x83), op: opLoad},
		"movq $0,0xf8(%r14)":      {code: append(at(0x49, 0xc7, 0x86), 0, 0, 0, 0), op: opZero, zero: true, want: map[move]bool{{14, 0xf8}: true}},
		"movq $1,0xf8(%r14)":      {code: append(at(0x49, 0xc7, 0x86), 1, 0, 0, 0), op: opZero, zero: true},
		"cut off":                 {code: at(0x49, 0xc7, 0x86), op: opZero, zero: true},
		"behind something else":   {code: append([]byte{0x90}, at(0x49, 0x8b, 0x86)...), op: opLoad, want: map[move]bool{{14, 0xf8}: true}},
		"mov 0x8(%r14),%rax, %al": {code: []byte{0x49, 0x8b, 0x46, 8, 0x88, 0xc0, 0x90}, op: opLoad},
	} {
		t.Run(name, func(t *testing.T) {
			got := moves(tc.code, tc.op, tc.zero)
			if tc.want == nil {
				require.Empty(t, got)
				return
			}
			require.Equal(t, tc.want, got)
		})
	}
}
