package main

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// sharedHooks are the tracepoints of programs that sit on several, whose section names none. The rest
// is read from the BPF object; a difference to what the receiver attached is printed.
var sharedHooks = map[string][]string{
	"exit_read": {"sys_exit_read", "sys_exit_readv", "sys_exit_recvfrom", "sys_exit_recvmsg"},
	"exit_write": {
		"sys_exit_write", "sys_exit_writev", "sys_exit_sendto", "sys_exit_sendmsg", "sys_exit_sendfile64",
	},
	"exit_accept":     {"sys_exit_accept", "sys_exit_accept4"},
	"enter_loop_wait": {"sys_enter_epoll_wait", "sys_enter_epoll_pwait", "sys_enter_epoll_pwait2"},
}

// runEmptyHooks attaches a program that does nothing to each hook of the receiver, until stdin
// ends. Programs and hooks are those of the receiver's own BPF object, one program each here as there.
func runEmptyHooks() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := bpf.LoadSocket()
	if err != nil {
		return fmt.Errorf("read the receiver's BPF object: %w", err)
	}
	var links []link.Link
	defer func() {
		for _, l := range links {
			_ = l.Close()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		on, err := attachEmpty(spec.Programs[name])
		links = append(links, on...)
		if err != nil {
			return fmt.Errorf("empty program on the hook of %s (%s): %w", name, spec.Programs[name].SectionName, err)
		}
	}
	if len(links) == 0 {
		return errors.New("the receiver's BPF object has no program")
	}
	if err := say(message{Ready: true}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := say(message{Hooks: int64(len(links))}); err != nil {
			return err
		}
	}
	return in.Err()
}

// attachEmpty puts one empty program on every hook for which hooked was written.
func attachEmpty(hooked *ebpf.ProgramSpec) ([]link.Link, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: hooked.Name, Type: hooked.Type, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer p.Close() // the links keep it
	switch hooked.Type {
	case ebpf.TracePoint:
		group, name, _ := strings.Cut(hooked.AttachTo, "/")
		names := []string{name}
		if name == "sys_enter" || name == "sys_exit" {
			if names = sharedHooks[hooked.Name]; names == nil {
				return nil, errors.New("the section names no tracepoint: add the program to sharedHooks")
			}
		}
		var links []link.Link
		for _, name := range names {
			l, err := link.Tracepoint(group, name, p, nil)
			if err != nil {
				return links, err
			}
			links = append(links, l)
		}
		return links, nil
	case ebpf.RawTracepoint:
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: hooked.AttachTo, Program: p})
		if err != nil {
			return nil, err
		}
		return []link.Link{l}, nil
	default:
		return nil, fmt.Errorf("program type %s: add how it attaches here", hooked.Type)
	}
}
