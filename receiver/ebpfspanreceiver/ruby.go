package ebpfspanreceiver

import (
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// ruby attaches nothing. A thread of Ruby sleeps at one address for whatever it waits for (native_thread_data.cond is a
// union, thread_pthread.h), so that a wake-up there is as likely that of the lock as that of whoever waits for a call.
type ruby struct {
	unattached
	missing *missing
}

func newRuby(_ *probe.Tracer, _ *zap.Logger, counts *counts) runtimeSupport {
	return ruby{missing: &counts.missing}
}

func (r ruby) use(p *process.Process, target *target) {
	if p.Runtime != process.RuntimeRuby {
		return
	}
	target.locks = true
	r.missing.note(p.ServiceName, "the owner of Ruby's lock, which would tell a wake-up by the lock from another")
}
