package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOwnersGo: what spans have in common is kept once, found by whoever has it in common, and gone with the last of them.
func TestOwnersGo(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 12))
	x := New(RuleNames(), time.Second)
	var here []ID
	for range 20_000 {
		if n := len(here); n > 0 && rng.IntN(100) < 50 {
			i := rng.IntN(n)
			switch f := *x.Fact(here[i]); rng.IntN(3) {
			case 0:
				x.Replace(here[i], f, Rare{Exchange: someOwner(rng)})
				continue
			case 1:
				x.Say(here[i], someOwner(rng))
				continue
			}
			x.Remove(here[i : i+1])
			here[i] = here[n-1]
			here = here[:n-1]
			continue
		}
		f := Fact{Raw: rng.IntN(2) == 0, Role: Role(1 + rng.IntN(2)), Host: rng.Uint64N(3), Service: rng.Uint32N(3), OwnTrace: TraceID{1}}
		here = append(here, x.AddRare(f, Rare{Exchange: someOwner(rng)}))
		if len(here)%100 == 0 {
			consistent(t, x, here)
		}
	}
	consistent(t, x, here)
	x.Remove(here)
	consistent(t, x, nil)
	require.Zero(t, x.keys.Len())
	for range 2 { // the same one again, of which nothing is left
		id := x.AddRare(Fact{Raw: true, Host: 1}, Rare{Exchange: Exchange{PID: 1}})
		consistent(t, x, []ID{id})
		x.Remove([]ID{id})
	}
}

func someOwner(rng *rand.Rand) Exchange {
	return Exchange{
		PID: rng.Uint32N(3), Instance: rng.Uint32N(3), Container: rng.Uint64N(4), Pod: rng.Uint64N(3), Method: uint8(rng.IntN(2)),
	}
}

// consistent checks that the owners are those of the spans that are here.
func consistent(t *testing.T, x *Index, here []ID) {
	t.Helper()
	spans, places, names := map[who]uint32{}, map[place]map[who]bool{}, map[Key]map[who]bool{}
	for _, id := range here {
		v := x.View(id)
		of := x.of(v)
		if v.said.owner == 0 {
			require.Zero(t, of.who)
			continue
		}
		require.Equal(t, who{v.Host, of.Container, of.Pod, v.Service, of.PID, of.Instance, v.Raw}, of.who)
		spans[of.who]++
		if p := (place{of.Container, of.Pod}); p != (place{}) {
			if places[p] == nil {
				places[p] = map[who]bool{}
			}
			places[p][of.who] = true
		}
		for _, k := range of.names() {
			if k != 0 && v.Raw {
				if names[k] == nil {
					names[k] = map[who]bool{}
				}
				names[k][of.who] = true
			}
		}
	}
	o := &x.owners
	require.Len(t, o.byWho, len(spans))
	for w, n := range spans {
		require.Equal(t, n, o.all.Of(o.byWho[w]).spans)
	}
	require.Len(t, o.named, len(names))
	for k, all := range names {
		require.Len(t, o.named[k], len(all))
		for _, n := range o.named[k] {
			require.True(t, all[o.all.Of(n).who])
		}
	}
	require.Len(t, o.byPlace, len(places))
	listed := 0
	for p, all := range places {
		at := o.sites.Of(o.byPlace[p])
		require.Equal(t, p, at.place)
		require.EqualValues(t, len(all), at.owners)
		listed += int(bit(p.Container != 0) + bit(p.Pod != 0))
	}
	for _, lists := range []map[uint64][]uint32{o.inContainer, o.inPod} {
		for _, some := range lists {
			listed -= len(some)
			require.NotEmpty(t, some)
		}
	}
	require.Zero(t, listed)
}

// TestPlacesAtBoundedCost: neither pods without end nor names that many processes have cost more each than few.
func TestPlacesAtBoundedCost(t *testing.T) {
	for name, say := range map[string]func(i int, s *said){
		"containers of a pod": func(i int, s *said) {
			if s.Raw {
				s.Container = uint64(1 + i)
			}
		},
		"processes of a container": func(i int, s *said) {
			s.Container = 1
			if s.Raw {
				s.PID = uint32(1 + i)
			}
		},
		"processes of one name": func(i int, s *said) {
			s.Container, s.Host, s.PID = uint64(1+i), 1, 7
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := New(RuleNames(), 500*time.Millisecond)
			var all, calls []ID
			for i := range 20_000 {
				for _, kind := range []string{"wire", "root", "call", "sdk"} {
					s := sameCalls()[kind]
					s.Span[1], s.Span[2], s.Span[3] = byte(i), byte(i>>8), kind[0]
					s.OwnTrace[1], s.OwnTrace[2] = byte(i), byte(i>>8)
					if !s.Raw {
						s.CtxTrace, s.Host, s.PID = s.OwnTrace, 0, 0
					}
					s.Systrace, s.Pod = 0, 80
					say(i, &s)
					id := x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
					if all = append(all, id); kind == "call" || kind == "root" {
						calls = append(calls, id)
					}
				}
			}
			before, begin := x.Looks(), time.Now()
			for _, id := range calls[:1000] {
				x.Resolve(id)
			}
			require.Less(t, x.Looks()-before, 1000*3*maxSameCall)
			require.Less(t, time.Since(begin), 20*time.Second)
			x.Remove(all)
			consistent(t, x, nil)
		})
	}
}

// TestOtherTimesDoNotCount toward what is looked at in a pod: each of its containers may have had a few requests.
func TestOtherTimesDoNotCount(t *testing.T) {
	x := New(RuleNames(), 500*time.Millisecond)
	m := sameCalls()
	var root, wire ID
	for i := range 2 * 20 * 40 {
		s, by := m["wire"], int64(i/2+1)*1000*ms
		if i%2 == 0 {
			by = -by
		}
		s.Span[1], s.Span[2] = byte(i), byte(1+i>>8)
		s.Start, s.End, s.Systrace = s.Start+by, s.End+by, uint64(100+i)
		s.Container, s.Pod = uint64(1+i%40), 80
		x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
	}
	s := m["wire"]
	s.Container, s.Pod = 1, 80
	wire = x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
	s = m["root"]
	s.Host, s.PID, s.Pod = 0, 0, 80
	root = x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
	require.Equal(t, wire, x.Resolve(root).Parent)
}
