package link

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// call makes the two ends of an exchange that is at ms on the client's clock for 100 ms. The server's
// end begins 1 ms later and ends 1 ms earlier, on a clock that is ahead by ahead ms.
func call(n uint32, from, to uint64, at, ahead int64) (c, s Fact) {
	c = client(0, at, host(from), seq(n, n+7))
	s = server(0, at+1+ahead, host(to), seq(n, n+7), lasts(98))
	c.Span, s.Span = SpanID{0: 1, 4: byte(n >> 16), 5: byte(n >> 8), 6: byte(n)}, SpanID{0: 2, 4: byte(n >> 16), 5: byte(n >> 8), 6: byte(n)}
	return c, s
}

// world collects calls with numbers of their own.
type world struct {
	facts   []Fact
	servers []int
}

func (w *world) call(from, to uint64, at, ahead int64) *world {
	c, s := call(uint32(100*len(w.facts)+100), from, to, at, ahead)
	w.facts = append(w.facts, c, s)
	w.servers = append(w.servers, len(w.facts)-1)
	return w
}

func (w *world) calls(n int, from, to uint64, at, ahead int64) *world {
	for i := range n {
		w.call(from, to, at+int64(i)*10, ahead)
	}
	return w
}

// linked says for each server end whether it found its client's, in an order of arrival.
func (w *world) linked(t *testing.T, order []int) []bool {
	t.Helper()
	x := New(RuleNames(), 500*time.Millisecond)
	ids := make([]ID, len(w.facts))
	for _, i := range order {
		ids[i] = x.Add(w.facts[i])
	}
	var out []bool
	for _, s := range w.servers {
		e := x.Resolve(ids[s])
		if e.Parent != None {
			require.Equal(t, ids[s-1], e.Parent, "a wrong link")
		}
		out = append(out, e.Parent != None)
	}
	return out
}

// alike gives all calls the same request number.
func (w *world) alike() *world {
	for i := range w.facts {
		w.facts[i].ReqSeq = 1
	}
	return w
}

