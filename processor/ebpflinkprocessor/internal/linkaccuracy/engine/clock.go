package engine

import (
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// Clock stands still until Advance. It tells the processor when to look, and waits until it has.
type Clock struct {
	mu    sync.Mutex
	now   time.Time
	ticks chan time.Time
}

var _ interface {
	window.Clock
	window.Ticker
} = (*Clock)(nil)

// NewClock makes a Clock that shows now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is what was last set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Renew makes the clock that of the processor which is started next: no other gets its ticks any more.
func (c *Clock) Renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticks = make(chan time.Time)
}

// Tick is for one processor at a time.
func (c *Clock) Tick(time.Duration) (ticks <-chan time.Time, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticks, func() {}
}

// Advance moves the clock to now and returns when the processor has done what was due.
func (c *Clock) Advance(now time.Time) {
	c.mu.Lock()
	c.now = now
	ticks := c.ticks
	c.mu.Unlock()
	// The processor takes the second tick only when it is done with the first.
	ticks <- now
	ticks <- now
}
