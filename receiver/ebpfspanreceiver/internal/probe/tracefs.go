package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mountPoints are where a tracefs is usually found.
var mountPoints = []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}

// tracefs is a root under which events/<group>/<name>/id can be opened: a mounted tracefs, else one
// that this process opens for itself without mounting it anywhere (fsopen(2), Linux 5.2).
var tracefs = sync.OnceValues(openTracefs)

func openTracefs() (int, error) {
	for _, p := range mountPoints {
		if _, err := os.Stat(path.Join(p, "events")); err != nil {
			continue
		}
		fd, err := unix.Open(p, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
	}
	fd, err := detachedTracefs()
	if err != nil {
		return -1, fmt.Errorf("no tracefs at %s, and none can be opened: %w: "+
			"run `mount -t tracefs tracefs /sys/kernel/tracing`, or run as root (CAP_SYS_ADMIN); "+
			"in a container mount the host's /sys/kernel/tracing", strings.Join(mountPoints, " or "), err)
	}
	return fd, nil
}

func detachedTracefs() (int, error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w", err)
	}
	return fd, nil
}

// tracepointID is the number by which perf_event_open knows a tracepoint. os.ErrNotExist when this
// kernel does not have it.
func tracepointID(group, name string) (uint64, error) {
	root, err := tracefs()
	if err != nil {
		return 0, err
	}
	p := path.Join("events", group, name, "id")
	fd, err := unix.Openat(root, p, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrPermission) {
		return 0, fmt.Errorf("open tracefs:%s: %w: run as root or give CAP_DAC_READ_SEARCH", p, err)
	}
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: "tracefs:" + p, Err: err}
	}
	f := os.NewFile(uintptr(fd), p)
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, fmt.Errorf("read tracefs:%s: %w", p, err)
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// perfTracepoint attaches prog to a tracepoint by perf_event_open(2). One event on one CPU is enough:
// a BPF program on a tracepoint runs for every CPU.
func perfTracepoint(group, name string, prog int) (io.Closer, error) {
	id, err := tracepointID(group, name)
	if err != nil {
		return nil, err
	}
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample_type: unix.PERF_SAMPLE_RAW,
		Sample: 1, Wakeup: 1,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("perf_event_open: %w: run as root or give CAP_PERFMON, and look at "+
				"kernel.perf_event_paranoid and the container's seccomp profile", err)
		}
		return nil, fmt.Errorf("perf_event_open: %w", err)
	}
	event := os.NewFile(uintptr(fd), group+"/"+name)
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog); err != nil {
		return nil, errors.Join(fmt.Errorf("attach to perf event: %w", err), event.Close())
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("enable perf event: %w", err), event.Close())
	}
	return event, nil
}
