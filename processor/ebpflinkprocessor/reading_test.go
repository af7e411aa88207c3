package ebpflinkprocessor

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// TestReadingAgain: nothing of a batch is in what is read into its room.
func TestReadingAgain(t *testing.T) {
	plain := ptrace.NewTraces()
	plain.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("plain")
	rich := ptrace.NewTraces()
	rs := rich.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(rawspan.ResHostID, "host")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for range 3 {
		s := spans.AppendEmpty()
		s.SetSpanID([8]byte{1})
		s.TraceState().FromRaw("ot=th:8")
	}
	var fresh, used reader
	want := fresh.read(plain, false)
	for range 100 { // whether a pool has kept something is up to it
		in := used.read(rich, false)
		require.Len(t, in.facts, 3)
		require.NotEmpty(t, in.hosts)
		require.NotEmpty(t, in.besides)
		used.done(in)
		in = used.read(plain, false)
		require.Equal(t, want.facts, in.facts)
		require.Empty(t, in.hosts)
		require.Empty(t, in.besides)
		require.Zero(t, in.malformed)
		used.done(in)
	}
}
