package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/doctable"
)

const readme = "receiver/ebpfspanreceiver/README.md"

// TestHintsAreDocumented: the README has a row for each kind of evidence that a link may rest on, and for no other.
func TestHintsAreDocumented(t *testing.T) {
	var hints []string
	for i := range kinds {
		// What is never used alone is on no span; statistical links are made without an edge.
		if k := &kinds[i]; k.hint != "" && (k.trust != hint || i == statistical) {
			hints = append(hints, k.hint)
		}
	}
	require.ElementsMatch(t, hints, doctable.FirstColumn(t, readme, "hint"))
}

// TestRefusalsAreDocumented: the README says what each reason means for which evidence does not count.
func TestRefusalsAreDocumented(t *testing.T) {
	documented := doctable.FirstColumn(t, readme, "reason")
	for _, why := range Refusals[1:] {
		require.Contains(t, documented, why)
	}
}
