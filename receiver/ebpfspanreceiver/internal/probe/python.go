package probe

import "github.com/otelcol-ebpf/otelcol-ebpf/bpf"

// PythonTarget says where the variable _PyRuntime of CPython is, an address and bytes: struct python_target, bpf/event.h.
type PythonTarget struct{ Runtime, Size uint64 }

// Python says where the lock is of a process that was selected as one of Python, or is about to be.
func (t *Tracer) Python(pid uint32, p PythonTarget) error {
	v := bpf.SocketPythonTarget{Runtime: p.Runtime, Size: p.Size}
	return noteLayout(t.objects.PythonTargets, "the lock of Python", pid, v)
}

// ForgetPython ends what Python said.
func (t *Tracer) ForgetPython(pid uint32) error {
	return forgetLayout(t.objects.PythonTargets, "the lock of Python", pid)
}
