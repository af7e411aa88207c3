package tree

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func id(n byte) pcommon.SpanID { return pcommon.SpanID{7: n} }

func sample() []span.Span {
	t := pcommon.TraceID{15: 1}
	const ms = int64(1e6)
	s := func(n, parent byte, service, kind, path, redis, rule string, conf float64, start, end int64, hints ...string) span.Span {
		sp := span.Span{
			Trace: t, ID: id(n), Service: service, Kind: kind, Path: path, Redis: redis, Rule: rule,
			Confidence: conf, HasConfidence: rule != "", Start: start * ms, End: end * ms, Hints: hints,
		}
		if path != "" {
			sp.Method, sp.Status = "GET", "200"
		}
		if parent != 0 {
			sp.Parent = id(parent)
		}
		return sp
	}
	return []span.Span{
		s(1, 0, "frontend", "SERVER", "/checkout/r1", "", "", 0, 0, 100),
		s(2, 1, "frontend", "CLIENT", "/item/r1", "", "systrace", 0.995, 10, 50, "channel", "goroutine"),
		s(3, 2, "catalog", "SERVER", "/item/r1", "", "tcp_seq", 1, 11, 49),
		s(4, 3, "catalog", "CLIENT", "", "GET", "pseudo_thread", 0.6, 20, 21),
		s(5, 1, "frontend", "CLIENT", "/stock/r1", "", "systrace", 1, 60, 90, "same_thread"),
		s(6, 99, "inventory", "SERVER", "/stock/r1", "", "tcp_seq", 1, 61, 89),
		s(7, 6, "inventory", "CLIENT", "", "PTTL", "", 0, 62, 63),
		s(8, 9, "a", "CLIENT", "/x", "", "systrace", 1, 64, 65),
		s(9, 8, "b", "SERVER", "/x", "", "tcp_seq", 1, 64, 65),
	}
}

func TestGolden(t *testing.T) {
	for name, st := range map[string]Style{"plain": {}, "bar": {Bar: 10}, "color": {Color: true, Bar: 4}} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			require.NoError(t, Print(&b, sample(), st))
			file := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), b.String())
		})
	}
}

// Any parent ids, cycles and self-parents included: each span is printed once, in any arrival order.
func TestEverySpanOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 1 + r.IntN(12)
		spans := make([]span.Span, n)
		for i := range spans {
			spans[i] = span.Span{ID: id(byte(i + 1)), Trace: pcommon.TraceID{15: 1}, Start: int64(r.IntN(5)), End: int64(r.IntN(9)), Name: "n"}
			if r.IntN(4) > 0 {
				spans[i].Parent = id(byte(r.IntN(n+2) + 1))
			}
		}
		var b strings.Builder
		require.NoError(t, Print(&b, spans, Style{Bar: 8}))
		require.Equal(t, n+1, strings.Count(b.String(), "\n"), b.String())
	}
}

func TestNothing(t *testing.T) {
	var b strings.Builder
	require.NoError(t, Print(&b, nil, Style{}))
	require.NoError(t, PrintAll(&b, nil, Style{}))
	require.Empty(t, b.String())
}
