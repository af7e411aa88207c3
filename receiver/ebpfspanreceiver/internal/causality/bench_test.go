package causality

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// BenchmarkCall is all that one call costs while a thousand wait: its evidence, Hold, and its share of
// a Tick and of its request.
func BenchmarkCall(b *testing.B) {
	o := modelOptions()
	s := NewSolver(o, &Counts{})
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		ts := i * ms
		s.Began(i, i, ts, reader)
		s.Evidence(&event.Evidence{What: channel, Call: i, Epoch: i, Ts: ts, Tgid: 1})
		s.Evidence(&event.Evidence{What: channelBack, Call: i, Epoch: i, Ts: ts, Tgid: 1})
		s.Hold(Call{ID: i, Writer: reader, Start: ts, End: ts + 1}, func(Answer) {})
		s.Ended(i, i, ts+ms, reader)
		if i%100 == 0 { // ten times a second, and a call waits for two of them
			s.Tick(ts)
		}
	}
}