func repeat(v bool, n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestSkew(t *testing.T) {
	const e = int64(skewSlice / time.Millisecond)
	join := func(parts ...[]bool) (out []bool) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for _, tt := range []struct {
		name string
		w    *world
		want []bool
	}{
		{"within the tolerance one is enough", new(world).calls(1, 1, 2, 0, 498), repeat(true, 1)},
		{"beyond it one proves nothing", new(world).calls(1, 1, 2, 0, 700), repeat(false, 1)},
		{"nor do two", new(world).calls(2, 1, 2, 0, 700), repeat(false, 2)},
		{"three that agree do", new(world).calls(3, 1, 2, 0, 700), repeat(true, 3)},
		{"behind instead of ahead", new(world).calls(3, 1, 2, 0, -700), repeat(true, 3)},
		{"in both directions", new(world).calls(2, 1, 2, 0, 700).calls(1, 2, 1, 0, -700), repeat(true, 3)},
		{"minutes apart", new(world).calls(3, 1, 2, 0, 600_000), repeat(true, 3)},
		{"more than is believed", new(world).calls(3, 1, 2, 0, 3_700_000), repeat(false, 3)},
		{"three that do not agree", new(world).calls(1, 1, 2, 0, 700).calls(1, 1, 2, 0, 900).calls(1, 1, 2, 0, 1100), repeat(false, 3)},
		{"outliers are outvoted", new(world).calls(5, 1, 2, 0, 700).calls(2, 1, 2, 0, 5000), join(repeat(true, 5), repeat(false, 2))},
		{"not by half", new(world).calls(3, 1, 2, 0, 700).calls(3, 1, 2, 0, 5000), repeat(false, 6)},
		{"not by half of all", new(world).calls(3, 1, 2, 0, 700).call(1, 2, 0, 5000).call(1, 2, 0, 6000).call(1, 2, 0, 7000), repeat(false, 6)},
		{"the time before and after helps", new(world).calls(1, 1, 2, e-1000, 700).calls(1, 1, 2, e+e/2, 700).calls(1, 1, 2, 2*e+1000, 700), join(repeat(false, 1), repeat(true, 1), repeat(false, 1))},
		{"drift: a second in a minute", func() *world {
			w := new(world)
			for i := range int64(6) {
				w.calls(3, 1, 2, i*2*e, 700+200*i)
			}
			return w
		}(), repeat(true, 18)},
		{"a step between slices of time", new(world).calls(9, 1, 2, 0, 700).calls(9, 1, 2, 5*e, -700), repeat(true, 18)},
		{"a circle of hosts agrees", new(world).call(1, 2, 0, 700).call(2, 3, 0, -1500).call(3, 1, 0, 800), repeat(true, 3)},
		{"a circle of hosts does not", new(world).call(1, 2, 0, 700).call(2, 3, 0, -1500).call(3, 1, 0, 900), repeat(false, 3)},
		{"a chain of hosts proves nothing", new(world).call(1, 2, 0, 700).call(2, 3, 0, 700).call(3, 4, 0, 700), repeat(false, 3)},
		{"two that are known by way of a third", new(world).calls(3, 1, 2, 0, 700).calls(3, 3, 2, 0, -700).call(1, 3, 0, 1400), repeat(true, 7)},
		{"of one request number, told apart by the response", new(world).calls(3, 1, 2, 0, 700).alike(), repeat(true, 3)},
		{"no host, no clock", new(world).calls(5, 0, 2, 0, 700), repeat(false, 5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(4) {
				require.Equal(t, tt.want, tt.w.linked(t, rand.New(rand.NewPCG(seed, 0)).Perm(len(tt.w.facts))))
			}
		})
	}
}

// TestChildrenByClocks: a call finds the request of its crowd that is its own by what is known of the clocks at the time of
// the request. At its own time, which the other clock tells, nothing is known of them.
func TestChildrenByClocks(t *testing.T) {
	const e = int64(skewSlice / time.Millisecond)
	for name, tt := range map[string]struct {
		w *world
		// at is when host 3 reads the request, by its clock, which is ahead of that of host 1.
		at, ahead int64
	}{
		"one exchange in each of three slices": {new(world).call(1, 3, e, 4000).call(1, 3, 2*e, 4000).call(1, 3, 3*e, 4000), 2*e + 1000, 4000},
		"three in one slice":                   {new(world).calls(3, 1, 3, 3*e, 24_000), 5*e + 5000, 24_000},
		"by way of another host":               {new(world).calls(3, 1, 2, 3*e, 12_000).calls(3, 2, 3, 3*e, 12_000), 3*e + 5000, 24_000},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(6) {
				x := New(RuleNames(), 500*time.Millisecond)
				same := Rare{Process: 1, RequestID: 7}
				for i := range byte(2 * crowdFrom) {
					x.AddRare(server(i, 100*e, host(3)), same)
				}
				for _, i := range rand.New(rand.NewPCG(seed, 1)).Perm(len(tt.w.facts)) {
					x.Add(tt.w.facts[i])
				}
				parent := x.AddRare(client(201, tt.at-tt.ahead, host(1)), same)
				child := x.AddRare(server(202, tt.at+10, host(3), lasts(50)), same)
				require.Equal(t, parent, x.Resolve(child).Parent)
				_, known := x.clocks.between(1, 3, x.View(parent).Start)
				require.False(t, known)
				met := false
				x.Referrers(parent, func(id ID) bool { met = id == child; return !met })
				require.True(t, met, "seed %d", seed)
			}
		})
	}
}

// TestSkewOfFewCallsEach: a fleet in which most pairs of hosts call each other once.
func TestSkewOfFewCallsEach(t *testing.T) {
	const hosts, calls = 200, 4000
	rng := rand.New(rand.NewPCG(1, 1))
	ahead := make([]int64, hosts)
	for i := range ahead {
		ahead[i] = rng.Int64N(10_000) - 5000
	}
	w := new(world)
	for range calls {
		a, b := rng.IntN(hosts), rng.IntN(hosts)
		if a == b {
			continue
		}
		// Numbers like real ones: the third of the calls that are too short to be an exchange is left out.
		w.call(uint64(a+1), uint64(b+1), 60_000+rng.Int64N(9000)+ahead[a], ahead[b]-ahead[a])
	}
	got := w.linked(t, rng.Perm(len(w.facts)))
	missing := 0
	for _, ok := range got {
		if !ok {
			missing++
		}
	}
	require.LessOrEqual(t, missing, len(got)/1000, "of %d", len(got))
}

