package link

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCrowd compares with a plain list, for all that a crowd does, in random order and with equal starts.
func TestCrowd(t *testing.T) {
	type span struct {
		start, end int64
		id         ID
	}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		spread := []int64{1, 20, 100_000}[seed%3]
		var all []span
		of := map[ID]span{}
		at := func(id ID) (int64, int64) { return of[id].start, of[id].end }
		c := crowd{at: at}
		less := func(x, y span) int { return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.id, y.id)) }
		check := func() {
			slices.SortFunc(all, less)
			require.Equal(t, len(all), c.n)
			first, length := rng.Int64N(spread+2)-1, rng.Int64N(spread+1)
			var want, got []ID
			// What ends too early may come or not.
			for _, s := range slices.Backward(all) {
				if s.start <= first+length && s.end >= first {
					want = append(want, s.id)
				}
			}
			looks := 0
			c.backwards(first+length, first, func(id ID) bool {
				looks++
				require.LessOrEqual(t, of[id].start, first+length)
				if of[id].end >= first {
					got = append(got, id)
				}
				return true
			})
			require.Equal(t, want, got)
			require.LessOrEqual(t, looks, chunkSize*(len(want)+2), "useless chunks are passed over")
			for _, k := range c.chunks {
				require.NotEmpty(t, k.ids)
				require.LessOrEqual(t, len(k.ids), chunkSize)
			}
		}
		for step := range 3000 {
			grow := 3
			if step > 1500 {
				grow = 1
			}
			if rng.IntN(4) < grow || len(all) == 0 {
				start := rng.Int64N(spread)
				if seed%2 == 0 {
					start = int64(step) * spread / 3000
				}
				s := span{start, start + rng.Int64N(spread/10+1), ID(rng.Uint32N(1 << 30))}
				if _, twice := of[s.id]; twice {
					continue
				}
				of[s.id] = s
				all = append(all, s)
				c.insert(s.id)
			} else {
				i := rng.IntN(len(all))
				s := all[i]
				all = slices.Delete(all, i, i+1)
				c.remove(s.id)
				c.remove(s.id)
			}
			if step%50 == 0 {
				check()
			}
		}
		slices.SortFunc(all, less)
		gone := c.dropOldest(len(all) / 3)
		all = all[gone:]
		check()
		require.GreaterOrEqual(t, gone, len(all)/3)
		for _, s := range all {
			c.remove(s.id)
		}
		require.Empty(t, c.chunks)
		require.LessOrEqual(t, c.dropOldest(5), 0)
	}
}
