package main

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestForEach: so many jobs run at once, and what they give is shown in order, each as soon as that allows.
func TestForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var running, most atomic.Int32
		var shown []int
		var at []time.Duration
		results := forEach([]int{3, 1, 2, 1}, 2, func(seconds int) int {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Duration(seconds) * time.Second)
			running.Add(-1)
			return seconds * 10
		}, func(r int) {
			shown = append(shown, r)
			at = append(at, time.Since(begin))
		})
		require.Equal(t, []int{30, 10, 20, 10}, results)
		require.Equal(t, results, shown)
		// The second begins with the first, the third when the second ends, the fourth when both end.
		require.Equal(t, []time.Duration{3 * time.Second, 3 * time.Second, 3 * time.Second, 4 * time.Second}, at)
		require.EqualValues(t, 2, most.Load())
	})
}
