package probe

import "fmt"

// losses are the reasons of bpf/loss.h, in its order.
var losses = [...]struct {
	name string // as telemetry spells it
	// records: of bytes that moved no record tells then, followed: the kernel side knows of them.
	records, followed bool
}{
	{"events_full", true, true},
	{ProcessesFull, false, true},
	{"conns_full", true, false},
	{"calls_full", true, false},
	{"contexts_full", false, true},
	{"payload_fault", false, true},
	{"vectors", false, true},
	{"targets_full", false, true},
	{"goroutine_unreadable", false, true},
	{"virtual_thread_unreadable", false, true},
	{"stream_unreadable", false, true},
	{"python_unreadable", false, true},
	{"async_id_unreadable", false, true},
	{"loops_full", false, true},
	{"read_place_unknown", true, false},
	{"tokio_unreadable", false, true},
}

// ProcessesFull is the reason for which processes stay unknown until /proc is read again.
const ProcessesFull = "processes_full"

// programMissed is the reason that the kernel counts by itself.
const programMissed = "program_missed"

// Loss is how often the kernel side has discarded something, since the programs were loaded.
type Loss struct {
	Reason string
	Count  uint64
	// Records: bytes moved of which no record tells. Followed: but the kernel side knows of them, and what it says of
	// others is as true as ever.
	Records, Followed bool
	// Programs: how often by each, under the reason that the kernel counts by itself; nil where it is 0.
	Programs map[string]uint64
}

// Losses reads every counter.
func (t *Tracer) Losses() ([]Loss, error) {
	out := make([]Loss, len(losses))
	var perCPU []uint64
	for i, of := range losses {
		if err := t.objects.Losses.Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("read loss counter %s: %w", of.name, err)
		}
		out[i].Reason, out[i].Records, out[i].Followed = of.name, of.records, of.followed
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
		missed.add(name, stats.RecursionMisses)
	}
	return append(out, missed), nil
}

// add counts that a program would have run inside another one on the same CPU, so often. Told since Linux 5.12.
func (l *Loss) add(program string, misses uint64) {
	if misses == 0 {
		return
	}
	if l.Programs == nil {
		l.Programs = map[string]uint64{}
	}
	l.Programs[program] = misses
	l.Count += misses
}
