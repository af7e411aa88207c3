package link

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStems: whatever comes and goes, in whatever order, keys and names find what they would find without stems.
func TestStems(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		x := New(RuleNames(), apart)
		live := map[ID]Fact{}
		some := func() ID { // by its place, so that a seed always does the same
			ids := slices.Sorted(func(yield func(ID) bool) {
				for id := range live {
					if !yield(id) {
						return
					}
				}
			})
			return ids[r.IntN(len(ids))]
		}
		// Some numbers are of few spans, others of a crowd.
		numbers := []uint32{1, 1 + uint32(r.IntN(40))}[seed%2]
		next := byte(0)
		fact := func() Fact {
			next++
			f := client(next, 10, host(uint64(1+r.IntN(3))), seq(uint32(r.IntN(int(numbers)+1)), uint32(r.IntN(3))), ports(uint16(r.IntN(3)), 80))
			if r.IntN(2) == 0 {
				f = server(next, 10, host(f.Host), seq(f.ReqSeq, f.RespSeq), ports(80, f.Local.Port))
			}
			if r.IntN(8) == 0 {
				pending(&f)
			}
			return f
		}
		for step := range 230 {
			switch n := r.IntN(10); {
			case n < 3 && len(live) > 0:
				id := some()
				x.Remove([]ID{id})
				delete(live, id)
			case n == 3 && len(live) > 0:
				id := some()
				f := live[id]
				f.Pending, f.End = false, f.Start+1
				if f.RespSeq == 0 {
					f.RespSeq = 1
				}
				x.Replace(id, f, Rare{})
				live[id] = f
			case n == 4 && len(live) > 0:
				x.Say(some(), Exchange{PID: 1})
			case n == 5 && step > 150 && seed%3 == 0:
				f := fact()
				carries(9, 200)(&f)
				live[x.Add(f)] = f
			default:
				f := fact()
				live[x.Add(f)] = f
			}
			checkStems(t, x, live)
		}
		for id := range live {
			x.Remove([]ID{id})
		}
		require.Zero(t, x.keys.Len())
		require.Zero(t, x.crowded.Len())
		require.Zero(t, x.defs.keys)
		require.Zero(t, x.refs.keys)
	}
}

func checkStems(t *testing.T, x *Index, live map[ID]Fact) {
	t.Helper()
	for id, f := range live {
		require.Equal(t, id, x.Find(&f))
		c := x.core(id)
		_, pair, ports := x.numbered(c)
		for _, k := range [...]Key{pair, ports} {
			if k == 0 || c.ReqSeq == 0 {
				continue
			}
			for _, p := range [...]*postings{&x.defs, &x.refs} {
				var want []ID
				for other := range live {
					o := x.core(other)
					_, pair, ports := x.numbered(o)
					if o.ReqSeq != 0 && (o.Role == Server) == (p == &x.refs) && (pair == k || ports == k) {
						want = append(want, other)
					}
				}
				require.ElementsMatch(t, want, found(x, p, k, c))
				require.Equal(t, len(want), x.count(p, k, c))
			}
		}
		if x.allKnown {
			var one [1]ID
			ids, crowd := x.defs.get(rawSpanKey(f.Span), &one)
			require.Nil(t, crowd)
			require.Equal(t, []ID{id}, ids)
		}
	}
}

func found(x *Index, p *postings, k Key, c *core) []ID {
	var one [1]ID
	ids, crowd := x.ids(p, k, c, &one)
	if crowd != nil {
		return crowd.all()
	}
	return slices.Clone(ids)
}

// TestOnePlaceForMost: the ends of a call that nobody shares a number with take one place, with all that finds them.
func TestOnePlaceForMost(t *testing.T) {
	x := New(RuleNames(), apart)
	call, request := client(1, 10, seq(5, 6), ports(9, 80)), server(2, 11, seq(5, 6), ports(80, 9), lasts(90))
	c, s := x.Add(call), x.Add(request)
	require.Equal(t, 1, x.keys.Len())
	require.Equal(t, c, x.Resolve(s).Parent)
	x.Add(client(3, 10, seq(5, 6), ports(8, 80)))
	require.Equal(t, 7, x.keys.Len(), "the stem, the pair, two of ports, three ids")
	require.Equal(t, c, x.Resolve(s).Parent, "by the ports")
}

// TestKnownOnceNamed: a header finds the raw span that it names, also where that came before any header.
func TestKnownOnceNamed(t *testing.T) {
	x := New(RuleNames(), apart)
	root := client(1, 0, seq(5, 6), lasts(100))
	root.OwnTrace = trace(5)
	p := x.Add(root)
	x.Add(client(2, 0, seq(7, 8)))
	x.Add(client(3, 0, seq(7, 8)))
	x.Add(client(4, 0, pending, seq(9, 0)))
	child := x.Add(sdk(9, Client, 10, 5, 1))
	require.Equal(t, p, x.Resolve(child).Parent)
	for n := range byte(4) {
		require.Equal(t, 1, x.defs.size(rawSpanKey(span(n+1))), n)
	}
}
