package probe

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// hook is a row: a program and where it sits. group "" means a raw tracepoint, which needs no tracefs.
type hook struct {
	program     string
	group, name string
	required    bool
	// without says what is missing where an optional hook is.
	without string
}

func (h hook) String() string {
	if h.group == "" {
		return "raw_tracepoint/" + h.name
	}
	return "tracepoint/" + h.group + "/" + h.name
}

// hooks are attached in this order, and detached in reverse.
var hooks = func() []hook {
	rows := []hook{
		{program: "process_exit", name: "sched_process_exit", required: true},
		{program: "process_fork", name: "sched_process_fork", required: true},
		{program: "process_exec", name: "sched_process_exec", required: true},
		{program: "sock_state", name: "inet_sock_set_state", required: true},
		syscall("enter", "connect", true, ""),
		syscall("exit", "connect", true, ""),
		syscall("exit", "accept", false, "connections taken with accept(2) count as older than the collector"),
		syscall("exit", "accept4", true, ""),
		syscall("enter", "epoll_wait", false, "event loops that use epoll_wait(2) are taken for blocking threads"),
		syscall("enter", "epoll_pwait", true, ""),
		syscall("enter", "epoll_pwait2", false, "event loops that use epoll_pwait2(2) are taken for blocking threads"),
	}
	for _, name := range []string{
		"read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "recvmmsg", "sendmmsg",
	} {
		rows = append(rows, syscall("exit", name, true, ""), syscall("enter", name, true, ""))
	}
	return append(rows,
		syscall("exit", "sendfile64", false, "bytes sent by sendfile(2) show up as gaps"),
		syscall("enter", "sendfile64", false, "bytes sent by sendfile(2) show up as gaps"))
}()

func syscall(side, name string, required bool, without string) hook {
	return hook{
		program: side + "_" + name, group: "syscalls", name: "sys_" + side + "_" + name,
		required: required, without: without,
	}
}

// goSites are the programs of the Go probe sites.
var goSites = []string{"go_send", "go_recv", "go_new"}

// programs of a loaded object, by name, from the fields that bpf2go generated.
func (t *Tracer) program(name string) (*ebpf.Program, error) {
	p := &t.objects.SocketPrograms
	byName := map[string]*ebpf.Program{
		"process_exit": p.ProcessExit, "process_fork": p.ProcessFork, "process_exec": p.ProcessExec,
		"sock_state":    p.SockState,
		"enter_connect": p.EnterConnect, "exit_connect": p.ExitConnect,
		"exit_accept": p.ExitAccept, "exit_accept4": p.ExitAccept4,
		"enter_epoll_wait": p.EnterEpollWait, "enter_epoll_pwait": p.EnterEpollPwait,
		"enter_epoll_pwait2": p.EnterEpollPwait2,
		"enter_read":         p.EnterRead, "exit_read": p.ExitRead,
		"enter_write": p.EnterWrite, "exit_write": p.ExitWrite,
		"enter_readv": p.EnterReadv, "exit_readv": p.ExitReadv,
		"enter_writev": p.EnterWritev, "exit_writev": p.ExitWritev,
		"enter_recvfrom": p.EnterRecvfrom, "exit_recvfrom": p.ExitRecvfrom,
		"enter_sendto": p.EnterSendto, "exit_sendto": p.ExitSendto,
		"enter_recvmsg": p.EnterRecvmsg, "exit_recvmsg": p.ExitRecvmsg,
		"enter_sendmsg": p.EnterSendmsg, "exit_sendmsg": p.ExitSendmsg,
		"enter_recvmmsg": p.EnterRecvmmsg, "exit_recvmmsg": p.ExitRecvmmsg,
		"enter_sendmmsg": p.EnterSendmmsg, "exit_sendmmsg": p.ExitSendmmsg,
		"enter_sendfile64": p.EnterSendfile64, "exit_sendfile64": p.ExitSendfile64,
	}
	if found := byName[name]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("no program %q is loaded", name)
}
