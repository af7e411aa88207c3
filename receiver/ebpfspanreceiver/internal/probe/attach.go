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
