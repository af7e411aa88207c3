package probe

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func init() { children["foreign"] = foreignChild }

const foreignRequest = "GET /foreign HTTP/1.1\r\n\r\n"

// foreignChild makes system calls by the 32-bit numbers: 45 is brk there, and recvfrom among those of 64 bits, whose
// arguments are in the registers as well. Then it sends a request, by its own numbers.
func foreignChild() {
	l, at := listening(1)
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	_, err := in.ReadString('\n')
	check(err)
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Connect(c, at))
	s, _, err := unix.Accept(l)
	check(err)
	call, err := int80()
	check(err)
	buf := make([]byte, 4096)
	runtime.LockOSThread()
	call(0, 0, 0, uintptr(s), uintptr(unsafe.Pointer(&buf[0])), 0, 0, 0)
	runtime.KeepAlive(buf)
	_, err = unix.Write(c, []byte(foreignRequest))
	check(err)
	_, err = unix.Read(s, buf)
	check(err)
	fmt.Println("done")
	_, _ = in.ReadString('\n')
}

// int80 is brk(0) by way of the 32-bit numbers. Go hands its arguments over in rax, rbx, rcx, rdi, rsi, r8, r9 and r10
// (cmd/compile/abi-internal.md); the length is put into rdx.
func int80() (func(ax, bx, cx, di, si, r8, r9, r10 uintptr) uintptr, error) {
	code := []byte{
		0xba, 0x00, 0x10, 0x00, 0x00, // mov edx, 4096
		0xb8, 0x2d, 0x00, 0x00, 0x00, // mov eax, 45
		0x31, 0xdb, // xor ebx, ebx
		0xcd, 0x80, // int 0x80
		0xc3, // ret
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	copy(page, code)
	entry := new(uintptr) // a function value points to where its code is
	*entry = uintptr(unsafe.Pointer(&page[0]))
	return *(*func(ax, bx, cx, di, si, r8, r9, r10 uintptr) uintptr)(unsafe.Pointer(&entry)), nil
}

// TestKernelForeignNumbers: what a system call of the 32-bit kind does is not taken for what its number means else.
func TestKernelForeignNumbers(t *testing.T) {
	tr, rec := startTracer(t)
	child := startProcess(t, "foreign")
	require.Equal(t, "ready", child.line(t))
	require.NoError(t, tr.Select(uint32(child.pid), Target{}))
	child.say(t)
	require.Equal(t, "done", child.line(t))
	var got []string
	require.Eventually(t, func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		got = nil
		for i := range rec.data {
			d := &rec.data[i]
			got = append(got, fmt.Sprintf("%d %d: %d bytes", d.Dir, d.Role, d.Len))
		}
		return len(got) >= 2
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, []string{
		fmt.Sprintf("%d %d: %d bytes", event.Out, event.Client, len(foreignRequest)),
		fmt.Sprintf("%d %d: %d bytes", event.In, event.Server, len(foreignRequest)),
	}, got)
	for _, l := range rec.losses(t) {
		require.Zero(t, l.Count, l.Reason)
	}
}
