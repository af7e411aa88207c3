// Package deepflow follows the description of how DeepFlow (deepflow 2026e9de36c6 and deepflow-app
// 9c05ea044d54) captures ids and assembles a trace, in reference/deepflow.md sections 1 to 3. It is
// written from that description; no line is DeepFlow's. Where it leaves something open, the reading
// that links more was taken. Spans of network interfaces, which no scenario has, are left out.
package deepflow

import "github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"

// Link returns the parent that DeepFlow's assembler would give each span, with the systrace ids that
// its own capture would have written.
func Link(f *forest.Forest) map[*forest.Span]*forest.Span {
	out := map[*forest.Span]*forest.Span{}
	for _, rows := range search(capture(f)) {
		assemble(rows)
		for _, r := range rows {
			if r.parent != nil {
				out[r.span] = r.parent.span
			}
		}
	}
	return out
}

// assemble gives the rows of one search their parents.
func assemble(rows []*row) {
	sets := processSets(rows)
	nets := networkSets(rows)
	joinSets(sets, nets)
}
