package main

import (
	"path/filepath"
	"testing"
	"time"
)

// TestClockSteps: the wall clock steps, the monotonic clock does not.
func TestClockSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if err := makeClock(path); err != nil {
		t.Fatal(err)
	}
	c, err := openClock(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{time.Hour, -time.Hour, 240 * time.Hour, 0} {
		before := c.Now()
		if err := stepClock(path, step); err != nil {
			t.Fatal(err)
		}
		now := c.Now()
		if d := now.Sub(before); d < 0 || d > time.Minute {
			t.Errorf("the monotonic clock went %s at a step to %s", d, step)
		}
		if d := time.Until(now.Round(0).Add(-step)); d < -time.Minute || d > time.Minute {
			t.Errorf("the wall clock is %s off after a step to %s", d, step)
		}
	}
}
