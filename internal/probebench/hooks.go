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

// runEmptyHooks attaches a program that does nothing to each hook of the receiver, until stdin
// ends. Programs and hooks are those of the receiver's own BPF object, one program each here as there. The two hooks on
// all system calls go on to nothing.
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
		if strings.HasPrefix(name, "enter_") || strings.HasPrefix(name, "exit_") {
			continue // of one system call, reached from the hook on all of them
		}
		on, err := attachEmpty(spec.Programs[name])
		if err != nil {
			return fmt.Errorf("empty program on the hook of %s (%s): %w", name, spec.Programs[name].SectionName, err)
		}
		links = append(links, on)
	}
	if len(links) == 0 {
		return errors.New("the receiver's BPF object has no program")
	}
	if err := say(message{Ready: true}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := say(message{}); err != nil {
			return err
		}
	}
	return in.Err()
}

// attachEmpty puts an empty program on the hook for which hooked was written.
func attachEmpty(hooked *ebpf.ProgramSpec) (link.Link, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: hooked.Name, Type: hooked.Type, AttachType: hooked.AttachType, AttachTo: hooked.AttachTo, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer p.Close() // the link keeps it
	switch hooked.Type {
	case ebpf.Tracing:
		return link.AttachTracing(link.TracingOptions{Program: p})
	case ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: hooked.AttachTo, Program: p})
	}
	return nil, fmt.Errorf("program type %s: add how it attaches here", hooked.Type)
}
