package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Background tasks with a call, and requests without: either alone harms nobody.
func TestAnswersOfAPool(t *testing.T) {
	for name, tc := range map[string]struct {
		sure, empty, silent int
		segment             uint64
		want                Outcome
	}{
		"every task calls and answers": {sure: 100, want: Linked},
		"some answer without a call":   {sure: 100, empty: 50, want: Linked},
		"several calls in one task":    {sure: 100, silent: 200, want: Linked},
		"both":                         {sure: 100, empty: 20, silent: 20, want: Untrusted},
		"both, in a loop":              {sure: 100, empty: 20, silent: 20, segment: 9, want: Linked},
		"both, hardly ever":            {sure: 1000, empty: 10, silent: 20, want: Linked},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			say := func(n int, e event.Evidence) {
				for range n {
					e.Tgid = 1
					s.Evidence(&e)
				}
			}
			say(tc.sure, event.Evidence{What: answer, Call: 7, Epoch: 70, Uses: 1, BaseUses: 1})
			say(tc.empty, event.Evidence{What: answer, Epoch: 71, BaseUses: 1})
			say(tc.silent, event.Evidence{What: next, Call: 8, Epoch: 7, Base: worker})
			s.Began(100, 100, 10*ms, reader)
			s.Evidence(&event.Evidence{
				What: answer, Call: 1, Epoch: 100, Segment: tc.segment, Uses: 1, BaseUses: 1, Tgid: 1, Ts: 20 * ms,
			})
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms}).Outcome)
		})
	}
}
