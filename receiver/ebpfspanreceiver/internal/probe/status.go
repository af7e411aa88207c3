package probe

import (
	"os"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// State is what became of a hook.
type State uint8

const (
	// Attached: it works.
	Attached State = iota
	// Unsupported: this kernel does not have it.
	Unsupported
	// Forbidden: the process may not.
	Forbidden
	// Failed: another reason, in Err.
	Failed
)

var stateNames = [...]string{"attached", "unsupported", "forbidden", "failed"}

// String is the word used in logs and telemetry.
func (s State) String() string { return stateNames[s] }

// Status is what became of one program.
type Status struct {
	Program string
	Hook    string
	State   State
	Err     error
	// Links says what links of calls to requests are missing without it, "" where none are, or where no program can
	// use what it would see.
	Links string
}

// Status lists every hook, in the order of attachment.
func (t *Tracer) Status() []Status { return t.status }

// lockdownMode is the bracketed word in /sys/kernel/security/lockdown, or "".
func lockdownMode() string {
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

// LacksToReadProcesses names what this process lacks to describe the processes of other users, or is empty.
func LacksToReadProcesses() string {
	has, err := capability.Effective()
	if err != nil {
		return ""
	}
	return lacksToReadProcesses(has)
}

// lacksToReadProcesses: /proc asks for the first, and the modes of its files, and of executables that all may run and
// not all may read, for the second (proc(5), capabilities(7)).
func lacksToReadProcesses(has capability.Set) string {
	missing := capability.SysPtrace | capability.DACReadSearch
	if has.Has(capability.DACOverride) {
		missing &^= capability.DACReadSearch
	}
	return strings.Join((missing &^ has).Names(), " and ")
}

// missingCapabilities names what this process lacks to load and attach BPF programs, or is empty.
// CAP_SYS_ADMIN stands for each (capabilities(7)).
func missingCapabilities() string {
	has, err := capability.Effective()
	if err != nil || has.Has(capability.SysAdmin) {
		return "" // let the kernel speak when it is asked to load
	}
	return strings.Join(((capability.BPF | capability.PerfMon) &^ has).Names(), " and ")
}
