package trace

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// mixture has spans whose keys are of one, of some and of very many.
func mixture(r *rand.Rand, n int) []link.Fact {
	facts := make([]link.Fact, n)
	for i := range facts {
		f := &facts[i]
		*f = link.Fact{
			Span: link.SpanID{1, byte(i), byte(i >> 8)}, OwnTrace: link.TraceID{byte(i), byte(i >> 8), 1}, Raw: r.IntN(8) > 0,
			Role: link.Role(r.IntN(3)), Host: uint64(r.IntN(3)), Systrace: uint64(r.IntN(n / 4)), Pseudo: uint64(r.IntN(2)),
			ReqSeq: uint32(r.IntN(n / 2)), RespSeq: uint32(r.IntN(2)), Start: int64(i), End: int64(n + i), Pending: r.IntN(9) == 0,
		}
		if !f.Raw && i > 0 {
			of := &facts[r.IntN(i)]
			f.OwnTrace, f.CtxTrace, f.CtxParent = of.OwnTrace, of.OwnTrace, of.Span
		}
	}
	return facts
}

// TestAheadChangesNothing: what leaves is the same whether or not somebody looked ahead, of whatever spans.
func TestAheadChangesNothing(t *testing.T) {
	type left struct {
		id     link.ID
		trace  link.TraceID
		parent link.SpanID
	}
	for seed := range uint64(20) {
		leave := func(ahead bool) (out []left) {
			r := rand.New(rand.NewPCG(seed, 8))
			x := link.New(link.RuleNames(), tolerance)
			b := NewBook(x, Options{UseAppTraceID: true})
			near := 0
			for _, f := range mixture(r, 400) {
				b.Add(x.Add(f))
			}
			for range 300 {
				ids := make([]link.ID, link.AtOnce)
				for i := range ids {
					ids[i] = link.ID(r.IntN(400))
				}
				if ahead {
					b.Ahead(ids, func(link.ID) { near++ })
				}
				if !b.Waits(ids[0]) {
					continue
				}
				for _, m := range b.Gather(ids[0])[:1] {
					b.Leave(&m, 1)
					out = append(out, left{m.ID, m.Trace, m.Parent})
				}
			}
			require.Equal(t, ahead, near > 0)
			return out
		}
		without := leave(false)
		require.NotEmpty(t, without)
		require.Equal(t, without, leave(true), "seed %d", seed)
	}
}

// TestAheadIsBounded: a key that all spans share leads to few of them.
func TestAheadIsBounded(t *testing.T) {
	for name, f := range map[string]link.Fact{
		"one request":  {Raw: true, Role: link.Client, Host: 1, Systrace: 1},
		"one number":   {Raw: true, Role: link.Client, Host: 1, ReqSeq: 1, RespSeq: 1},
		"one context":  {CtxTrace: link.TraceID{1}, OwnTrace: link.TraceID{1}, CtxParent: link.SpanID{1}},
		"some a piece": {Raw: true, Role: link.Client, Host: 1},
	} {
		t.Run(name, func(t *testing.T) {
			x := link.New(link.RuleNames(), tolerance)
			b := NewBook(x, Options{})
			const n = 5000
			var ids []link.ID
			for i := range n {
				f.Span = link.SpanID{2, byte(i), byte(i >> 8)}
				if name == "some a piece" {
					f.Systrace, f.Pseudo = uint64(i/7)+1, uint64(i/7)+1
				}
				id := x.Add(f)
				b.Add(id)
				if i%7 == 0 {
					ids = append(ids, id)
				}
			}
			met := 0
			b.Ahead(ids[:link.AtOnce], func(link.ID) { met++ })
			require.LessOrEqual(t, met, mostMet)
			require.GreaterOrEqual(t, met, link.AtOnce)
		})
	}
}
