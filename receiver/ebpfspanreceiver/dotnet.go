//go:build linux

package ebpfspanreceiver

import (
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// dotnet attaches nothing: threads, and tasks that a thread waits for, need only the kernel's evidence. What a task
// that awaits works for is in the ExecutionContext of its thread, which is not read, and that is said.
type dotnet struct {
	unattached
	missing *missing
}

func newDotnet(_ *probe.Tracer, _ *zap.Logger, counts *counts) runtimeSupport {
	return dotnet{missing: &counts.missing}
}

func (d dotnet) use(p *process.Process, t *target) {
	if p.Runtime == process.RuntimeDotnet || p.Runtime == process.RuntimeMono {
		t.tell(func(h *causality.Habits) { h.Resumes = true })
		d.missing.note(p.ServiceName, "the contexts of its asynchronous methods: .NET's are not read")
	}
}
