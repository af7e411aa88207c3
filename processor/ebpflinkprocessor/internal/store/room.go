package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
)

// room is what a file may be written to for certain. Badger writes through memory maps, and a page of
// one that the disk has no room for ends the process with SIGBUS; so room comes first.
type room struct {
	mu   sync.Mutex
	path string
	// used and sure are in bytes from the start of the file.
	used, sure int64
	// most is how much is reserved at most, if not 0: beyond it the writer goes on in another file.
	most int64
	// step is reserved at once where there is room.
	step int64
	// unable: the file system cannot reserve, and the free room on it must do.
	unable bool
}

const (
	// roomStep is what is reserved at once, at least.
	roomStep = 256 << 10
	// keepFree is the room on the file system that batches leave for what is written about them.
	keepFree = 32 << 20
	// lastFree is the room for what cannot be reserved: Badger's own files, and tables on closing.
	lastFree = 4 << 20
)

// of points the room at the last file with that name in dir.
func (r *room) of(dir, pattern string) {
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(files) > 0 {
		r.path = files[len(files)-1]
	}
}

// take makes sure of n more bytes.
func (r *room) take(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unable = r.unable || r.most > 0 && r.used+n > r.most; r.unable {
		if f := free(filepath.Dir(r.path)); f >= 0 && f < keepFree/2+n {
			return noRoom(f)
		}
	} else if r.used+n > r.sure {
		if err := r.extend(r.used + n); err != nil {
			return err
		}
	}
	r.used += n
	return nil
}

// giveBack takes back what take made sure of.
func (r *room) giveBack(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
}

// extend reserves up to to and a step more, if there is one.
func (r *room) extend(to int64) error {
	var err error
	for _, to := range [...]int64{to + max(r.step, roomStep), to} {
		err = reserve(r.path, r.sure, to-r.sure)
		switch {
		case err == nil:
			r.sure = to
			return nil
		case errors.Is(err, errors.ErrUnsupported):
			r.unable = true
			return nil
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return noRoom(free(filepath.Dir(r.path)))
	}
	return fmt.Errorf("reserve room in %s: %w", r.path, err)
}

func noRoom(free int64) error {
	return fmt.Errorf("%w: %d bytes are free on its file system: make room", ErrFull, free)
}
