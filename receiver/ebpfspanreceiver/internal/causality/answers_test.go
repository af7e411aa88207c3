package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// What was in the queue between a call and an answer is not seen.
func TestAnswersOfAPool(t *testing.T) {
	for name, tc := range map[string]struct {
		sure, empty int
		segment     uint64
		want        Outcome
	}{
		"every task calls and answers": {sure: 100, want: Linked},
		"some answer without a call":   {sure: 100, empty: 1, want: Untrusted},
		"in a loop":                    {sure: 100, empty: 20, segment: 9, want: Linked},
		"hardly ever":                  {sure: 4000, empty: 1, want: Linked},
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
			if tc.segment != 0 {
				s.Evidence(&event.Evidence{What: loop, Call: 1, Epoch: 100, Uses: 2, Tgid: 1})
			}
			s.Began(100, 100, 10*ms, reader)
			s.Evidence(&event.Evidence{
				What: answer, Call: 1, Epoch: 100, Segment: tc.segment, Uses: 1, BaseUses: 1, Tgid: 1, Ts: 20 * ms,
			})
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms}).Outcome)
		})
	}
}

// A loop that mostly reads several responses before it answers has no clear rounds.
func TestAnswersOfALoopThatPutsOff(t *testing.T) {
	for name, tc := range map[string]struct {
		one, many int
		want      Outcome
	}{
		"at once":                {one: 100, many: 30, want: Linked},
		"puts off":               {one: 30, many: 100, want: Untrusted},
		"too few to be told yet": {one: 3, many: 10, want: Linked},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Evidence(&event.Evidence{What: loop, Call: 7, Epoch: 70, Uses: 2, Tgid: 1})
			s.Evidence(&event.Evidence{What: loop, Call: 1, Epoch: 100, Uses: 2, Tgid: 1})
			for i := range tc.one + tc.many {
				uses := uint8(1)
				if i >= tc.one {
					uses = 2
				}
				s.Evidence(&event.Evidence{What: answer, Call: 7, Epoch: 70, Segment: 5, Uses: uses, BaseUses: 1, Tgid: 1})
			}
			s.Began(100, 100, 10*ms, reader)
			s.Evidence(&event.Evidence{What: answer, Call: 1, Epoch: 100, Segment: 9, Uses: 1, BaseUses: 1, Tgid: 1, Ts: 20 * ms})
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms}).Outcome)
		})
	}
}

// Where the answers of a loop follow the responses of calls that the request did not lead to, one that follows the
// response of a call of which nothing is known may be another's.
func TestAnswersOfALoopThatQueuesItsTasks(t *testing.T) {
	for name, tc := range map[string]struct {
		its, others int
		want        Outcome
	}{
		"finishes what it has read":    {its: 1000, want: Linked},
		"hardly ever anything between": {its: 2000, others: 2, want: Linked},
		"something between":            {its: 1000, others: 9, want: Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			say := func(call, epoch uint64, what uint8) {
				s.Evidence(&event.Evidence{
					What: what, Call: call, Epoch: epoch, Segment: 9, Uses: 1, BaseUses: 1, Tgid: 1, Ts: 20 * ms,
				})
			}
			for i := range uint64(tc.its) {
				say(1000+i, 5000+i, loop)
				say(1000+i, 5000+i, answer)
			}
			for i := range uint64(tc.others) {
				say(9000+i, 5000+i, answer)
			}
			s.Began(100, 100, 10*ms, reader)
			say(1, 100, answer)
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms}).Outcome)
		})
	}
}
