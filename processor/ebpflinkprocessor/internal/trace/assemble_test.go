package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

const tolerance = 500 * time.Millisecond

// forest is a generated set of traces with the truth.
type forest struct {
	facts  []link.Fact
	parent map[link.SpanID]link.SpanID
	root   map[link.SpanID]link.SpanID
	rng    *rand.Rand
	next   uint64
	clock  int64
	// skew is how far the clock of each host is off, in ns.
	skew map[uint64]int64
}

func grow(seed uint64, traces int) *forest {
	f := &forest{
		parent: map[link.SpanID]link.SpanID{}, root: map[link.SpanID]link.SpanID{}, skew: map[uint64]int64{},
		rng: rand.New(rand.NewPCG(seed, 1)), clock: int64(time.Hour),
	}
	for range traces {
		// Roots overlap: up to a few hundred requests at once.
		f.clock += f.rng.Int64N(int64(5 * time.Millisecond))
		f.server(f.host(), f.clock, f.clock+int64(time.Second), link.SpanID{}, link.SpanID{}, 0, 0, 0)
	}
	return f
}

func (f *forest) host() uint64 { return 1 + f.rng.Uint64N(6) }

func (f *forest) id() link.SpanID {
	f.next++
	var s link.SpanID
	binary.BigEndian.PutUint64(s[:], f.next*0x9e3779b97f4a7c15)
	return s
}

func (f *forest) put(fact link.Fact, parent, root link.SpanID) {
	if _, ok := f.skew[fact.Host]; !ok {
		f.skew[fact.Host] = f.rng.Int64N(int64(tolerance)) - int64(tolerance)/2
	}
	fact.Start += f.skew[fact.Host]
	fact.End += f.skew[fact.Host]
	fact.Raw = true
	fact.OwnTrace = link.TraceID(append(bytes.Repeat([]byte{1}, 8), fact.Span[:]...))
	f.facts = append(f.facts, fact)
	f.parent[fact.Span], f.root[fact.Span] = parent, root
}

// server makes a SERVER span in [from, to) and the calls it makes: one after the other on one
// keep-alive connection, or several at once, or pipelined.
func (f *forest) server(host uint64, from, to int64, parent, root link.SpanID, req, resp uint32, depth int) {
	s := f.id()
	if root == (link.SpanID{}) {
		root = s
	}
	if req == 0 {
		req, resp = f.rng.Uint32()|1, f.rng.Uint32()|1
	}
	systrace := f.rng.Uint64() | 1
	f.put(link.Fact{Span: s, Role: link.Server, Host: host, Start: from, End: to, ReqSeq: req, RespSeq: resp, Systrace: systrace}, parent, root)
	if depth > 5 || to-from < int64(20*time.Microsecond) {
		return
	}
	n := f.rng.IntN(4)
	parallel := f.rng.IntN(2) == 0
	reqSeq, respSeq := f.rng.Uint32()|1, f.rng.Uint32()|1
	step := (to - from) / int64(n+1)
	for i := range n {
		a := from + int64(i)*step + 1000
		b := a + step - 2000
		if parallel {
			a, b = from+1000+int64(i), to-1000
		}
		// A keep-alive connection: the numbers go on by the bytes sent.
		reqSeq += 1 + f.rng.Uint32N(500)
		respSeq += 1 + f.rng.Uint32N(5000)
		c := f.id()
		f.put(link.Fact{Span: c, Role: link.Client, Host: host, Start: a, End: b, ReqSeq: reqSeq, RespSeq: respSeq, Systrace: systrace}, s, root)
		if f.rng.IntN(4) > 0 {
			f.server(f.host(), a+500, b-500, c, root, reqSeq, respSeq, depth+1)
		}
	}
}

type end struct {
	trace  link.TraceID
	parent link.SpanID
}

// assemble runs the real thing over facts in this order.
func assemble(t *testing.T, facts []link.Fact) map[link.SpanID]end {
	t.Helper()
	x := link.New(link.RuleNames(), tolerance)
	b := NewBook(x, Options{UseAppTraceID: true})
	var ids []link.ID
	for i := range facts {
		id := x.Add(facts[i])
		b.Add(id)
		ids = append(ids, id)
	}
	out := map[link.SpanID]end{}
	for _, id := range ids {
		if !b.Waits(id) {
			continue
		}
		for _, m := range b.Gather(id) {
			b.Leave(&m, 1)
			span := x.Fact(m.ID).Span
			_, twice := out[span]
			require.False(t, twice, "span left twice")
			out[span] = end{m.Trace, m.Parent}
		}
	}
	require.Len(t, out, len(facts), "each span leaves")
	return out
}

