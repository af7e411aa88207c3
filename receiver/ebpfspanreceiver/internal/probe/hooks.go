package probe

import (
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
)

// hook is a row: a program and where it sits.
type hook struct {
	program string
	on      attachPoint
	// name of the tracepoint, or of the system call.
	name     string
	required bool
	// without says what is missing where an optional hook is.
	without string
	// links says that this is about which request a call belongs to.
	links bool
}

// attachPoint is a kind of place.
type attachPoint string

const (
	rawTracepoint attachPoint = "raw_tracepoint"
	// typedTracepoint: its arguments have their types, and its programs know from their section where they sit.
	typedTracepoint attachPoint = "tp_btf"
	// Where a system call begins and ends: the program is one of those that go on from the hook of all of them, see
	// bpf/syscall.bpf.h.
	syscallEntry attachPoint = "sys_enter"
	syscallExit  attachPoint = "sys_exit"
)

// status of a hook that was attached with err.
func (h hook) status(err error) Status {
	s := Status{Program: h.program, Hook: h.String(), State: stateOf(err), Err: err}
	if err != nil && h.without != "" {
		s.Err = fmt.Errorf("%w: %s", err, h.without)
		if h.links && s.State != Unsupported {
			s.Links = h.without
		}
	}
	return s
}

func (h hook) String() string { return string(h.on) + "/" + h.name }

// hooks are attached in this order, and detached in reverse. A program may sit on several.
var hooks = func() []hook {
	rows := []hook{
		{program: "process_exit", on: rawTracepoint, name: "sched_process_exit", required: true},
		{program: "process_fork", on: rawTracepoint, name: "sched_process_fork", required: true},
		{program: "process_exec", on: rawTracepoint, name: "sched_process_exec", required: true},
		{program: "sock_state", on: rawTracepoint, name: "inet_sock_set_state", required: true},
		{program: "sock_gone", on: rawTracepoint, name: "tcp_destroy_sock", required: true},
		{
			program: "wake", on: typedTracepoint, name: "sched_waking",
			without: "calls that the threads of a pool make are not linked by the way back", links: true,
		},
		enter("connect", true, ""),
		exit("connect", "exit_connect", true, ""),
		exit("accept", "exit_accept", false, "connections taken with accept(2) count as older than the collector"),
		exit("accept4", "exit_accept", true, ""),
		{
			program: "enter_getsockopt", on: syscallEntry, name: "getsockopt", links: true,
			without: "which thread of Puma answers what its reactor has read is known by its answer alone",
		},
	}
	for name, required := range map[string]bool{"epoll_wait": false, "epoll_pwait": true, "epoll_pwait2": false} {
		rows = append(rows, hook{
			program: "enter_loop_wait", on: syscallEntry, name: name, required: required,
			without: "event loops that wait with " + name + "(2) are taken for blocking threads", links: true,
		})
	}
	for name, program := range map[string]string{
		"poll": "enter_poll_wait", "ppoll": "enter_poll_wait",
		"select": "enter_select_wait", "pselect6": "enter_select_wait",
	} {
		rows = append(rows, hook{
			program: program, on: syscallEntry, name: name,
			without: "event loops that wait with " + name + "(2) are taken for blocking threads", links: true,
		})
	}
	for name, program := range map[string]string{
		"nanosleep": "exit_sleep", "clock_nanosleep": "exit_sleep", "poll": "exit_sleep", "ppoll": "exit_sleep",
		"select": "exit_sleep", "pselect6": "exit_sleep", "futex": "exit_futex",
	} {
		rows = append(rows, exit(name, program, false, "what a thread does when a time is over, for which it waited with "+
			name+"(2), may be taken for what it was last woken for"))
	}
	for _, name := range []string{"read", "readv", "recvfrom", "recvmsg"} {
		rows = append(rows, exit(name, "exit_read", true, ""))
	}
	rows = append(rows, exit("recvmmsg", "exit_recvmmsg", true, ""))
	for _, name := range []string{"write", "writev", "sendto", "sendmsg"} {
		rows = append(rows, exit(name, "exit_write", true, ""), enter(name, true, ""))
	}
	rows = append(rows, exit("sendmmsg", "exit_sendmmsg", true, ""), enter("sendmmsg", true, ""))
	const sendfile = "bytes sent by sendfile(2) show up as gaps"
	return append(rows, exit("sendfile64", "exit_write", false, sendfile), enter("sendfile64", false, sendfile),
		// When every system call has its program; the end first, so that a call that is seen to begin is seen to end.
		hook{program: "syscall_ends", on: typedTracepoint, name: "sys_exit", required: true},
		hook{program: "syscall_begins", on: typedTracepoint, name: "sys_enter", required: true})
}()

func enter(name string, required bool, without string) hook {
	return hook{program: "enter_" + name, on: syscallEntry, name: name, required: required, without: without}
}

func exit(name, program string, required bool, without string) hook {
	return hook{program: program, on: syscallExit, name: name, required: required, without: without}
}

// programs are the loaded ones by name, from the fields that bpf2go generated.
func (t *Tracer) programs() map[string]*ebpf.Program {
	p := &t.objects.SocketPrograms
	byName := map[string]*ebpf.Program{
		"process_exit": p.ProcessExit, "process_fork": p.ProcessFork, "process_exec": p.ProcessExec,
		"sock_state": p.SockState, "sock_gone": p.SockGone,
		"syscall_begins": p.SyscallBegins, "syscall_ends": p.SyscallEnds,
		"enter_getsockopt": p.EnterGetsockopt,
		"enter_connect":    p.EnterConnect, "exit_connect": p.ExitConnect, "exit_accept": p.ExitAccept,
		"enter_loop_wait": p.EnterLoopWait, "enter_poll_wait": p.EnterPollWait, "enter_select_wait": p.EnterSelectWait,
		"exit_read": p.ExitRead, "exit_write": p.ExitWrite,
		"exit_recvmmsg": p.ExitRecvmmsg, "exit_sendmmsg": p.ExitSendmmsg,
		"enter_write": p.EnterWrite, "enter_writev": p.EnterWritev,
		"enter_sendto": p.EnterSendto, "enter_sendmsg": p.EnterSendmsg, "enter_sendmmsg": p.EnterSendmmsg,
		"enter_sendfile64": p.EnterSendfile64,
	}
	for _, c := range t.extended {
		maps.Copy(byName, c.Programs)
	}
	return byName
}

func (t *Tracer) program(name string) (*ebpf.Program, error) {
	if found := t.programs()[name]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("no program %q is loaded", name)
}
