package process

import (
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"time"
)

// FileKey names the content of an executable: while it is the same, what was learnt from the file
// holds. The zero value means unknown.
type FileKey struct {
	Dev, Ino    uint64
	Size        int64
	MtimeUnixNs int64
}

// Process is what is known of one process between one exec and the next. It is not changed after
// it was handed out.
type Process struct {
	// PID is the id of the process (the kernel's tgid) as procfs shows it; PPID its parent's.
	PID, PPID int
	// Start is when the process was made, in ticks of 1/100 s since boot. With PID it is unique
	// until the machine restarts.
	Start uint64
	// Started is Start on the wall clock, exact to a tick.
	Started time.Time
	// UID is the real user id.
	UID uint32
	// Comm is the name of the first thread.
	Comm string
	// Exe is the path of the executable as the process sees it, which in a container is not where
	// the collector finds it: open ExeFile instead. Empty when it may not be read.
	Exe string
	// ExeDeleted: the file was removed or replaced since it was started.
	ExeDeleted bool
	ExeKey     FileKey
	CGroups    []CGroup
	// ContainerID and PodUID are empty outside containers and pods.
	ContainerID, PodUID string
	// NetNS is the inode of the network namespace, 0 when it may not be read.
	NetNS   uint64
	Runtime Runtime
	// ServiceName is never empty; ServiceNameFrom is the variable that gave it, or "command line"
	// or "executable" when it was derived and a better source may replace it.
	ServiceName, ServiceNameFrom string

	attrs         []Attr
	env           environ
	cgroupUnknown bool
	exec          uint64
	root          string
	faults        []error // while it is read: what could not be
	read          uint64  // when reading began, in nanoseconds since boot
}

// Derived sources of a service name.
const (
	FromCommandLine = "command line"
	FromExecutable  = "executable"
)

// ExeFile is a path by which the collector can open the executable, deleted or not, in whatever
// mount namespace it is.
func (p *Process) ExeFile() string {
	return filepath.Join(p.root, strconv.Itoa(p.PID), "exe")
}

// HostPath is where the collector finds the file that the process knows as name.
func (p *Process) HostPath(name string) string {
	return filepath.Join(p.root, strconv.Itoa(p.PID), "root", name)
}

// Attributes are the resource attributes, in a fixed order, each key once. Do not change them.
func (p *Process) Attributes() []Attr { return p.attrs }

// String leaves out everything that may hold a secret: Process formats as this with every verb.
func (p Process) String() string {
	return fmt.Sprintf("pid %d (%s), service %q", p.PID, p.Comm, p.ServiceName)
}

// GoString is String.
func (p Process) GoString() string { return p.String() }

// nameService applies the precedence: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, DD_SERVICE,
// DK_BPFTRACE_SERVICE, the program that an interpreter runs, the executable.
func (p *Process) nameService(declared []Attr, command func() string) {
	for _, source := range []string{envServiceName, envAttributes, envDDService, envDatakit} {
		value, _ := p.env.get(source)
		if source == envAttributes {
			value = find(declared, "service.name")
		}
		if value = validText(value, 255); value != "" {
			p.ServiceName, p.ServiceNameFrom = value, source
			return
		}
	}
	if name := command(); name != "" {
		p.ServiceName, p.ServiceNameFrom = name, FromCommandLine
		return
	}
	p.ServiceName, p.ServiceNameFrom = p.executableName(), FromExecutable
}

func (p *Process) executableName() string {
	name := ""
	if p.Exe != "" {
		name = validText(path.Base(p.Exe), 255)
	}
	if name == "" {
		name = p.Comm
	}
	if name == "" {
		name = "unknown_service" // semantic conventions, service.name
	}
	return name
}
