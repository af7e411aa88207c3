package causality

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// TestWakes: what else is seen in a process decides whether the wake-up of epoch 1 for call 1 is believed.
func TestWakes(t *testing.T) {
	woken := func(call, epoch uint64, doubts uint8) event.Evidence {
		return event.Evidence{What: wakeBack, Call: call, Epoch: epoch, BaseUses: doubts, Segment: 7}
	}
	silent := event.Evidence{What: next, Call: 100, Epoch: 101, Base: worker}
	for name, tc := range map[string]struct {
		doubts uint8
		uses   uint8
		seen   []event.Evidence
		times  int
		want   bool
	}{
		"alone":                          {want: true},
		"a lock may have woken it":       {doubts: unknown},
		"passed on":                      {uses: 1},
		"went to sleep later":            {doubts: sleptLater},
		"waker serves":                   {doubts: serves},
		"silent ends only":               {seen: []event.Evidence{silent}, times: 50, want: true},
		"many empty ends":                {seen: []event.Evidence{woken(0, 50, 0)}, times: 50}, // the first silent one would be mistaken
		"some empty ends only":           {seen: []event.Evidence{woken(0, 50, 0)}, times: 5, want: true},
		"both":                           {seen: []event.Evidence{silent, woken(0, 50, 0)}, times: 50},
		"both are rare":                  {seen: []event.Evidence{silent, woken(0, 50, 0)}, times: 1, want: true},
		"woke others, no empty ends":     {doubts: othersToo, want: true},
		"woke others, empty ends":        {doubts: othersToo, seen: []event.Evidence{woken(0, 50, 0)}, times: 1},
		"a lock is held during calls":    {seen: []event.Evidence{woken(9, 50, serves)}, times: 3},
		"a lock is taken after calls":    {seen: []event.Evidence{woken(9, 50, serves|sleptLater)}, times: 3, want: true},
		"the place is a lock":            {seen: []event.Evidence{woken(0, 0, lockFound)}, times: 1},
		"a task without a call after it": {seen: []event.Evidence{woken(1, 50, doneBefore)}, times: 1, want: true},
		"others for nobody":              {seen: []event.Evidence{woken(3, 50, unaidedWaker|doneBefore)}, times: 50, want: true},
		"others by who knows what":       {seen: []event.Evidence{woken(3, 50, unknown)}, times: 50, want: true},
		"another by who knows what, then again": {
			seen: []event.Evidence{woken(1, 50, unknown), woken(2, 1, 0)}, times: 1,
		},
		"woken again": {
			seen: []event.Evidence{woken(1, 50, doneBefore), woken(2, 1, 0)}, times: 1,
		},
		"who was woken calls": {seen: []event.Evidence{{What: sameThread, Epoch: 1, Call: 5}}, times: 1},
		"another one calls":   {seen: []event.Evidence{{What: sameThread, Epoch: 2, Call: 5}}, times: 1, want: true},
		"two tasks in turn":   {seen: []event.Evidence{woken(2, 1, 0)}, times: 1, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSolver(Options{}, &Counts{})
			w := &s.processes.of(0).wakes
			for i := range uint64(100) {
				e := woken(1000+i, 2000+i, 0)
				w.saw(&e)
			}
			first := woken(1, 1, tc.doubts)
			first.Uses = tc.uses
			w.saw(&first)
			for range tc.times {
				for _, e := range tc.seen {
					w.saw(&e)
				}
			}
			e := edge{to: 1, segment: 7, kind: wakeBack, uses: tc.uses, baseUses: tc.doubts}
			require.Equal(t, tc.want, completes.keeps(s, &e, &Call{ID: 1}))
		})
	}
}

// TestAided: a wake-up by who has begun by itself is not believed, and counts for nothing.
func TestAided(t *testing.T) {
	link := func(doubts uint8) Answer {
		s, _ := newSolver()
		s.options.Explain = true
		at := 1000 * ms
		s.Began(100, 100, at, Writer{Tgid: 1, Tid: 1})
		s.Evidence(&event.Evidence{What: wakeBack, Tgid: 1, Call: 7, Epoch: 100, BaseUses: doubts, Segment: 9, Ts: at + 4*ms})
		var got Answer
		s.Hold(Call{ID: 7, Writer: Writer{Tgid: 1, Tid: 2}, EndTid: 2, Start: at + ms, End: at + 3*ms}, func(a Answer) { got = a })
		s.Ended(100, 100, at+5*ms, Writer{Tgid: 1, Tid: 1})
		s.Tick(at + uint64(10*time.Second))
		s.Flush()
		return got
	}
	require.Equal(t, uint64(100), link(0).Request)
	got := link(unaidedWaker)
	require.Equal(t, Untrusted, got.Outcome)
	require.Equal(t, []string{"wake_back: begun_for_nobody"}, got.Refused)
}

// TestWakesBounded: what is remembered of one process does not grow for ever.
func TestWakesBounded(t *testing.T) {
	var w wakes
	for i := range uint64(10 * wakesKept) {
		w.saw(&event.Evidence{What: wakeBack, Call: i + 1, Epoch: i, BaseUses: doneBefore, Segment: i})
		w.saw(&event.Evidence{What: wakeBack, BaseUses: lockFound, Segment: i})
		w.saw(&event.Evidence{What: wakeBack, Call: i + 1, Epoch: i, Segment: i})
		w.saw(&event.Evidence{What: sameThread, Call: i + 2, Epoch: i})
	}
	require.LessOrEqual(t, len(w.latest.now)+len(w.latest.old)+len(w.ended.now)+len(w.ended.old)+len(w.followed.now)+len(w.followed.old), 2*wakesKept+6)
	require.LessOrEqual(t, len(w.locked), wakesKept+1)
	require.LessOrEqual(t, w.sure+w.silent+w.empty+w.locks, float64(wakesCounted))
}

// A thread that is woken while a request which it has read is open waits for the result of a call of that, unless
// requests change hands: then it is a worker, which waits for anything.
func TestWakesOfWorkers(t *testing.T) {
	for name, tc := range map[string]struct {
		answerer uint32
		want     Outcome
	}{
		"sees its requests through": {answerer: 7, want: Linked},
		"hands requests over":       {answerer: 8, want: Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(50, 50, 1*ms, Writer{Tgid: 1, Tid: 7})
			s.Ended(50, 50, 2*ms, Writer{Tgid: 1, Tid: tc.answerer})
			s.Began(100, 100, 10*ms, Writer{Tgid: 1, Tid: 7})
			s.Evidence(&event.Evidence{What: wakeBack, Call: 1, Epoch: 100, Tgid: 1, Ts: 20 * ms})
			s.Ended(100, 100, 30*ms, Writer{Tgid: 1, Tid: 7})
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5, Start: 11 * ms, End: 12 * ms}).Outcome)
		})
	}
}
