package main

import (
	"fmt"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// privileges says what the collector may still do, now that it traces. A collector and a configuration of
// somebody's own may keep more than ours.
func (d *demo) privileges(col *collector) error {
	has, err := capability.OfThreads(fmt.Sprintf("/proc/%d/task", col.child.PID()))
	if err != nil {
		return fmt.Errorf("capabilities of the collector: %w", err)
	}
	needed := capability.BPF | capability.PerfMon | capability.SysPtrace | capability.DACReadSearch
	if admin, err := capability.PerfEvents(); err == nil && admin { // what the collector finds, too
		needed |= capability.SysAdmin
	}
	if more := has.Permitted &^ needed; more != 0 && d.o.collector == "" && d.o.config == "" {
		return fmt.Errorf("the collector has kept %s, which tracing does not need; its output:\n%s",
			strings.Join(more.Names(), ", "), col.child.Tail(30))
	}
	d.say("capabilities that the collector has kept: %s", strings.Join(has.Permitted.Names(), ", "))
	return nil
}