// TestSkewIgnoresWhatIsClaimedTwice: numbers that two spans claim say nothing, in any order, whoever claims them.
func TestSkewIgnoresWhatIsClaimedTwice(t *testing.T) {
	later := func(f *Fact) { f.Start += 5000 * ms }
	for name, by := range map[string]func(*Fact){"another host": host(3), "no host": host(0), "still open": all(later, pending)} {
		t.Run(name, func(t *testing.T) {
			w := new(world).calls(3, 1, 2, 0, 700)
			again := w.facts[2]
			again.Span[0] = 9
			by(&again)
			w.facts = append(w.facts, again)
			for seed := range uint64(20) {
				require.Equal(t, repeat(false, 3), w.linked(t, rand.New(rand.NewPCG(seed, 0)).Perm(len(w.facts))))
			}
		})
	}
}

// TestSkewDoesNotDependOnTheOrder: random calls, false ones among them, more than a bucket holds.
func TestSkewDoesNotDependOnTheOrder(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := new(world)
		for range 150 {
			w.call(1+rng.Uint64N(4), 1+rng.Uint64N(4), rng.Int64N(40_000), []int64{0, 450, 600, 900, -700}[rng.IntN(5)])
		}
		for range 10 {
			f := w.facts[rng.IntN(300)]
			f.Span[0], f.Host = 9, 1+rng.Uint64N(4)
			w.facts = append(w.facts, f)
		}
		want := outcomes(w, rng.Perm(len(w.facts)))
		for range 5 {
			require.Equal(t, want, outcomes(w, rng.Perm(len(w.facts))))
		}
	}
}

// TestSkewOfABusyPair: more pairs than are kept, some claimed twice: the same ones speak in any order.
func TestSkewOfABusyPair(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 7))
	w := new(world)
	for range 100 {
		w.call(1, 2, rng.Int64N(9000), 600+rng.Int64N(5))
	}
	for i := range 10 {
		f := w.facts[20*i]
		f.Span[0], f.Host = 9, 3
		w.facts = append(w.facts, f)
	}
	state := func() estimate {
		x := New(RuleNames(), 500*time.Millisecond)
		for _, i := range rng.Perm(len(w.facts)) {
			x.Add(w.facts[i])
		}
		e := *x.clocks.direct(bucketKey{hostPair{1, 2}, 0})
		e.versions = [3]uint32{}
		return e
	}
	want := state()
	require.Equal(t, skewSamples, want.total)
	for range 30 {
		require.Equal(t, want, state())
	}
}

func TestMajority(t *testing.T) {
	for _, tt := range []struct {
		offs  []bounds
		want  bounds
		agree int
	}{
		{nil, bounds{}, 0},
		{[]bounds{{1, 5}}, bounds{1, 5}, 1},
		{[]bounds{{1, 5}, {3, 9}}, bounds{3, 5}, 2},
		{[]bounds{{1, 5}, {5, 9}}, bounds{5, 5}, 2},
		{[]bounds{{1, 5}, {6, 9}}, bounds{}, 0},
		{[]bounds{{0, 10}, {0, 2}, {8, 10}}, bounds{0, 10}, 2},
		{[]bounds{{0, 10}, {1, 3}, {2, 4}, {8, 12}}, bounds{2, 3}, 3},
		{[]bounds{{-5, -1}, {-3, 3}, {7, 9}}, bounds{-3, -1}, 2},
	} {
		got, agree := majority(tt.offs)
		require.Equal(t, tt.agree, agree, "%v", tt.offs)
		require.Equal(t, tt.want, got, "%v", tt.offs)
	}
}

func outcomes(w *world, order []int) []string {
	x := New(RuleNames(), 500*time.Millisecond)
	ids := make([]ID, len(w.facts))
	for _, i := range order {
		ids[i] = x.Add(w.facts[i])
	}
	var out []string
	for _, s := range w.servers {
		e := x.Resolve(ids[s])
		parent := SpanID{}
		if e.Parent != None {
			parent = x.Fact(e.Parent).Span
		}
		out = append(out, fmt.Sprint(e.Outcome, e.Candidates, parent))
	}
	return out
}

