package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNearestCall: of calls with the same numbers the one that its request fills best, and by how much.
func TestNearestCall(t *testing.T) {
	// The request takes 100 ms from 110 on; each call is as much longer as it says, half before and half after.
	call := func(n byte, longer float64) Fact {
		c := client(n, 110, seq(5, 6), host(uint64(n)))
		half := int64(longer * float64(ms) / 2)
		c.Start, c.End = c.Start-half, c.End+half
		return c
	}
	for name, tt := range map[string]struct {
		calls  []Fact
		parent byte
		sure   float64
	}{
		"one is much nearer":      {[]Fact{call(2, 1), call(3, 21)}, 2, 1},
		"one is nearer by 1 ms":   {[]Fact{call(2, 4), call(3, 3)}, 3, .731},
		"as near":                 {[]Fact{call(2, 4), call(3, 4)}, 0, 0},
		"three, one much nearer":  {[]Fact{call(2, 14), call(3, 3), call(4, 14)}, 3, 1},
		"three, hardly nearer":    {[]Fact{call(2, 3.2), call(3, 3), call(4, 3.2)}, 0, 0},
		"the nearer one is open":  {[]Fact{call(2, 20), with(call(3, 3), pending)}, 0, 0},
		"one is the exact rule's": {[]Fact{call(2, 20)}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for shift := range tt.calls {
				x := New(append(RuleNames(), Timing), 500*time.Millisecond)
				off := New(RuleNames(), 500*time.Millisecond)
				for i := range tt.calls {
					x.Add(tt.calls[(i+shift)%len(tt.calls)])
					off.Add(tt.calls[(i+shift)%len(tt.calls)])
				}
				s := server(1, 110, seq(5, 6), host(9))
				id, idOff := x.Add(s), off.Add(s)
				e := x.Resolve(id)
				if len(tt.calls) > 1 {
					require.Equal(t, Ambiguous, off.Resolve(idOff).Outcome, "with timing off it is not guessed")
				}
				if tt.parent == 0 {
					require.Equal(t, Ambiguous, e.Outcome)
					continue
				}
				require.Equal(t, span(tt.parent), x.Fact(e.Parent).Span)
				require.InDelta(t, tt.sure, e.Confidence, .001)
			}
		})
	}
}

func with(f Fact, change func(*Fact)) Fact {
	change(&f)
	return f
}
