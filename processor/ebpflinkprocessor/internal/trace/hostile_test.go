package trace

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// shape makes n facts that are as hard on linking as their maker could think of.
type shape struct {
	name string
	// looks and bytes are what a span may cost at the most, however many there are: about a fifth more than it does.
	looks float64
	bytes int
	make  func(n int) []link.Fact
}

func number(i int) (s link.SpanID) {
	binary.BigEndian.PutUint64(s[:], uint64(i)+1)
	return s
}

var oneTrace = link.TraceID{1}

// each makes fact i of n: raw, of host 1, for a second from i µs on.
func each(fn func(i, n int, f *link.Fact)) func(int) []link.Fact {
	return func(n int) []link.Fact {
		out := make([]link.Fact, n)
		for i := range out {
			f := &out[i]
			f.Span, f.OwnTrace, f.Raw, f.Host = number(i), link.TraceID{2, 15: 1}, true, 1
			f.Start = int64(i) * int64(time.Microsecond)
			f.End = f.Start + int64(time.Second)
			fn(i, n, f)
		}
		return out
	}
}

// sdk makes f an SDK span under the one of that number.
func sdk(f *link.Fact, parent int) {
	f.Raw, f.OwnTrace, f.CtxTrace, f.CtxParent = false, oneTrace, oneTrace, number(parent)
}

func ends(i int) link.Role { return []link.Role{link.Client, link.Server}[i%2] }

var shapes = []shape{
	{"one parent is named by all", 0.7, 175, each(func(i, _ int, f *link.Fact) { sdk(f, 0) })},
	{"one parent that never ends is named by all", 2.2, 140, each(func(i, _ int, f *link.Fact) {
		f.Systrace, f.Role, f.Pending = 7, link.Client, false
		if i == 0 {
			f.Role, f.Pending = link.Server, true
		}
	})},
	{"a chain", 2.2, 185, each(func(i, _ int, f *link.Fact) { sdk(f, i-1) })},
	{"a chain, the leaf first", 3.8, 185, each(func(i, n int, f *link.Fact) { sdk(f, i+1) })},
	{"one cycle of all", 3.8, 185, each(func(i, n int, f *link.Fact) { sdk(f, (i+1)%n) })},
	{"one cycle of all, raw", 3.8, 135, each(func(i, n int, f *link.Fact) {
		// A CLIENT names the next SERVER as its request, which names the next CLIENT as its caller.
		f.Role, f.Start, f.End = ends(i), 0, int64(time.Second)
		f.Systrace, f.ReqSeq, f.RespSeq = uint64(i+2), uint32(i+1), 9
		if f.Role == link.Server {
			f.Systrace, f.ReqSeq = uint64(i+1), uint32((i+1)%n+1)
		}
	})},
	{"cycles of two", 1.3, 155, each(func(i, _ int, f *link.Fact) { sdk(f, i^1) })},
	{"all of one request", 0.1, 110, each(func(i, _ int, f *link.Fact) { f.Systrace, f.Role = 7, ends(i) })},
	{"all of one thread", 82, 110, each(func(i, _ int, f *link.Fact) { f.Pseudo, f.Role = 7, ends(i) })},
	{"all of one thread, of other requests", link.DefaultMaxCandidates, 125, each(func(i, _ int, f *link.Fact) {
		f.Pseudo, f.Systrace, f.Role = 7, uint64(i+1), ends(i)
	})},
	{"all of one thread, one after the other", 90, 110, each(func(i, _ int, f *link.Fact) {
		f.Pseudo, f.Role = 7, ends(i)
		f.Start *= 5000
		f.End = f.Start + int64(time.Millisecond)
	})},
	{"all with the same numbers", 0.1, 110, each(func(i, _ int, f *link.Fact) {
		f.ReqSeq, f.RespSeq, f.Role, f.Host = 1, 1, ends(i), uint64(i%50+1)
	})},
	{"all with the same numbers, other ports", 0.1, 125, each(func(i, _ int, f *link.Fact) {
		f.ReqSeq, f.RespSeq, f.Role = 1, 1, ends(i)
		f.Local, f.Peer = link.Endpoint{Addr: 1, Port: uint16(i)}, link.Endpoint{Addr: 1, Port: 80}
	})},
	{"all in one context", 0.6, 160, each(func(i, _ int, f *link.Fact) { f.CtxTrace, f.CtxParent, f.Role = oneTrace, number(0), ends(i) })},
	{"all are the span that all name", 0.1, 150, each(func(i, _ int, f *link.Fact) {
		f.Span, f.OwnTrace, f.CtxTrace, f.CtxParent, f.Role = number(0), oneTrace, oneTrace, number(0), ends(i)
	})},
	{"all at the end of time", 75, 115, each(func(i, _ int, f *link.Fact) {
		f.Pseudo, f.Role, f.Start, f.End = 7, ends(i), 1<<62-1, 1<<62-1
	})},
	{"hosts without end, a day apart", 0.7, 95, each(func(i, _ int, f *link.Fact) {
		f.ReqSeq, f.RespSeq, f.Role, f.Host = uint32(i/2)+1, 1, ends(i), uint64(i+1)
		f.Start += int64(i) * int64(time.Hour)
		f.End = f.Start + int64(time.Second)
	})},
}

