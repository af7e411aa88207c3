//go:build linux

package process

import (
	"sync"

	"golang.org/x/sys/unix"
)

// goCache remembers whether an executable is Go's, so the many processes of one file read it once.
type goCache struct {
	mu    sync.Mutex // guards known
	known map[FileKey]bool
}

// maxGoCache is far above the executables that a machine runs; when it is full it starts afresh.
const maxGoCache = 4096

func (c *goCache) isGo(d procDir, key FileKey) bool {
	if key != (FileKey{}) {
		c.mu.Lock()
		known, ok := c.known[key]
		c.mu.Unlock()
		if ok {
			return known
		}
	}
	fd, err := retryInt(func() (int, error) {
		return unix.Openat(d.fd, "exe", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	})
	if err != nil {
		return false // not an error: the runtime is only a nicety, and exe was readable or counted
	}
	found := goELF(func(b []byte, off uint64) bool {
		if off > 1<<62 {
			return false
		}
		n, err := retryInt(func() (int, error) { return unix.Pread(fd, b, int64(off)) })
		return err == nil && n == len(b)
	})
	_ = unix.Close(fd)
	if key != (FileKey{}) {
		c.mu.Lock()
		if len(c.known) >= maxGoCache {
			c.known = nil
		}
		if c.known == nil {
			c.known = map[FileKey]bool{}
		}
		c.known[key] = found
		c.mu.Unlock()
	}
	return found
}