// oracle links by looking at every pair, rule by rule, written from the table in ARCHITECTURE.md
// and sharing nothing with the engine.
func oracle(facts []link.Fact) map[link.SpanID]link.SpanID {
	admissible := func(c, p *link.Fact) bool {
		tol := int64(tolerance)
		if c.Host == p.Host {
			tol = int64(time.Millisecond)
		}
		return c.Start+tol >= p.Start && c.Start <= p.End+tol
	}
	one := func(c *link.Fact, match func(p *link.Fact) bool) (link.SpanID, bool) {
		var found []link.SpanID
		for i := range facts {
			p := &facts[i]
			if p.Span != c.Span && match(p) && admissible(c, p) {
				found = append(found, p.Span)
			}
		}
		if len(found) != 1 {
			return link.SpanID{}, false
		}
		return found[0], true
	}
	out := map[link.SpanID]link.SpanID{}
	for i := range facts {
		c := &facts[i]
		switch c.Role {
		case link.Server:
			if c.ReqSeq != 0 && c.RespSeq != 0 {
				out[c.Span], _ = one(c, func(p *link.Fact) bool {
					return p.Role == link.Client && p.ReqSeq == c.ReqSeq && p.RespSeq == c.RespSeq
				})
			}
		case link.Client:
			if c.Systrace != 0 {
				p, ok := one(c, func(p *link.Fact) bool {
					return p.Role == link.Server && p.Host == c.Host && p.Systrace == c.Systrace
				})
				out[c.Span] = p
				if ok {
					continue
				}
			}
			if c.Pseudo != 0 {
				out[c.Span], _ = one(c, func(p *link.Fact) bool {
					return p.Role == link.Server && p.Host == c.Host && p.Pseudo == c.Pseudo &&
						(p.Systrace == 0 || c.Systrace == 0 || p.Systrace == c.Systrace) &&
						c.End <= p.End+int64(time.Millisecond)
				})
			}
		}
	}
	return out
}

// TestForests: without loss every edge is the true one and every tree one trace, in any order.
func TestForests(t *testing.T) {
	for seed := range uint64(8) {
		f := grow(seed, 60)
		want := oracle(f.facts)
		var first map[link.SpanID]end
		for order := range 4 {
			facts := slices.Clone(f.facts)
			if order > 0 {
				f.rng.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
			}
			got := assemble(t, facts)
			traceOf := map[link.SpanID]link.TraceID{}
			for span, e := range got {
				require.Equal(t, f.parent[span], e.parent, "seed %d: true parent", seed)
				require.Equal(t, want[span], e.parent, "seed %d: oracle", seed)
				root := f.root[span]
				if known, ok := traceOf[root]; ok {
					require.Equal(t, known, e.trace, "seed %d: one trace", seed)
				}
				traceOf[root] = e.trace
			}
			distinct := map[link.TraceID]bool{}
			for _, id := range traceOf {
				distinct[id] = true
			}
			require.Len(t, distinct, len(traceOf), "seed %d: traces are not mixed", seed)
			if first == nil {
				first = got
			}
			require.Equal(t, first, got, "seed %d: order of arrival", seed)
		}
	}
}

// TestTangles: few values for every key, so that references collide, contradict and form cycles.
// Nothing is true here, but engine and oracle agree, order does not matter and no cycle is left.
func TestTangles(t *testing.T) {
	linked, cycles := 0, 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var facts []link.Fact
		for i := range 40 {
			var s link.SpanID
			binary.BigEndian.PutUint64(s[:], uint64(i+1))
			start := rng.Int64N(int64(time.Second))
			facts = append(facts, link.Fact{
				Span: s, OwnTrace: link.TraceID{0: 9, 15: byte(i)}, Raw: true, Role: link.Role(1 + rng.IntN(2)),
				Host: 1 + rng.Uint64N(2), Start: start, End: start + rng.Int64N(int64(time.Second)),
				ReqSeq: rng.Uint32N(12), RespSeq: rng.Uint32N(3), Systrace: rng.Uint64N(20), Pseudo: rng.Uint64N(20),
			})
		}
		// Now and then two spans that each name the other as parent.
		for i := 0; i+1 < len(facts); i += 8 {
			a, b := &facts[i], &facts[i+1]
			a.Role, b.Role = link.Client, link.Server
			b.Host, b.Start, b.End = a.Host, a.Start, a.End
			a.ReqSeq, a.RespSeq, a.Systrace = uint32(1000+i), 1, uint64(1000+i)
			b.ReqSeq, b.RespSeq, b.Systrace = a.ReqSeq, a.RespSeq, a.Systrace
		}
		want := oracle(facts)
		var first map[link.SpanID]end
		for range 4 {
			got := assemble(t, facts)
			for span, e := range got {
				if e.parent != (link.SpanID{}) {
					linked++
					require.Equal(t, want[span], e.parent, "seed %d", seed)
					require.Equal(t, got[e.parent].trace, e.trace, "seed %d: child and parent share a trace", seed)
				} else if want[span] != (link.SpanID{}) {
					cycles++
					require.True(t, onCycle(want, span), "seed %d: %x lost its parent without a cycle", seed, span)
				}
				steps := 0
				for up := span; got[up].parent != (link.SpanID{}); up = got[up].parent {
					steps++
					require.LessOrEqual(t, steps, len(facts), "seed %d: cycle", seed)
				}
			}
			if first == nil {
				first = got
			}
			require.Equal(t, first, got, "seed %d: order of arrival", seed)
			rng.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		}
	}
	require.Greater(t, linked, 1000, "the generator makes links")
	require.Positive(t, cycles, "the generator makes cycles")
}

