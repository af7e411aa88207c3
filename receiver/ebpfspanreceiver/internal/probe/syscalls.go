package probe

import (
	"maps"

	"golang.org/x/sys/unix"
)

// syscallNumbers are the numbers of the system calls that hooks name. Those that an architecture has beside the others
// are in a file of its own.
var syscallNumbers = func() map[string]uint32 {
	numbers := map[string]uint32{
		"accept": unix.SYS_ACCEPT, "accept4": unix.SYS_ACCEPT4, "connect": unix.SYS_CONNECT,
		"getsockopt":  unix.SYS_GETSOCKOPT,
		"epoll_pwait": unix.SYS_EPOLL_PWAIT, "epoll_pwait2": unix.SYS_EPOLL_PWAIT2,
		"ppoll": unix.SYS_PPOLL, "pselect6": unix.SYS_PSELECT6,
		"futex": unix.SYS_FUTEX, "nanosleep": unix.SYS_NANOSLEEP, "clock_nanosleep": unix.SYS_CLOCK_NANOSLEEP,
		"read": unix.SYS_READ, "readv": unix.SYS_READV, "recvfrom": unix.SYS_RECVFROM,
		"recvmsg": unix.SYS_RECVMSG, "recvmmsg": unix.SYS_RECVMMSG,
		"write": unix.SYS_WRITE, "writev": unix.SYS_WRITEV, "sendto": unix.SYS_SENDTO,
		"sendmsg": unix.SYS_SENDMSG, "sendmmsg": unix.SYS_SENDMMSG, "sendfile64": unix.SYS_SENDFILE,
	}
	maps.Copy(numbers, oldSyscalls)
	return numbers
}()

// hooked says of each number whether a system call has a program where it begins, or ends: begins and ends of
// bpf/syscall.bpf.h.
func hooked(on attachPoint) (table [512]uint8) {
	for _, h := range hooks {
		if n, known := syscallNumbers[h.name]; known && h.on == on {
			table[n] = 1
		}
	}
	return table
}
