package ebpflinkprocessor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/doctable"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
)

// TestCountersAreDocumented: docs/troubleshooting.md has a row for each value of the labels that say why, and none
// for what does not exist.
func TestCountersAreDocumented(t *testing.T) {
	table := func(title string) []string { return doctable.FirstColumn(t, doctable.Counters, title) }

	unlinked := []string{"trace_conflict", "cycle", "parent_absent"}
	for o := link.Ambiguous; o <= link.Overrun; o++ {
		unlinked = append(unlinked, o.String())
	}
	require.ElementsMatch(t, unlinked, table("`spans_unlinked{reason=…}`"))
	orphaned := []string{"cycle", "ancestor_waits", "link_limit"}
	require.ElementsMatch(t, orphaned, table("`spans_orphaned{reason=…}`"))
	// Those two are what departed counts by names of its own.
	for _, name := range literals(t, "telemetry.go", "departed") {
		require.Contains(t, slices.Concat(unlinked, orphaned, []string{"rule", "reason"}), name)
	}
	require.ElementsMatch(t, []string{refusedFull, refusedTooLarge, refusedStorage, refusedStopped}, table("`spans_refused{reason=…}`"))
	require.ElementsMatch(t, append(literals(t, "deliver.go", "insist", "", "delivery failed, trying again until it succeeds"),
		sampling.DroppedByRatio.String(), sampling.DroppedByApp.String()), table("`spans_dropped{reason=…}` of ebpf_link"))
	require.ElementsMatch(t, literals(t, "telemetry.go", "retire", "reason"), table("`facts_retired{reason=…}`"))

	declared, err := confmaptest.LoadConf("metadata.yaml")
	require.NoError(t, err)
	require.ElementsMatch(t, declared.Get("attributes::operation::enum"), table("`store_errors{operation=…}`"))
	require.ElementsMatch(t, declared.Get("attributes::decision::enum"), table("`traces_decided{decision=…}`"))
}

// literals are the texts in a function of this package, each once, but for some.
func literals(t *testing.T, file, function string, but ...string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	var texts []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == function {
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					text, err := strconv.Unquote(l.Value)
					require.NoError(t, err)
					if !slices.Contains(but, text) && !slices.Contains(texts, text) {
						texts = append(texts, text)
					}
				}
				return true
			})
		}
	}
	require.NotEmpty(t, texts, function)
	return texts
}
