package probe

import "fmt"

// losses are the reasons of bpf/loss.h, in its order.
var losses = [...]struct {
	name string // as telemetry spells it
	// records: of bytes that moved no record tells then.
	records bool
}{
	{"events_full", true},
	{"processes_full", false},
	{"conns_full", true},
	{"calls_full", true},
	{"contexts_full", false},
	{"payload_fault", false},
	{"vectors", false},
	{"targets_full", false},
	{"goroutine_unreadable", false},
	{"virtual_thread_unreadable", false},
	{"stream_unreadable", false},
	{"python_unreadable", false},
	{"async_id_unreadable", false},
	{"loops_full", false},
	{"read_place_unknown", true},
	{"tokio_unreadable", false},
}

// programMissed is the reason that the kernel counts by itself.
const programMissed = "program_missed"

// Loss is how often the kernel side has discarded something, since the programs were loaded.
type Loss struct {
	Reason string
	Count  uint64
	// Records: bytes moved of which no record tells.
	Records bool
}

// Losses reads every counter.
func (t *Tracer) Losses() ([]Loss, error) {
	out := make([]Loss, len(losses))
	var perCPU []uint64
	for i, of := range losses {
		if err := t.objects.Losses.Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("read loss counter %s: %w", of.name, err)
		}
		out[i].Reason, out[i].Records = of.name, of.records
		for _, n := range perCPU {
			out[i].Count += n
		}
	}
	missed := Loss{Reason: programMissed, Records: true}
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
