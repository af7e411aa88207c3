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
		{"hashes", func(n uint64) Key { return domainSpan.key(n, 0, 0) }},
		{"one place in each segment", func(n uint64) Key { return Key(mix(n)<<(segmentBits+domainBits) | 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var table Table[uint32]
			want := map[Key]uint32{}
			check := func(k Key) {
				v := table.Get(k)
				w, ok := want[k]
				require.Equal(t, ok, v != nil)
				if ok {
					require.Equal(t, w, *v)
				}
			}
			for i := range 60_000 {
				k := tt.key(uint64(r.IntN(6000)))
				switch r.IntN(3) {
				case 0:
					table.Delete(k)
					delete(want, k)
				case 1:
					v := table.Put(k)
					require.Equal(t, want[k], *v)
					*v, want[k] = uint32(i), uint32(i)
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

// TestKeysSpread: whatever order is in what keys are made of, most of them are where they are looked for first.
func TestKeysSpread(t *testing.T) {
	const n = 1 << 16
	for name, key := range map[string]func(i uint64) Key{
		"numbers":           domainSeq.key1,
		"lines of numbers":  func(i uint64) Key { return domainSeq.key1(i << 16) },
		"pairs of numbers":  func(i uint64) Key { return domainSeqPair.key1(i<<32 | i) },
		"ids of a host":     func(i uint64) Key { return domainSystrace.key2(7, i) },
		"ids by time":       func(i uint64) Key { return domainSystrace.key2(7, i<<40) },
		"an id of all":      func(i uint64) Key { return domainSystrace.key2(i, 7) },
		"ids of many hosts": func(i uint64) Key { return domainSystrace.key2(i%256, i/256) },
	} {
		t.Run(name, func(t *testing.T) {
			var table Table[sides]
			for i := range uint64(n) {
				*table.Put(key(i)) = sides{1}
			}
			require.Equal(t, n, table.Len())
			first := 0
			for i := range uint64(n) {
				k := key(i)
				at, found := table.directory[table.place(k)].find(k)
				require.True(t, found)
				if table.directory[table.place(k)].index(at)&^(abreast-1) == home(k) {
					first++
				}
			}
			require.Greater(t, first, n*7/10)
			segments := map[*places[sides]]bool{}
			for _, s := range table.directory {
				segments[s] = true
			}
			require.Less(t, len(segments), 2*n/segmentSize)
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
			var t Table[uint32]
			for i := range uint64(n) {
				*t.Put(domainSpan.key(i, 0, 0)) = uint32(i)
			}
			for i := range uint64(n) {
				t.Delete(domainSpan.key(i, 0, 0))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			t := map[Key]uint32{}
			for i := range uint64(n) {
				t[domainSpan.key(i, 0, 0)] = uint32(i)
			}
			for i := range uint64(n) {
				delete(t, domainSpan.key(i, 0, 0))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
	})
}
