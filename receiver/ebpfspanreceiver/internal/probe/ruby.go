package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// RubyTarget says where a thread of Ruby says what it waits for, in bytes: struct ruby_target, bpf/event.h.
type RubyTarget struct{ Slot, Current, Thread, EC, Unblock, Locking uint32 }

// Ruby says how the threads of a process are read that was selected as one of Ruby, or is about to be.
func (t *Tracer) Ruby(pid uint32, r RubyTarget) error {
	v := bpf.SocketRubyTarget{
		Slot: r.Slot, Current: r.Current, Thread: r.Thread, Ec: r.EC, Unblock: r.Unblock, Locking: r.Locking,
	}
	if err := t.objects.RubyTargets.Put(pid, v); err != nil {
		return fmt.Errorf("note the threads of Ruby process %d: %w", pid, err)
	}
	return nil
}

// ForgetRuby ends what Ruby said.
func (t *Tracer) ForgetRuby(pid uint32) error {
	if err := t.objects.RubyTargets.Delete(pid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget the threads of Ruby process %d: %w", pid, err)
	}
	return nil
}
