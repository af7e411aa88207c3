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
		"the odd one out":        {one: 0, many: 10, want: Untrusted},
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

// Where a loop queues what it has read, one response alone does not tell what led to the answer.
func TestAnswersOfALoopThatQueuesItsTasks(t *testing.T) {
	for tgid, want := range map[uint32]Outcome{1: Linked, 2: Untrusted} {
		s, _ := newSolver()
		s.options.Habits = func(tgid uint32) Habits { return Habits{Queues: tgid == 2} }
		w := reader
		w.Tgid = tgid
		s.Began(100, 100, 10*ms, w)
		s.Evidence(&event.Evidence{What: answer, Call: 1, Epoch: 100, Segment: 9, Uses: 1, BaseUses: 1, Tgid: tgid, Ts: 20 * ms})
		got := decide(s, Call{ID: 1, Writer: Writer{Tgid: tgid, Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms})
		require.Equal(t, want, got.Outcome, tgid)
	}
}
