package causality

import (
	"slices"
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

// TestRefusalsAreDocumented: the README says what each reason of a rule means.
func TestRefusalsAreDocumented(t *testing.T) {
	documented := doctable.FirstColumn(t, readme, "reason")
	for i := range kinds {
		k := &kinds[i]
		refusals := []string{k.unsure.refusal}
		for _, r := range k.rules {
			refusals = append(refusals, r.refusal)
		}
		for _, s := range k.service {
			refusals = append(refusals, s.refusal)
		}
		for _, r := range slices.DeleteFunc(refusals, func(r string) bool { return r == "" }) {
			require.Contains(t, documented, r, k.hint)
		}
	}
}
