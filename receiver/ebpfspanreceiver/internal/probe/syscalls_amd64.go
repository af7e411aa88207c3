package probe

import "golang.org/x/sys/unix"

// oldSyscalls are those that later architectures do without.
var oldSyscalls = map[string]uint32{
	"epoll_wait": unix.SYS_EPOLL_WAIT, "poll": unix.SYS_POLL, "select": unix.SYS_SELECT,
}
