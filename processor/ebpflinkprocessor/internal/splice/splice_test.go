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

// again decodes b and encodes it, so that two encodings of one message are equal.
func again(t testing.TB, b []byte) []byte {
	var u ptrace.ProtoUnmarshaler
	td, err := u.UnmarshalTraces(b)
	require.NoError(t, err)
	return encode(t, td)
}

// TestAppendIsWhatRemovingTheOthersGives on shapes with empty resources and scopes, and any choice.
func TestAppendIsWhatRemovingTheOthersGives(t *testing.T) {
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
			got, found, err := Append(nil, b, ordinals)
			require.NoError(t, err)
			require.Equal(t, len(ordinals), found)
			require.Equal(t, encode(t, picked(td, chosen)), again(t, got), "%v of %v", ordinals, shape)
		}
	}
}

func TestMessagesJoin(t *testing.T) {
	td, b := message(t, [][]int{{3}, {2}})
	out, _, err := Append(nil, b, []uint32{1})
	require.NoError(t, err)
	out, _, err = Append(out, b, []uint32{0, 4})
	require.NoError(t, err)
	want := picked(td, map[uint32]bool{1: true})
	picked(td, map[uint32]bool{0: true, 4: true}).ResourceSpans().MoveAndAppendTo(want.ResourceSpans())
	require.Equal(t, encode(t, want), again(t, out))
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	_, b := message(t, [][]int{{3}})
	before := []byte("before")
	out, found, err := Append(before, b, []uint32{1, 3})
	require.NoError(t, err)
	require.Equal(t, 1, found)
	require.Equal(t, before, out)
	for n := range b {
		// A message that ends in the middle is malformed, or shorter.
		if _, found, err := Append(nil, b[:n], []uint32{0, 1, 2}); err == nil {
			require.Less(t, found, 3)
		}
	}
}

// FuzzAppend: on any bytes that pdata decodes, both agree; on no bytes anything worse than an error.
func FuzzAppend(f *testing.F) {
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
		out, found, err := Append(nil, b, ordinals)
		if derr != nil || err != nil {
			return
		}
		require.Equal(t, len(ordinals), found)
		if len(ordinals) > 0 {
			require.Equal(t, encode(t, picked(td, chosen)), again(t, out))
		}
	})
}
