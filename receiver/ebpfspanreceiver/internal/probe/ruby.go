package probe

import "github.com/otelcol-ebpf/otelcol-ebpf/bpf"

// RubyTarget says where a thread of Ruby says what it waits for, in bytes: struct ruby_target, bpf/event.h.
type RubyTarget struct{ Slot, Current, Thread, EC, Unblock, Locking uint32 }

// Ruby says how the threads of a process are read that was selected as one of Ruby, or is about to be.
func (t *Tracer) Ruby(pid uint32, r RubyTarget) error {
	v := bpf.SocketRubyTarget{
		Slot: r.Slot, Current: r.Current, Thread: r.Thread, Ec: r.EC, Unblock: r.Unblock, Locking: r.Locking,
	}
	return noteLayout(t.objects.RubyTargets, "the threads of Ruby", pid, v)
}

// ForgetRuby ends what Ruby said.
func (t *Tracer) ForgetRuby(pid uint32) error {
	return forgetLayout(t.objects.RubyTargets, "the threads of Ruby", pid)
}
