package trace

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// TestCycleThatClosesLate: a call left as a child of a request that was pending. The request ends, and shows the numbers
// of that call: it would be a child of its own child.
func TestCycleThatClosesLate(t *testing.T) {
	const host = 1
	request := link.Fact{Span: link.SpanID{1}, Raw: true, Role: link.Server, Host: host, Systrace: 7, Pending: true}
	call := link.Fact{Span: link.SpanID{2}, Raw: true, Role: link.Client, Host: host, Systrace: 7, ReqSeq: 5, RespSeq: 6, Start: 10, End: 20}
	for name, seq := range map[string]uint32{"its own call's numbers": 5, "numbers of its own": 8} {
		t.Run(name, func(t *testing.T) {
			x := link.New(link.RuleNames(), tolerance)
			b := NewBook(x, Options{})
			r, c := x.Add(request), x.Add(call)
			b.Add(r)
			b.Add(c)
			for _, m := range b.Gather(c) {
				if m.ID == c {
					require.Equal(t, request.Span, m.Parent)
					b.Leave(&m, 1)
				}
			}
			fixed, _ := b.Trace(c)
			ended := request
			ended.Pending, ended.ReqSeq, ended.RespSeq, ended.End = false, seq, 6, 30
			x.Replace(r, ended, link.Rare{})
			members := b.Gather(r)
			require.Len(t, members, 1)
			require.Zero(t, members[0].Parent)
			require.Equal(t, seq == 5, members[0].Cut, "it is counted")
			require.Equal(t, fixed, members[0].Trace)
		})
	}
}

// TestCycleThroughTheForgotten: what a request has led to left while it was open, and of that a part is forgotten and its
// number given to another span when the request shows the numbers of a call further down.
func TestCycleThroughTheForgotten(t *testing.T) {
	for name, again := range map[string]bool{"forgotten": false, "and its number is another's": true} {
		t.Run(name, func(t *testing.T) {
			x := link.New(link.RuleNames(), tolerance)
			b := NewBook(x, Options{})
			add := func(span byte, role link.Role, systrace uint64, seq uint32, start int64) link.ID {
				id := x.Add(link.Fact{
					Span: link.SpanID{7: span}, Raw: true, Role: role, Host: 1, Systrace: systrace, ReqSeq: seq, RespSeq: seq,
					Start: start, End: 100, Pending: seq == 0,
				})
				b.Add(id)
				return id
			}
			request := add(1, link.Server, 7, 0, 0)
			chain := []link.ID{
				add(2, link.Client, 7, 5, 10), add(3, link.Server, 8, 5, 20), add(4, link.Client, 8, 9, 30),
			}
			for _, id := range chain {
				for _, m := range b.Gather(id) {
					if m.ID == id {
						require.NotZero(t, m.Parent)
						b.Leave(&m, 1)
					}
				}
			}
			b.Forget(chain[:1])
			x.Remove(chain[:1])
			if again {
				require.Equal(t, chain[0], add(6, link.Server, 99, 77, 0))
			}
			x.Replace(request, link.Fact{
				Span: link.SpanID{7: 1}, Raw: true, Role: link.Server, Host: 1, Systrace: 7, ReqSeq: 9, RespSeq: 9, Start: 30, End: 90,
			}, link.Rare{})
			require.Equal(t, chain[2], x.Resolve(request).Parent)
			members := b.Gather(request)
			require.True(t, members[0].Cut)
			require.Zero(t, members[0].Parent)
		})
	}
}

// tangle is spans of few values for everything, which come, end and leave in any order.
type tangle struct {
	cut, linked, adopted, above int
	// forgets: who has left is forgotten now and then, and its id is given to another.
	forgets bool
}

// run lets 40 of them come, as choose says, which returns a number below n. None leaves as its own ancestor, by what it
// says or by what a parent that came later says of it.
func (n *tangle) run(t *testing.T, choose func(n int) int) {
	x := link.New(link.RuleNames(), tolerance)
	b := NewBook(x, Options{UseAppTraceID: true})
	parent := map[link.SpanID]link.SpanID{}
	// came has what an Index does not keep, too: the trace id of a raw span.
	came := map[link.ID]link.Fact{}
	var waiting, open, left []link.ID
	take := func(from *[]link.ID) link.ID {
		i := choose(len(*from))
		id := (*from)[i]
		*from = append((*from)[:i], (*from)[i+1:]...)
		return id
	}
	ended := func(f link.Fact) link.Fact {
		f.Pending, f.End = false, f.Start+int64(choose(1000))*int64(time.Millisecond)
		f.ReqSeq, f.RespSeq = uint32(1+choose(4)), 1
		return f
	}
	leave := func(due link.ID) {
		for _, m := range b.Gather(due) {
			if m.ID != due {
				continue
			}
			b.Leave(&m, 1)
			left = append(left, due)
			if m.Cut {
				n.cut++
			}
			// What a header names is not ours to contradict once it is forgotten.
			if m.Parent != (link.SpanID{}) && !(n.forgets && m.Absent) {
				n.linked++
				parent[x.Fact(due).Span] = m.Parent
			}
			if a := b.Adopt(&m); a != nil {
				for _, c := range a.Children {
					require.NotContains(t, parent, c.Span, "it has a parent already")
					parent[c.Span] = x.Fact(due).Span
				}
				n.adopted += len(a.Children)
				n.above += a.Above
			}
		}
		requireNoCycle(t, parent)
	}
	for i := range 40 {
		f := link.Fact{
			Span: link.SpanID{7: byte(i + 1)}, OwnTrace: link.TraceID{15: byte(i%2 + 1)}, Raw: true, Role: link.Role(1 + choose(2)),
			Host: uint64(1 + choose(2)), Systrace: uint64(choose(5)), Start: int64(choose(50)) * int64(time.Millisecond), Pending: true,
		}
		if choose(4) == 0 {
			to := byte(1 + choose(40))
			f.CtxTrace, f.CtxParent = link.TraceID{15: (to-1)%2 + 1}, link.SpanID{7: to}
		}
		if choose(3) > 0 {
			f = ended(f)
		}
		id := x.Add(f)
		b.Add(id)
		came[id] = f
		if f.Pending {
			open = append(open, id)
		} else {
			waiting = append(waiting, id)
		}
		for more := 0; more < 8 && choose(3) > 0; more++ {
			if len(open) > 0 && choose(2) == 0 {
				id := take(&open)
				x.Replace(id, ended(came[id]), link.Rare{})
				waiting = append(waiting, id)
			}
			if len(waiting) > 0 {
				leave(take(&waiting))
			}
		}
		if n.forgets && len(left) > 0 && choose(3) == 0 {
			gone := left[:1+choose(len(left))]
			left = left[len(gone):]
			b.Forget(gone)
			x.Remove(gone)
		}
	}
}

// TestNoCycleHoweverLate: no span is above itself.
func TestNoCycleHoweverLate(t *testing.T) {
	var n tangle
	for seed := range uint64(6000) {
		n.forgets = seed%2 == 1
		n.run(t, rand.New(rand.NewPCG(seed, 4)).IntN)
	}
	require.Greater(t, n.cut, 100)
	require.Greater(t, n.linked, 1000)
	require.Greater(t, n.adopted, 100)
	require.Positive(t, n.above)
}

// FuzzBook: the same, by bytes that choose.
func FuzzBook(f *testing.F) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 4))
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var n tangle
		n.run(t, func(n int) int {
			if len(b) == 0 {
				return 0
			}
			c := int(b[0])
			if b = b[1:]; n > 256 {
				c *= n / 256
			}
			return c % n
		})
	})
}
