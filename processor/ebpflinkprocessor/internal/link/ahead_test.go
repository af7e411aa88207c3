package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTheJoinAllocatesNothing: neither to look ahead nor to find parents and children, but for the room that facts take.
func TestTheJoinAllocatesNothing(t *testing.T) {
	const n = 4000
	x := New(RuleNames(), 500*time.Millisecond)
	facts := forest(n, false)
	for i := range facts {
		x.Add(facts[i])
	}
	id, linked, met := ID(0), 0, 0
	count := func(ID) bool { met++; return true }
	require.Zero(t, testing.AllocsPerRun(n-1, func() {
		if id%AtOnce == 0 {
			x.Expect(facts[id:min(int(id)+AtOnce, n)])
		}
		x.gen++
		if x.Resolve(id).Parent != None {
			linked++
		}
		x.Referrers(id, count)
		id = (id + 1) % n
	}))
	require.Greater(t, linked, n*7/10)
	require.Greater(t, met, n*7/10)
}
