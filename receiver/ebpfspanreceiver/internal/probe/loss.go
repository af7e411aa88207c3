package probe

import "fmt"

// lossNames are the reasons of bpf/loss.h, as telemetry spells them.
var lossNames = [...]string{
	"events_full", "processes_full", "conns_full", "calls_full", "contexts_full",
	"payload_fault", "vectors", "targets_full", "goroutine_unreadable", "virtual_thread_unreadable",
	"stream_unreadable", "python_unreadable",
	"async_id_unreadable", "loops_full", "read_place_unknown", "tokio_unreadable",
}

// Loss is how often the kernel side has discarded something, since the programs were loaded.
type Loss struct {
	Reason string
	Count  uint64
}

// Losses reads every counter.
func (t *Tracer) Losses() ([]Loss, error) {
	out := make([]Loss, len(lossNames))
	var perCPU []uint64
	for i, name := range lossNames {
		if err := t.objects.Losses.Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("read loss counter %s: %w", name, err)
		}
		out[i].Reason = name
		for _, n := range perCPU {
			out[i].Count += n
		}
	}
	missed := Loss{Reason: "program_missed"}
	for name, p := range t.programs() {
		stats, err := p.Stats()
		if err != nil {
			return nil, fmt.Errorf("read statistics of program %s: %w", name, err)
		}
		// It would have run inside another program on the same CPU. Counted since Linux 5.12.
		missed.Count += stats.RecursionMisses
	}
	return append(out, missed), nil
}
