package capability

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Effective is what the calling thread may do now.
func Effective() (Set, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("capget: %w", err)
	}
	return Set(data[0].Effective) | Set(data[1].Effective)<<32, nil
}

var (
	// ErrCgo: a thread can be changed by itself only, and the runtime does not know those that C has made.
	ErrCgo = errors.New("the program was built with cgo, which has threads that cannot be reached: build it with CGO_ENABLED=0")
	// ErrUneven: some thread has given up, or taken, what others have not; to change all alike would end the program.
	ErrUneven = errors.New("the threads of the program have different capabilities")
)

// Sets are those of a thread that Limit changes.
type Sets struct{ Inheritable, Permitted, Effective, Bounding Set }

// Limit leaves every thread only those of its capabilities that are in keep, for good. Programs that it executes
// get no others either, be they root's or privileged themselves, unless CAP_SETPCAP is missing, which that needs.
// It returns what the process has from then on. Where it fails for ErrCgo or ErrUneven nothing has changed.
func Limit(keep Set) (left Set, err error) {
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); e == unix.ENOTSUP {
		return 0, ErrCgo
	}
	s, err := OfThreads("/proc/self/task")
	if err != nil {
		return 0, err
	}
	if s.Effective.Has(SetPCap) {
		for n := range 64 {
			if c := Set(1) << n; s.Bounding.Has(c) && !keep.Has(c) {
				if _, _, e := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(n), 0); e != 0 {
					return 0, fmt.Errorf("prctl(PR_CAPBSET_DROP, %s): %w", c.Names()[0], e)
				}
			}
		}
	}
	// Those that are ambient go with the permitted ones.
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		at := 32 * i
		data[i] = unix.CapUserData{
			Effective:   uint32(s.Effective & keep >> at),
			Permitted:   uint32(s.Permitted & keep >> at),
			Inheritable: uint32(s.Inheritable & keep >> at),
		}
	}
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); e != 0 {
		return 0, fmt.Errorf("capset: %w", e)
	}
	return Effective()
}

// Without runs f on a thread of its own, which may meanwhile not do what needs a capability of less.
func Without(less Set, f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err = unix.Capget(&hdr, &data[0]); err != nil {
			err = fmt.Errorf("capget: %w", err)
			runtime.UnlockOSThread()
			return
		}
		fewer := data
		fewer[0].Effective &^= uint32(less)
		fewer[1].Effective &^= uint32(less >> 32)
		if err = unix.Capset(&hdr, &fewer[0]); err == nil {
			err = f()
		}
		if back := unix.Capset(&hdr, &data[0]); back != nil {
			err = errors.Join(err, fmt.Errorf("capset: %w", back))
			return // the thread ends with its goroutine, which is locked to it
		}
		runtime.UnlockOSThread()
	}()
	<-done
	return err
}

// OfThreads reads what each thread of /proc/<pid>/task has, ErrUneven unless it is the same (proc(5), status).
func OfThreads(tasks string) (s Sets, err error) {
	dirs, err := os.ReadDir(tasks)
	if err != nil {
		return s, err
	}
	read := 0
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(tasks, d.Name(), "status"))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return s, err
		}
		t, err := parseStatus(string(b))
		if err != nil {
			return s, fmt.Errorf("%s/%s/status: %w", tasks, d.Name(), err)
		}
		if read++; read > 1 && t != s {
			return s, fmt.Errorf("%w: %+v and %+v", ErrUneven, s, t)
		}
		s = t
	}
	if read == 0 {
		return s, fmt.Errorf("%s lists no thread that can be read", tasks)
	}
	return s, nil
}

func parseStatus(text string) (s Sets, err error) {
	found := 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*Set{"CapInh": &s.Inheritable, "CapPrm": &s.Permitted, "CapEff": &s.Effective, "CapBnd": &s.Bounding}[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		*to = Set(n)
		found++
	}
	if found != 4 {
		return s, fmt.Errorf("%d of the 4 sets of capabilities are there", found)
	}
	return s, nil
}
