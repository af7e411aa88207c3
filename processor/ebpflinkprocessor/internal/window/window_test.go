package window

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type fixed struct{ now time.Time }

func (f *fixed) Now() time.Time { return f.now }

func TestQueue(t *testing.T) {
	clock := &fixed{now: time.Unix(1000, 0)}
	q := New[int](clock, 20*time.Second)
	require.Zero(t, q.Age())
	for i := range 5000 {
		q.Push(q.Now(), i)
		clock.now = clock.now.Add(time.Millisecond)
	}
	_, ok := q.Pop(q.Now())
	require.False(t, ok, "not due")
	require.Zero(t, q.Lag())
	require.Equal(t, 5*time.Second, q.Age())
	clock.now = time.Unix(1020, 0)
	v, ok := q.Pop(q.Now())
	require.True(t, ok)
	require.Equal(t, 0, v)
	_, ok = q.Pop(q.Now())
	require.False(t, ok, "the second came a millisecond later")
	clock.now = time.Unix(1030, 0)
	require.Equal(t, 9999*time.Millisecond, q.Lag())
	require.Equal(t, 29999*time.Millisecond, q.Age(), "the second is the oldest now")
	for i := 1; i < 5000; i++ {
		v, ok := q.Pop(q.Now())
		require.True(t, ok)
		require.Equal(t, i, v)
	}
	require.Zero(t, q.Len())
	require.Empty(t, q.runs, "room of popped items is given back")
	q.Push(q.Now(), 7)
	v, ok = q.Oldest()
	require.True(t, ok)
	require.Equal(t, 7, v)
	_, ok = q.Oldest()
	require.False(t, ok)
	require.Zero(t, q.Len())
}

// TestSystemClockIsMonotonic: a wall clock that is set changes no wait, as differences are taken of the
// monotonic reading, which Now must not lose.
func TestSystemClockIsMonotonic(t *testing.T) {
	require.Contains(t, System{}.Now().String(), " m=")
}

func TestSettledAfterHalfTheWindow(t *testing.T) {
	q := New[int](&fixed{now: time.Unix(0, 0)}, 20*time.Second)
	require.False(t, q.Settled(0, Instant(10*time.Second)-1))
	require.True(t, q.Settled(0, Instant(10*time.Second)))
}

// TestRecovered: an arrival from before a restart is never in the future nor older than the window.
func TestRecovered(t *testing.T) {
	clock := &fixed{now: time.Unix(1000, 0)}
	q := New[int](clock, 20*time.Second)
	for _, tt := range []struct {
		wall int64
		want time.Duration
	}{
		{995, -5 * time.Second}, {0, -20 * time.Second}, {2000, 0}, {-1 << 33, -20 * time.Second},
	} {
		require.Equal(t, Instant(tt.want), q.Recovered(tt.wall*int64(time.Second)), "arrival %d", tt.wall)
	}
}
