package event

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock turns the kernel's CLOCK_MONOTONIC into wall time. The offset between the two moves when the
// wall clock is set or slewed, so it is measured again by [Clock.Adjust].
type Clock struct {
	offset uint64 // wall = monotonic + offset, modulo 2^64
	read   func() (mono, wall int64)
}

// NewClock measures the offset.
func NewClock() *Clock {
	c := &Clock{read: readClocks}
	c.Adjust()
	return c
}

// Adjust measures the offset. Of three readings the one that took least time is used: a preempted
// reading would be off by as much.
func (c *Clock) Adjust() {
	best := int64(1<<63 - 1)
	for range 3 {
		before, wall := c.read()
		after, _ := c.read()
		if took := after - before; took < best {
			best = took
			c.offset = uint64(wall - before)
		}
	}
}

// Wall is a kernel time as Unix nanoseconds.
func (c *Clock) Wall(mono uint64) uint64 { return mono + c.offset }

func readClocks() (mono, wall int64) {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano(), time.Now().UnixNano()
}

// Now is CLOCK_MONOTONIC, the time of the kernel side.
func (c *Clock) Now() uint64 {
	mono, _ := c.read()
	return uint64(mono)
}