// TestReachIsThatOfEstimates: one pair that is far apart does not make every search look far.
func TestReachIsThatOfEstimates(t *testing.T) {
	x := New(RuleNames(), 500*time.Millisecond)
	add := func(w *world) {
		for _, f := range w.facts {
			x.Add(f)
		}
	}
	add(new(world).calls(2, 1, 2, 0, 700_000))
	require.Equal(t, 500*time.Millisecond, time.Duration(x.apart(0)))
	w := new(world).calls(5, 3, 4, 0, 700)
	w.facts = w.facts[4:]
	add(w)
	require.Equal(t, 712*time.Millisecond, time.Duration(x.apart(0)).Truncate(time.Millisecond))
}

// TestReachBeyondOnePair: nor does what is known of two hosts by way of others, or of other epochs, lie beyond it.
func TestReachBeyondOnePair(t *testing.T) {
	const e = int64(skewSlice / time.Millisecond)
	for _, tt := range []struct {
		name  string
		w     *world
		at    int64
		apart time.Duration
	}{
		{"a circle", new(world).call(1, 2, 0, 7000).call(2, 3, 7000, 7000).call(3, 1, 14_000, -14_000), 0, 14 * time.Second},
		{"no circle", new(world).call(1, 2, 0, 7000).call(2, 3, 7000, 7000).call(3, 1, 14_000, -13_000), 0, 0},
		{"two ends of a chain", new(world).calls(3, 1, 2, 0, 7000).calls(3, 3, 2, 14_000, -7000), 0, 14 * time.Second},
		{"pairs that contradict each other", new(world).calls(3, 1, 2, 0, 1000).calls(3, 1, 3, 0, 1000).calls(3, 2, 3, 1000, 19_000), e, 19 * time.Second},
		{"three epochs", new(world).calls(1, 1, 2, e-1000, 700).calls(1, 1, 2, e+e/2, 700).calls(1, 1, 2, 2*e+1000, 700), e, 700 * time.Millisecond},
		{"three epochs, another one", new(world).calls(1, 1, 2, e-1000, 700).calls(1, 1, 2, e+e/2, 700).calls(1, 1, 2, 2*e+1000, 700), 5 * e, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := New(RuleNames(), 500*time.Millisecond)
			for _, f := range tt.w.facts {
				x.Add(f)
			}
			require.InDelta(t, max(tt.apart, 490*time.Millisecond), x.apart(tt.at*ms), float64(30*ms))
		})
	}
}

// TestAdmit: the same spans, judged with and without a known difference of their clocks.
func TestAdmit(t *testing.T) {
	known := func() *Index {
		x := New(RuleNames(), 500*time.Millisecond)
		for _, f := range new(world).calls(5, 1, 2, 0, 300).facts {
			x.Add(f)
		}
		return x
	}()
	unknown := New(RuleNames(), 500*time.Millisecond)
	sdkOn := func(h uint64, f Fact) Fact { f.Host = h; return f }
	for _, tt := range []struct {
		name          string
		class         class
		contains      bool
		child, parent Fact
		before, after verdict
	}{
		{"exact keeps the tolerance", exact, false, server(1, 0, host(2)), client(2, 0), admitted, admitted},
		{"probable goes by the clocks", probable, false, server(1, 0, host(2)), client(2, 0), admitted, beforeRequest},
		{"probable, as the clocks are", probable, false, server(1, 300, host(2)), client(2, 0), admitted, admitted},
		{"probable, after the response", probable, false, server(1, 450, host(2)), client(2, 0), admitted, afterResponse},
		{"probable, in the opposite direction", probable, false, server(1, 0), client(2, 300, host(2)), admitted, admitted},
		{"contained by the clocks", probable, true, server(1, 310, host(2), lasts(80)), client(2, 0), admitted, admitted},
		{"outlives by the clocks", probable, true, server(1, 310, host(2), lasts(150)), client(2, 0), admitted, outlives},
		{"outlives by the tolerance", probable, true, server(1, 310, host(3), lasts(450)), client(2, 0), outlives, outlives},
		{"contained, still open", probable, true, server(1, 310, host(2), pending), client(2, 0), admitted, admitted},
		{"one host", probable, false, client(1, 102), server(2, 0), afterResponse, afterResponse},
		{"an SDK beside the kernel", exact, false, client(1, 500), sdkOn(1, sdk(2, Client, 0, 1, 0)), admitted, admitted},
		{"an SDK on the other host", exact, false, server(1, 890, host(2)), sdkOn(1, sdk(2, Client, 0, 1, 0)), afterResponse, admitted},
		{"an SDK on the other host, too late", exact, false, server(1, 920, host(2)), sdkOn(1, sdk(2, Client, 0, 1, 0)), afterResponse, afterResponse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := row{class: tt.class, contains: tt.contains}
			var child, parent core
			child.keep(&tt.child)
			parent.keep(&tt.parent)
			require.Equal(t, tt.before, unknown.admit(&r, &child, &parent), "clocks unknown")
			require.Equal(t, tt.after, known.admit(&r, &child, &parent), "clocks known")
			r.stated = true
			require.Equal(t, admitted, known.admit(&r, &child, &parent), "stated")
		})
	}
}

