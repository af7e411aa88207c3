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
// ends. The hooks are read from the receiver's own BPF object, so they cannot drift apart, and
// each has its own program there as here, so that its runs are counted by themselves.
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
			l.Close()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		l, err := attachEmpty(spec.Programs[name])
		if err != nil {
			return fmt.Errorf("empty program on the hook of %s (%s): %w", name, spec.Programs[name].SectionName, err)
		}
		links = append(links, l)
	}
	if len(links) == 0 {
		return errors.New("the receiver's BPF object has no program")
	}
	if err := say(message{Ready: true}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := say(message{Ready: true}); err != nil {
			return err
		}
	}
	return in.Err()
}

// attachEmpty puts an empty program on the hook for which hooked was written.
func attachEmpty(hooked *ebpf.ProgramSpec) (link.Link, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: hooked.Name, Type: hooked.Type, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer p.Close() // the link keeps it
	switch hooked.Type {
	case ebpf.TracePoint:
		group, name, _ := strings.Cut(hooked.AttachTo, "/")
		return link.Tracepoint(group, name, p, nil)
	case ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: hooked.AttachTo, Program: p})
	default:
		return nil, fmt.Errorf("program type %s: add how it attaches here", hooked.Type)
	}
}
