// Package capability knows what a process may do beyond what every process may, and gives up what it no longer
// needs (capabilities(7)).
package capability

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Set is a set of capabilities: bit n is that of number n (linux/capability.h).
type Set uint64

// Those that are named in the program.
const (
	DACOverride   Set = 1 << 1
	DACReadSearch Set = 1 << 2
	SetPCap       Set = 1 << 8
	SysPtrace     Set = 1 << 19
	SysAdmin      Set = 1 << 21
	PerfMon       Set = 1 << 38
	BPF           Set = 1 << 39
)

const prefix = "CAP_"

// names are those of capabilities(7) by their numbers.
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO",
	"SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// ErrUnknown is returned for a name that no capability has.
var ErrUnknown = errors.New("not the name of a capability")

// Named returns the capability with a name of capabilities(7), with or without its CAP_.
func Named(name string) (Set, error) {
	n := slices.Index(names[:], strings.TrimPrefix(name, prefix))
	if n < 0 {
		return 0, ErrUnknown
	}
	return 1 << n, nil
}

// Has says whether all of other are in s.
func (s Set) Has(other Set) bool { return s&other == other }

// Names are those of the capabilities in s, in the order of their numbers, which stand for what has no name here.
func (s Set) Names() []string {
	out := []string{}
	for n := range 64 {
		switch {
		case !s.Has(1 << n):
		case n < len(names):
			out = append(out, prefix+names[n])
		default:
			out = append(out, prefix+strconv.Itoa(n))
		}
	}
	return out
}
