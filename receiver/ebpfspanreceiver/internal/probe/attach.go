package probe

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf/link"
)

// Attach puts every program on its hook. A required hook that cannot be had is an error, and what
// was attached before is detached again; an optional one is in Status.
func (t *Tracer) Attach() error {
	for _, h := range hooks {
		closer, err := t.attach(h)
		s := Status{Program: h.program, Hook: h.String(), State: stateOf(err), Err: err}
		if err != nil && h.without != "" {
			s.Err = fmt.Errorf("%w: %s", err, h.without)
		}
		t.status = append(t.status, s)
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
	if h.group == traced {
		return link.AttachTracing(link.TracingOptions{Program: p})
	}
	if h.group != "" {
		return perfTracepoint(h.group, h.name, p.FD())
	}
	return link.AttachRawTracepoint(link.RawTracepointOptions{Name: h.name, Program: p})
}

// Site is a place in an executable or library. Program is the name of a program of bpf/; Offset is from the
// beginning of the file. Return: the program runs when the function that begins there returns.
type Site struct {
	Program string
	Offset  uint64
	Return  bool
}

// AttachSites puts programs on the sites of a file, for every process that has it mapped now or later. It
// returns what detaches them.
func (t *Tracer) AttachSites(file string, sites []Site) (io.Closer, error) {
	exe, err := link.OpenExecutable(file)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	var links closers
	for _, s := range sites {
		p, err := t.program(s.Program)
		if err != nil {
			return nil, errors.Join(err, links.Close())
		}
		attach := exe.Uprobe
		if s.Return {
			attach = exe.Uretprobe
		}
		l, err := attach("", p, &link.UprobeOptions{Address: s.Offset})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("uprobe %s at %#x of %s: %w", s.Program, s.Offset, file, err),
				links.Close())
		}
		links = append(links, l)
	}
	return links, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i].Close())
	}
	return errors.Join(errs...)
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