// TestSkewIsBounded: hosts without end cost bounded memory, and the newest are kept.
func TestSkewIsBounded(t *testing.T) {
	x := New(RuleNames(), 500*time.Millisecond)
	for i := range 3 * skewBuckets {
		c, s := call(uint32(i+1), 1, uint64(i+2), int64(i), 700)
		x.Add(c)
		x.Add(s)
	}
	require.LessOrEqual(t, len(x.clocks.buckets), skewBuckets)
	require.Positive(t, x.clocks.forgotten)
	for i := range 1000 {
		x.clocks.direct(bucketKey{hostPair{1, uint64(i)}, int64(i)})
		x.clocks.through(int64(i))
	}
	require.LessOrEqual(t, len(x.clocks.cache), skewBuckets+1)
	require.LessOrEqual(t, len(x.clocks.fleet), 17)
}

// TestForgottenBuckets: what is learned after a bucket was forgotten goes to one that is there, or nobody would find it.
func TestForgottenBuckets(t *testing.T) {
	c := newClocks()
	learn := func(slice int64) {
		c.bucket(bucketKey{hostPair{1, 2}, slice})
		for _, m := range c.met {
			if m.bucket != nil {
				require.Same(t, c.buckets[m.key], m.bucket)
			}
		}
	}
	places := int64(len(c.met))
	for i := range int64(2 * skewBuckets) {
		if i < 2 {
			learn(1) // in a place that no other takes
		}
		if len(c.buckets) == skewBuckets {
			learn(-i * places) // the oldest, which goes at once
		}
		learn(2 + i*places)
	}
	require.Positive(t, c.forgotten)
}

// TestClocksTellTwinsApart: of two calls with the same numbers the known clocks allow one.
func TestClocksTellTwinsApart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ahead  int64
		second int64
		want   Outcome
	}{
		{"one is over by then", 0, -300, Linked},
		{"one has not begun", 0, 300, Linked},
		{"both are open", 0, 5, Ambiguous},
		{"neither is: the clock was set", 400, 100, Ambiguous},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(tt.name, known), func(t *testing.T) {
				x := New(RuleNames(), 500*time.Millisecond)
				if known {
					for _, f := range new(world).calls(5, 1, 2, 0, 0).facts {
						x.Add(f)
					}
				}
				c, s := call(1, 1, 2, 50, tt.ahead)
				parent := x.Add(c)
				c.Span[0], c.Start, c.End = 9, c.Start+tt.second*ms, c.End+tt.second*ms
				x.Add(c)
				e := x.Resolve(x.Add(s))
				if !known {
					require.Equal(t, Ambiguous.String(), e.Outcome.String())
					return
				}
				require.Equal(t, tt.want.String(), e.Outcome.String())
				if tt.want == Linked {
					require.Equal(t, parent, e.Parent)
				}
			})
		}
	}
}
