package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// clock is the machine's, with a wall clock that another process can step. The monotonic clock goes on,
// as that of a machine does.
type clock struct{ seconds *atomic.Int64 }

// openClock maps the file that holds the step in seconds.
func openClock(path string) (clock, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return clock{}, fmt.Errorf("%s: %w", clockEnv, err)
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return clock{}, fmt.Errorf("map %s: %w", path, err)
	}
	return clock{(*atomic.Int64)(unsafe.Pointer(&b[0]))}, nil
}

// Now is time.Now with other wall seconds. time.Time.Add moves the monotonic reading too, so the seconds
// are written where package time keeps them: bits 30 to 62 of the first word of a Time that has a
// monotonic reading (time.go, "wall").
func (c clock) Now() time.Time {
	t := time.Now()
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(c.seconds.Load()) << 30
	return t
}

// makeClock makes the file of a clock that has not stepped.
func makeClock(path string) error { return stepClock(path, 0) }

// stepClock steps the clock to this far from the machine's.
func stepClock(path string, to time.Duration) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(to/time.Second))), 0)
	return err
}
