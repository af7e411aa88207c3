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
func NewClock(now time.Time) *Clock { return &Clock{now: now, ticks: make(chan time.Time)} }

// Now is what was last set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Tick is for one processor.
func (c *Clock) Tick(time.Duration) (ticks <-chan time.Time, stop func()) {
	return c.ticks, func() {}
}

// Advance moves the clock to now and returns when the processor has done what was due.
func (c *Clock) Advance(now time.Time) {
	c.mu.Lock()
	c.now = now
	c.mu.Unlock()
	// The processor takes the second tick only when it is done with the first.
	c.ticks <- now
	c.ticks <- now
}