func onCycle(parent map[link.SpanID]link.SpanID, span link.SpanID) bool {
	up := parent[span]
	for range parent {
		if up == span {
			return true
		}
		up = parent[up]
	}
	return false
}

// TestHundredThousandChildrenOfOneParent: the work of one gathering is bounded and all get one trace id.
func TestHundredThousandChildrenOfOneParent(t *testing.T) {
	const n = 100_000
	x := link.New(link.RuleNames(), 0)
	b := NewBook(x, Options{UseAppTraceID: true})
	root := x.Add(link.Fact{Span: link.SpanID{1}, Raw: true, Role: link.Server, Host: 1, Systrace: 7, End: n})
	b.Add(root)
	var ids []link.ID
	for i := range n {
		var s link.SpanID
		binary.BigEndian.PutUint64(s[:], uint64(i+2))
		id := x.Add(link.Fact{Span: s, Raw: true, Role: link.Client, Host: 1, Systrace: 7, Start: int64(i), End: int64(i)})
		b.Add(id)
		ids = append(ids, id)
	}
	traces := map[link.TraceID]int{}
	for _, id := range ids {
		if b.Waits(id) {
			members := b.Gather(id)
			require.LessOrEqual(t, len(members), maxMembers)
			for _, m := range members {
				b.Leave(&m, 1)
				traces[m.Trace]++
			}
		}
	}
	require.Len(t, traces, 1)
	for _, count := range traces {
		require.Equal(t, n+1, count)
	}
}

func TestTraceIDDependsOnTheRootAlone(t *testing.T) {
	f := grow(3, 20)
	ids := map[link.SpanID]link.TraceID{}
	for span, e := range assemble(t, f.facts) {
		if f.parent[span] == (link.SpanID{}) {
			ids[span] = e.trace
		}
	}
	for i := range f.facts {
		if want, ok := ids[f.facts[i].Span]; ok {
			require.Equal(t, want, assemble(t, f.facts[i:i+1])[f.facts[i].Span].trace, "the root alone gives the id of its trace")
		}
	}
}

func TestOrphansOfOneRequestShareATrace(t *testing.T) {
	server := link.SpanID{5}
	orphan := func(n byte) link.Fact {
		return link.Fact{Span: link.SpanID{n}, Raw: true, Role: link.Client, Host: 1, Systrace: 7, Anchor: server, Start: 10, End: 20}
	}
	got := assemble(t, []link.Fact{orphan(1), orphan(2)})
	require.Equal(t, got[link.SpanID{1}].trace, got[link.SpanID{2}].trace)
	require.Zero(t, got[link.SpanID{1}].parent)
	whole := assemble(t, []link.Fact{orphan(1), {Span: server, Raw: true, Role: link.Server, Host: 1, Systrace: 7, End: 30}})
	require.Equal(t, got[link.SpanID{1}].trace, whole[server].trace, "and it is the one the request gives")
}

func ExampleBook() {
	x := link.New(link.RuleNames(), 0)
	b := NewBook(x, Options{UseAppTraceID: true})
	b.Add(x.Add(link.Fact{Span: link.SpanID{7: 1}, Raw: true, Role: link.Server, Host: 1, Systrace: 7, End: 100}))
	child := x.Add(link.Fact{Span: link.SpanID{7: 2}, Raw: true, Role: link.Client, Host: 1, Systrace: 7, Start: 10, End: 20})
	b.Add(child)
	members := b.Gather(child)
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.depth, b.depth) })
	for _, m := range members {
		fmt.Printf("%x under %x by %q\n", x.Fact(m.ID).Span, m.Parent, m.Edge.Rule)
	}
	// Output:
	// 0000000000000001 under 0000000000000000 by ""
	// 0000000000000002 under 0000000000000001 by "systrace"
}
