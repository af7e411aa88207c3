package splice

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// message makes a batch with the given numbers of spans per scope per resource. Each span has its
// ordinal in its name.
func message(t testing.TB, shape [][]int) (ptrace.Traces, []byte) {
	td := ptrace.NewTraces()
	n := 0
	for r, scopes := range shape {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("host.id", fmt.Sprint(r))
		rs.SetSchemaUrl("resource schema")
		for s, count := range scopes {
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName(fmt.Sprint(s))
			ss.SetSchemaUrl("scope schema")
			for range count {
				sp := ss.Spans().AppendEmpty()
				sp.SetName(fmt.Sprint(n))
				sp.Attributes().PutStr("k", "v")
				sp.Events().AppendEmpty().SetName("e")
				n++
			}
		}
	}
	return td, encode(t, td)
}

func encode(t testing.TB, td ptrace.Traces) []byte {
	var m ptrace.ProtoMarshaler
	b, err := m.MarshalTraces(td)
	require.NoError(t, err)
	return b
}

// picked is the slow way: remove from td what was not chosen.
func picked(td ptrace.Traces, chosen map[uint32]bool) ptrace.Traces {
	out := ptrace.NewTraces()
	td.CopyTo(out)
	n := uint32(0)
	out.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Spans().RemoveIf(func(ptrace.Span) bool {
				n++
				return !chosen[n-1]
			})
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
	return out
}

// joined is what a Cut stands for: its frame with the spans in their scopes.
func joined(t testing.TB, c *Cut) ptrace.Traces {
	var u ptrace.ProtoUnmarshaler
	td, err := u.UnmarshalTraces(c.Frame)
	require.NoError(t, err)
	scopes, spans := c.Scopes, c.Spans
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			require.Zero(t, ss.Spans().Len())
			for _, b := range spans[:scopes[0]] {
				one, err := u.UnmarshalTraces(Wrap(b))
				require.NoError(t, err)
				one.ResourceSpans().At(0).ScopeSpans().At(0).Spans().MoveAndAppendTo(ss.Spans())
			}
			scopes, spans = scopes[1:], spans[scopes[0]:]
		}
	}
	require.Empty(t, scopes)
	require.Empty(t, spans)
	return td
}

// TestTakeIsWhatRemovingTheOthersGives on shapes with empty resources and scopes, and any choice.
func TestTakeIsWhatRemovingTheOthersGives(t *testing.T) {
	var c Cut
	for _, shape := range [][][]int{{{1}}, {{5}}, {{2, 3}, {4}}, {{0, 2}, {}, {1, 0}}, {{300}}} {
		td, b := message(t, shape)
		total := td.SpanCount()
		for round := range 40 {
			chosen := map[uint32]bool{}
			var ordinals []uint32
			for n := range uint32(total) {
				if round == 0 || rand.IntN(3) == 0 {
					chosen[n], ordinals = true, append(ordinals, n)
				}
			}
			found, err := c.Take(b, ordinals)
			require.NoError(t, err)
			require.Equal(t, len(ordinals), found)
			require.Equal(t, encode(t, picked(td, chosen)), encode(t, joined(t, &c)), "%v of %v", ordinals, shape)
		}
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	_, b := message(t, [][]int{{3}})
	var c Cut
	found, err := c.Take(b, []uint32{1, 3})
	require.NoError(t, err)
	require.Equal(t, 1, found)
	for n := range b {
		// A message that ends in the middle is malformed, or shorter.
		if found, err := c.Take(b[:n], []uint32{0, 1, 2}); err == nil {
			require.Less(t, found, 3)
		}
	}
}

// FuzzTake: on any bytes that pdata decodes, both agree; on no bytes anything worse than an error.
func FuzzTake(f *testing.F) {
	_, b := message(f, [][]int{{2, 1}, {1}})
	f.Add(b, uint64(5))
	f.Add([]byte{10, 2, 18, 0}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, mask uint64) {
		var u ptrace.ProtoUnmarshaler
		td, derr := u.UnmarshalTraces(b)
		chosen := map[uint32]bool{}
		var ordinals []uint32
		total := 64
		if derr == nil {
			total = min(total, td.SpanCount())
		}
		for n := range uint32(total) {
			if mask&(1<<n) != 0 {
				chosen[n], ordinals = true, append(ordinals, n)
			}
		}
		var c Cut
		found, err := c.Take(b, ordinals)
		if derr != nil || err != nil {
			return
		}
		require.Equal(t, len(ordinals), found)
		require.Equal(t, encode(t, picked(td, chosen)), encode(t, joined(t, &c)))
	})
}
