package probe

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Attach puts every program on its hook. A required hook that cannot be had is an error, and what
// was attached before is detached again; an optional one is in Status.
func (t *Tracer) Attach() error {
	for _, h := range hooks {
		closer, err := t.attach(h)
		t.status = append(t.status, h.status(err))
		if err == nil {
			t.attached = append(t.attached, closer)
			continue
		}
		if h.required {
			for i := len(t.attached) - 1; i >= 0; i-- {
				err = errors.Join(err, t.attached[i].Close())
			}
			t.attached = nil
			return fmt.Errorf("attach %s to %s: %w", h.program, h, err)
		}
	}
	return nil
}

func (t *Tracer) attach(h hook) (io.Closer, error) {
	p, err := t.program(h.program)
	if err != nil {
		return nil, err
	}
	switch h.on {
	case syscallEntry:
		return addToSyscall(t.objects.SyscallEntries, h.name, p)
	case syscallExit:
		return addToSyscall(t.objects.SyscallExits, h.name, p)
	case typedTracepoint:
		return link.AttachTracing(link.TracingOptions{Program: p})
	}
	return link.AttachRawTracepoint(link.RawTracepointOptions{Name: h.name, Program: p})
}

// addToSyscall makes p the program of a system call in a table of them. It goes with the table.
func addToSyscall(table *ebpf.Map, name string, p *ebpf.Program) (io.Closer, error) {
	number, ok := syscallNumbers[name]
	if !ok {
		return nil, fmt.Errorf("this architecture has no %s(2): %w", name, os.ErrNotExist)
	}
	if err := table.Put(number, p); err != nil {
		return nil, fmt.Errorf("program of %s(2), number %d: %w", name, number, err)
	}
	return io.NopCloser(nil), nil
}

func stateOf(err error) State {
	switch {
	case err == nil:
		return Attached
	case errors.Is(err, os.ErrNotExist):
		return Unsupported
	case errors.Is(err, os.ErrPermission):
		return Forbidden
	}
	return Failed
}
