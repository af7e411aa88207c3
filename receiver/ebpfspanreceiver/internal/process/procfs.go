//go:build linux

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of what is read. A process chooses its own environment, command line and title, so every
// one of them may be hostile.
const (
	maxStat      = 4 << 10   // comm is at most 64 bytes escaped, the rest is 50 numbers
	maxStatus    = 16 << 10  // the list of supplementary groups is the long part
	maxEnviron   = 128 << 10 // Linux caps one string at this; whole environments are seldom larger
	maxCmdline   = 128 << 10 // Java class paths come before the main class and are long
	maxCgroup    = 64 << 10  // a dozen hierarchies of at most PATH_MAX each
	maxMountinfo = 256 << 10
	maxPath      = 8 << 10 // PATH_MAX plus " (deleted)" and a long mount prefix
)

var (
	// ErrGone: the process ended, before or while it was read.
	ErrGone = errors.New("process is gone")
	// ErrThread: the id is a thread's; a process is named by the id of its first thread.
	ErrThread = errors.New("id belongs to a thread, not to a process")
	// ErrKernelThread: the id is a kernel thread's.
	ErrKernelThread = errors.New("kernel thread")
	// ErrZombie: the process has ended and waits for its parent.
	ErrZombie = errors.New("process is a zombie")
	// ErrFirstThreadEnded: other threads run on, but procfs shows nothing of the program any more.
	ErrFirstThreadEnded = errors.New("the first thread of the process has ended")
)

// procDir is an open /proc/<pid>. The kernel ties the descriptor to that one process, not to its
// number: once it has ended every read fails with ESRCH, even when the number is in use again. So
// all facts read through one procDir belong to one process.
type procDir struct {
	root string
	pid  int
	fd   int
}

func openProc(root string, pid int) (procDir, error) {
	d := procDir{root: root, pid: pid, fd: -1}
	if pid <= 0 {
		return d, fmt.Errorf("pid %d: must be 1 or more", pid)
	}
	fd, err := retryInt(func() (int, error) {
		return unix.Open(root+"/"+strconv.Itoa(pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return d, d.fault("", err)
	}
	d.fd = fd
	return d, nil
}

func (d procDir) close() { _ = unix.Close(d.fd) }

// fault turns the kernel's ways of saying that a process has ended into ErrGone and names the file
// in anything else. Reading says ESRCH; opening says ENOENT (proc_pident_lookup, fs/proc/base.c), of
// files that every process has on every kernel.
func (d procDir) fault(name string, err error) error {
	switch {
	case errors.Is(err, unix.ESRCH):
		return ErrGone
	case errors.Is(err, unix.ENOENT):
		switch name {
		case "", "stat", "status", "environ", "cmdline", "mountinfo", "fd", "net/tcp":
			return ErrGone
		}
	}
	return &fs.PathError{Op: "read", Path: filepath.Join(d.root, strconv.Itoa(d.pid), name), Err: err}
}

// buffers lend the space for one file; the largest file read decides their size.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// borrow lends an empty buffer; give it back with release. Whoever read secrets into it (environment,
// command line) clears them first.
func borrow() *[]byte { return buffers.Get().(*[]byte) }

func release(b *[]byte) {
	*b = (*b)[:0]
	buffers.Put(b)
}

// read appends at most limit bytes of a file to *buf. whole is false when there was more.
func (d procDir) read(name string, buf *[]byte, limit int) (data []byte, whole bool, err error) {
	fd, err := retryInt(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, false, d.fault(name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	data, whole, err = readFD(fd, buf, limit)
	if err != nil {
		return nil, false, d.fault(name, err)
	}
	return data, whole, nil
}

func readFD(fd int, buf *[]byte, limit int) ([]byte, bool, error) {
	b := (*buf)[:0]
	for {
		if len(b) > limit {
			*buf = b
			return b[:limit], false, nil
		}
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(2*cap(b), limit+1))
			copy(grown, b)
			clear(b)
			b = grown
		}
		room := b[len(b):min(cap(b), limit+1)]
		n, err := retryInt(func() (int, error) { return unix.Read(fd, room) })
		if err != nil {
			clear(b)
			*buf = b
			return nil, false, err
		}
		if n == 0 {
			*buf = b
			return b, true, nil
		}
		b = b[:len(b)+n]
	}
}

// link reads a symbolic link below the process's directory.
func (d procDir) link(name string) (string, error) {
	b := borrow()
	defer release(b)
	buf := (*b)[:min(cap(*b), maxPath)]
	n, err := retryInt(func() (int, error) { return unix.Readlinkat(d.fd, name, buf) })
	if err != nil {
		return "", d.fault(name, err)
	}
	return string(buf[:n]), nil
}

// stat follows links, so it reaches a deleted executable and one in another mount namespace.
func (d procDir) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	_, err := retryInt(func() (int, error) { return 0, unix.Fstatat(d.fd, name, &st, 0) })
	if err != nil {
		return st, d.fault(name, err)
	}
	return st, nil
}

func retryInt(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// pids lists the processes (never the threads) under root, in the kernel's order.
func pids(root string) ([]int, error) {
	f, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	out := make([]int, 0, len(names))
	for _, n := range names {
		if pid, ok := parsePID(n); ok {
			out = append(out, pid)
		}
	}
	return out, err
}

func denied(err error) bool { return errors.Is(err, fs.ErrPermission) }
