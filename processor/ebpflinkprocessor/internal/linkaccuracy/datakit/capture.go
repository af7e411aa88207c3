package datakit

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// keep is how long the agent remembers what a thread served (A3: "GC 10 min").
const keep = 10 * time.Minute

// threadTraces gives each exchange its thread_trace_id as the agent does (A3): a new one for an
// incoming request; for an outgoing one that of the newest incoming request of the same thread, or of
// the same goroutine, that began before it. Goroutines know no parent.
func threadTraces(f *forest.Forest) map[*forest.Span]uint64 {
	out := map[*forest.Span]uint64{}
	if f.Scenario.Keys == 0 {
		return out
	}
	type entry struct {
		id uint64
		at int64
	}
	next := uint64(0)
	for _, messages := range f.Messages() {
		newest := map[uint64]entry{}
		for _, m := range messages {
			switch {
			case m.Response:
			case m.Ingress:
				next++
				newest[m.Context.ID] = entry{next, m.At}
				out[m.Span] = next
			default:
				if e, ok := newest[m.Context.ID]; ok && m.At-e.at <= int64(keep) {
					out[m.Span] = e.id
				}
			}
		}
	}
	return out
}
