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

// TestNoCycleHoweverLate: spans of few values for everything, which come, end and leave in any order, never leave as
// their own ancestors, by what they say or by what parents that came later say of them.
func TestNoCycleHoweverLate(t *testing.T) {
	cut, linked, adopted, above := 0, 0, 0, 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 4))
		x := link.New(link.RuleNames(), tolerance)
		b := NewBook(x, Options{UseAppTraceID: true})
		parent := map[link.SpanID]link.SpanID{}
		// came has what an Index does not keep, too: the trace id of a raw span.
		came := map[link.ID]link.Fact{}
		var waiting, open []link.ID
		take := func(from *[]link.ID) link.ID {
			i := rng.IntN(len(*from))
			id := (*from)[i]
			*from = append((*from)[:i], (*from)[i+1:]...)
			return id
		}
		ended := func(f link.Fact) link.Fact {
			f.Pending, f.End = false, f.Start+rng.Int64N(int64(time.Second))
			f.ReqSeq, f.RespSeq = 1+rng.Uint32N(4), 1
			return f
		}
		for n := range 40 {
			f := link.Fact{
				Span: link.SpanID{7: byte(n + 1)}, OwnTrace: link.TraceID{15: byte(n%2 + 1)}, Raw: true, Role: link.Role(1 + rng.IntN(2)),
				Host: 1 + rng.Uint64N(2), Systrace: rng.Uint64N(5), Start: rng.Int64N(int64(50 * time.Millisecond)), Pending: true,
			}
			if rng.IntN(4) == 0 {
				to := byte(1 + rng.IntN(40))
				f.CtxTrace, f.CtxParent = link.TraceID{15: (to-1)%2 + 1}, link.SpanID{7: to}
			}
			if rng.IntN(3) > 0 {
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
			for rng.IntN(3) > 0 {
				if len(open) > 0 && rng.IntN(2) == 0 {
					id := take(&open)
					x.Replace(id, ended(came[id]), link.Rare{})
					waiting = append(waiting, id)
				}
				if len(waiting) == 0 {
					continue
				}
				due := take(&waiting)
				for _, m := range b.Gather(due) {
					if m.ID != due {
						continue
					}
					b.Leave(&m, 1)
					if m.Cut {
						cut++
					}
					if m.Parent != (link.SpanID{}) {
						linked++
						parent[x.Fact(due).Span] = m.Parent
					}
					a := b.Adopt(&m)
					for _, c := range a.Children {
						require.NotContains(t, parent, c.Span, "it has a parent already")
						parent[c.Span] = x.Fact(due).Span
					}
					adopted += len(a.Children)
					above += a.Above
				}
				requireNoCycle(t, parent)
			}
		}
	}
	require.Greater(t, cut, 100)
	require.Greater(t, linked, 1000)
	require.Greater(t, adopted, 100)
	require.Positive(t, above)
}
