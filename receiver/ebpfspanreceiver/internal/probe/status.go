package probe

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
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

// needed are the capabilities that make the difference, by their bit (linux/capability.h).
var needed = []struct {
	bit  uint
	name string
}{
	{unix.CAP_BPF, "CAP_BPF"},
	{unix.CAP_PERFMON, "CAP_PERFMON"},
	{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
}

// capabilityReport says which of them this process lacks, for the end of an error message.
func capabilityReport() string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return ""
	}
	var missing []string
	for _, c := range needed {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf(" (uid %d lacks %s)", os.Geteuid(), strings.Join(missing, ", "))
}
