package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Where any thread may go on with what another has read, what a thread does next says nothing, however often it fitted.
func TestThreadsThatGoOnWithAnything(t *testing.T) {
	for resumes, want := range map[bool]Outcome{false: Linked, true: Untrusted} {
		for _, kind := range []uint8{answer, wakeBack, notifyBack} {
			t.Run(kinds[kind].hint, func(t *testing.T) {
				s, _ := newSolver()
				s.options.Habits = func(tgid uint32) Habits { return Habits{Resumes: resumes && tgid == reader.Tgid} }
				say := func(call, epoch uint64) {
					s.Evidence(&event.Evidence{What: kind, Call: call, Epoch: epoch, Tgid: reader.Tgid, Ts: 20 * ms})
				}
				for n := range uint64(10000) {
					say(1000+n, 100000+n)
				}
				s.Began(100, 100, 10*ms, reader)
				say(1, 100)
				got := decide(s, Call{ID: 1, Writer: Writer{Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms})
				require.Equal(t, want, got.Outcome)
			})
		}
	}
}