// run sends facts through index and book as the processor does: a batch comes, what is due leaves, with
// the members of its trace that have waited half as long, and what has left is forgotten later.
func run(facts []link.Fact, left func(m *Member, f *link.Fact)) (*link.Index, *Book) {
	// A fifth waits, three fifths are known.
	const window, retention = 20, 60
	batch := max(1, len(facts)/100)
	x := link.New(link.RuleNames(), tolerance)
	b := NewBook(x, Options{UseAppTraceID: true})
	var ids, old []link.ID
	arrived := map[link.ID]int{}
	due := 0
	for now := 0; due < len(facts); now++ {
		for i := now * batch; i < min((now+1)*batch, len(facts)); i++ {
			id := x.Add(facts[i])
			b.Add(id)
			ids, arrived[id] = append(ids, id), now
		}
		for ; due < min((now-window)*batch, len(facts)); due++ {
			if !b.Waits(ids[due]) || x.Fact(ids[due]).Pending {
				continue
			}
			members := b.Gather(ids[due])
			for i := range members {
				m := &members[i]
				if f := x.Fact(m.ID); !f.Pending && (m.ID == ids[due] || arrived[m.ID] <= now-window/2) {
					b.Leave(m, 1)
					left(m, f)
				}
			}
		}
		if n := (now - retention) * batch; n > 0 && n <= len(facts) {
			old = old[:0]
			for _, id := range ids[n-batch : n] {
				if !x.Fact(id).Pending {
					old = append(old, id)
				}
			}
			x.Remove(old)
		}
	}
	return x, b
}

// TestHostile: each span leaves once, no two raw spans are each other's ancestors, and what a span costs has a ceiling
// that does not rise with their number.
func TestHostile(t *testing.T) {
	for i, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			numbers := []int{5_000, 20_000}
			if i < 2 && !testing.Short() {
				numbers = append(numbers, 1_000_000)
			}
			for _, n := range numbers {
				facts := s.make(n)
				gone := 0
				parent := map[link.SpanID]link.SpanID{}
				before := heap()
				x, b := run(facts, func(m *Member, f *link.Fact) {
					gone++
					if f.Raw && m.Edge.Parent != link.None {
						parent[f.Span] = m.Parent
					}
				})
				requireNoCycle(t, parent)
				parent = nil
				looks, bytes := float64(x.Looks())/float64(n), float64(heap()-before)/float64(n)
				runtime.KeepAlive(facts)
				runtime.KeepAlive(x)
				runtime.KeepAlive(b)
				require.GreaterOrEqual(t, gone, n-1)
				require.LessOrEqual(t, gone, n)
				t.Logf("%d: %.1f looks and %.0f bytes for each span", n, looks, bytes)
				assert.LessOrEqual(t, looks, s.looks, "looks of %d", n)
				assert.LessOrEqual(t, bytes, float64(s.bytes)+begun/float64(n), "bytes of %d", n)
			}
		})
	}
}

