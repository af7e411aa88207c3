// Package doctable reads tables of documents, for the tests that compare them with the code.
package doctable

import (
	"regexp"
	"strings"
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/checkout"
)

// Counters is the document that says what the counters of both components mean.
const Counters = "docs/troubleshooting.md"

var word = regexp.MustCompile("`([^`]+)`")

// FirstColumn returns the words in backquotes in the first column of the one table of a document whose first column has
// that title. The document is named from the root of the repository.
func FirstColumn(t testing.TB, document, title string) []string {
	t.Helper()
	var words []string
	tables, inside := 0, false
	for line := range strings.Lines(string(checkout.Read(t, document))) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		switch {
		case len(cells) < 3:
			inside = false
		case strings.TrimSpace(cells[1]) == title:
			tables, inside = tables+1, true
		case inside:
			for _, m := range word.FindAllStringSubmatch(cells[1], -1) {
				words = append(words, m[1])
			}
		}
	}
	if tables != 1 {
		t.Fatalf("%s: %d tables of %q", document, tables, title)
	}
	return words
}
