//go:build linux

package ebpfspanreceiver

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// dropCapabilities leaves the collector what is needed to go on: processes that start later are read, and probes put
// into their files, as long as it runs. Only what would leave it half done is an error.
// admin: probes can be attached with CAP_SYS_ADMIN only.
func (r *ebpfReceiver) dropCapabilities(admin bool) error {
	if !r.config.DropCapabilities {
		return nil
	}
	also, err := r.config.keepCapabilities()
	if err != nil {
		return err
	}
	has, err := capability.Effective()
	if err != nil {
		return err
	}
	left, err := capability.Limit(needed(has, admin) | also)
	switch {
	case errors.Is(err, capability.ErrCgo), errors.Is(err, capability.ErrUneven):
		r.log.Warn("Capabilities that are not needed stay. Give the collector only those that are, or set drop_capabilities: false "+
			"to accept it", zap.Error(err), zap.Strings("capabilities", has.Names()))
	case err != nil:
		return fmt.Errorf("drop capabilities: %w: set drop_capabilities: false to keep them all", err)
	default:
		if admin {
			r.log.Warn("CAP_SYS_ADMIN stays: without it this kernel lets nobody attach probes. It does with kernel.perf_event_paranoid at 2")
		}
		r.log.Info("Capabilities were dropped; keep_capabilities keeps what other components need",
			zap.Strings("left", left.Names()), zap.Int("dropped", len((has&^left).Names())))
	}
	return nil
}

// perfEvents says whether only CAP_SYS_ADMIN lets probes be attached, and warns where nothing does.
func (r *ebpfReceiver) perfEvents() (needAdmin bool) {
	needAdmin, err := capability.PerfEvents()
	if err != nil {
		r.log.Warn("Probes cannot be attached to executables: calls that goroutines, Python, Node.js or tokio hand over stay unlinked. "+
			"Give CAP_PERFMON; where the kernel asks for more, CAP_SYS_ADMIN, or set kernel.perf_event_paranoid to 2; where a "+
			"seccomp profile refuses, let perf_event_open pass", zap.Error(err))
	}
	return needAdmin
}

// needed is what tracing goes on with, or what stands in for it in has (capabilities(7)).
func needed(has capability.Set, admin bool) capability.Set {
	keep := capability.BPF | capability.PerfMon | capability.SysPtrace | capability.DACReadSearch
	if admin || !has.Has(capability.BPF|capability.PerfMon) {
		keep |= capability.SysAdmin
	}
	if !has.Has(capability.DACReadSearch) {
		keep |= capability.DACOverride
	}
	return keep
}
