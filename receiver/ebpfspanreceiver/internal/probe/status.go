package probe

import (
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

func has(data [2]unix.CapUserData) func(uint) bool {
	return func(c uint) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
}

// LacksToReadProcesses names what this process lacks to describe the processes of other users, or is empty.
func LacksToReadProcesses() string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return ""
	}
	return lacksToReadProcesses(has(data))
}

// lacksToReadProcesses: /proc asks for the first, and the modes of its files, and of executables that all may run and
// not all may read, for the second (proc(5), capabilities(7)).
func lacksToReadProcesses(has func(uint) bool) string {
	var missing []string
	if !has(unix.CAP_SYS_PTRACE) {
		missing = append(missing, "CAP_SYS_PTRACE")
	}
	if !has(unix.CAP_DAC_READ_SEARCH) && !has(unix.CAP_DAC_OVERRIDE) {
		missing = append(missing, "CAP_DAC_READ_SEARCH")
	}
	return strings.Join(missing, " and ")
}

// missingCapabilities names what this process lacks to load and attach BPF programs, or is empty.
// CAP_SYS_ADMIN stands for each (capabilities(7)).
func missingCapabilities() string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return "" // let the kernel speak when it is asked to load
	}
	has := has(data)
	if has(unix.CAP_SYS_ADMIN) {
		return ""
	}
	var missing []string
	if !has(unix.CAP_BPF) {
		missing = append(missing, "CAP_BPF")
	}
	if !has(unix.CAP_PERFMON) {
		missing = append(missing, "CAP_PERFMON")
	}
	return strings.Join(missing, " and ")
}
