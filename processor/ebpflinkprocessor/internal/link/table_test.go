package link

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTableIsAMap: any sequence of operations gives what a Go map gives, also for keys that collide in
// their place and in their segment.
func TestTableIsAMap(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  func(n uint64) Key
	}{
		{"hashes", func(n uint64) Key { return Key(mix(n)) }},
		{"one place in each segment", func(n uint64) Key { return Key(mix(n) << segmentBits) }},
		{"zero and its neighbours", func(n uint64) Key { return Key(n % 3) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var table Table
			want := map[Key]uint32{}
			check := func(k Key) {
				v, ok := table.Get(k)
				w, wok := want[used(k)]
				require.Equal(t, wok, ok)
				require.Equal(t, w, v)
			}
			for i := range 60_000 {
				k := tt.key(uint64(r.IntN(6000)))
				switch v := uint32(i); r.IntN(4) {
				case 0:
					table.Delete(k)
					delete(want, used(k))
				case 1:
					table.Put(k, v)
					want[used(k)] = v
				case 2:
					old, found := table.Add(k, v)
					w, wok := want[used(k)]
					require.Equal(t, wok, found)
					require.Equal(t, w, old)
					if !found {
						want[used(k)] = v
					}
				default:
					check(k)
				}
				require.Equal(t, len(want), table.Len())
			}
			for n := range uint64(6000) {
				check(tt.key(n))
			}
		})
	}
}

func TestPagesStay(t *testing.T) {
	var p Pages[int]
	p.Grow(1)
	first := p.At(0)
	*first = 7
	p.Grow(5 * pageSize)
	require.Same(t, first, p.At(0))
	require.Equal(t, 5*pageSize, p.Len())
	require.Zero(t, *p.At(5*pageSize - 1))
}

func BenchmarkTable(b *testing.B) {
	const n = 1_000_000
	b.Run("table", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			var t Table
			for i := range uint64(n) {
				t.Put(Key(mix(i)), uint32(i))
			}
			for i := range uint64(n) {
				t.Delete(Key(mix(i)))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			t := map[Key]uint32{}
			for i := range uint64(n) {
				t[Key(mix(i))] = uint32(i)
			}
			for i := range uint64(n) {
				delete(t, Key(mix(i)))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
	})
}
