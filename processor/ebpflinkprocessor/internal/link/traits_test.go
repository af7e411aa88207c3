package link

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNeedsOfRows: a span that a row has a key for has what the row says it needs, or the row is never asked.
func TestNeedsOfRows(t *testing.T) {
	met := map[*keyed]int{}
	x := New(AllRuleNames(), apart)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		situation := newSituation(rng)
		situation.fill(20)
		for _, f := range situation.spans {
			few := func() uint64 { return rng.Uint64N(3) }
			v := x.View(x.AddRare(f.Fact, Rare{
				Process: few(), RequestID: few(), ResponseID: few(), ReqChain: few(), RespChain: few(),
				Tap: uint8(rng.IntN(13)), Foreign: rng.IntN(2) == 0,
				Exchange: Exchange{PID: uint32(few()), Instance: uint32(few()), Container: few(), Pod: few()},
			}))
			for i := range x.rows {
				for _, k := range []*keyed{x.rows[i].refers, x.rows[i].defines} {
					if _, ok := k.key(x, v); ok {
						met[k]++
						require.Equal(t, k.needs, v.traits()&k.needs, "%s: %+v", x.rows[i].rule, f)
					}
				}
			}
		}
	}
	for i := range x.rows {
		require.NotZero(t, met[x.rows[i].refers], "row %d of %s refers", i, x.rows[i].rule)
		require.NotZero(t, met[x.rows[i].defines], "row %d of %s defines", i, x.rows[i].rule)
	}
}