// begun is as much as tables and pages may take before they are full.
const begun = 512 << 10

// heap is how many bytes of it are in use. Where an index has no arena, all of it is there.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func requireNoCycle(t *testing.T, parent map[link.SpanID]link.SpanID) {
	t.Helper()
	// done holds the walk in which a span was met.
	done := map[link.SpanID]int{}
	walk := 0
	for s := range parent {
		walk++
		for at, ok := s, true; ok && done[at] == 0; at, ok = parent[at] {
			done[at] = walk
			require.NotEqual(t, walk, done[parent[at]], "a cycle through %x", at)
		}
	}
}

// cpuTime of this process: the machine may be busy with others.
func cpuTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkHostile shows what a span costs where n of them come: about the same for each n.
func BenchmarkHostile(b *testing.B) {
	for _, s := range shapes {
		for _, n := range []int{10_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				facts := s.make(n)
				looks := 0
				b.ReportAllocs()
				b.ResetTimer()
				before := cpuTime()
				for range b.N {
					x, _ := run(slices.Clone(facts), func(*Member, *link.Fact) {})
					looks += x.Looks()
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N*n), "cpu-ns/span")
				b.ReportMetric(float64(looks)/float64(b.N*n), "looks/span")
			})
		}
	}
}

// TestTooDeepIsCut: of a cycle that is longer than a root is looked for one edge is given up for good,
// whoever is asked first, and the trace has one id all the same.
func TestTooDeepIsCut(t *testing.T) {
	const n = 3 * maxClimb
	var cycle []link.Fact
	for _, s := range shapes {
		if s.name == "one cycle of all, raw" {
			cycle = s.make(n)
		}
	}
	x := link.New(link.RuleNames(), tolerance)
	b := NewBook(x, Options{})
	for i := range cycle {
		b.Add(x.Add(cycle[i]))
	}
	cut := 0
	ids := map[link.TraceID]int{}
	for _, start := range []link.ID{n / 2, 0, n - 1} {
		// Nothing leaves: each sees what the one before has decided.
		b.Gather(start)
	}
	parent := map[link.SpanID]link.SpanID{}
	for id := range link.ID(n) {
		if !b.Waits(id) {
			continue
		}
		for _, m := range b.Gather(id) {
			b.Leave(&m, 1)
			ids[m.Trace]++
			if m.Cut {
				cut++
			} else {
				parent[x.Fact(m.ID).Span] = m.Parent
			}
		}
	}
	requireNoCycle(t, parent)
	require.Len(t, ids, 1)
	require.LessOrEqual(t, cut, n/maxClimb)
	require.Positive(t, cut)
}

// TestTooLargeLeavesInParts: what a Gather did not meet is not looked for again with each span.
func TestTooLargeLeavesInParts(t *testing.T) {
	const n = 3 * maxMembers
	x := link.New(link.RuleNames(), tolerance)
	b := NewBook(x, Options{UseAppTraceID: true})
	facts := shapes[0].make(n)
	facts[0].CtxParent = link.SpanID{}
	for i := range facts {
		b.Add(x.Add(facts[i]))
	}
	require.Len(t, b.Gather(n-1), maxMembers-1)
	for _, id := range []link.ID{1, 2, n / 2} {
		members := b.Gather(id)
		require.Len(t, members, 1)
		require.Equal(t, id, members[0].ID)
		require.Equal(t, oneTrace, members[0].Trace)
		require.Equal(t, number(0), members[0].Parent)
	}
}
