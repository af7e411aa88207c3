package ebpfspanreceiver

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
)

// A call whose evidence rests on what did not come is decided when it is known whether records were lost, also where no
// request waits to be counted.
func TestLossesAreLookedForBeforeCallsAreDecided(t *testing.T) {
	const ms = uint64(time.Millisecond)
	const goCreated, item = 3, 15 // EVIDENCE_GO_CREATED, EVIDENCE_ITEM
	losses := func(records, unfollowed uint64) []probe.Loss {
		return []probe.Loss{
			{Reason: "events_full", Records: true, Followed: true, Count: records},
			{Reason: "vectors", Followed: true, Count: 7},
			{Reason: "calls_full", Records: true, Count: unfollowed},
		}
	}
	for name, tc := range map[string]struct {
		what   uint8
		losses []probe.Loss
		err    error
		want   causality.Outcome
	}{
		"none":                      {goCreated, losses(0, 0), nil, causality.Linked},
		"some":                      {goCreated, losses(1, 0), nil, causality.Untrusted},
		"some, of what stands":      {item, losses(1, 0), nil, causality.Linked},
		"not followed":              {item, losses(0, 1), nil, causality.Untrusted},
		"not known whether or what": {item, nil, errors.New("no"), causality.Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			looked := 0
			r := &ebpfReceiver{log: zap.NewNop(), counts: &counts{}, writer: spanWriter{clock: event.NewClock()}}
			r.losses = func() ([]probe.Loss, error) { looked++; return tc.losses, tc.err }
			r.solver = causality.NewSolver(causality.Options{
				Hold: 5 * time.Second, Grace: grace, MaxHeld: maxHeld, MaxAge: maxAge,
			}, &r.counts.causality)
			base := r.writer.clock.Now() + uint64(time.Hour)
			r.decide(base, base)
			require.Zero(t, looked, "nothing waits")

			reader := causality.Writer{Tgid: 1, Context: 1, Kind: event.Goroutine}
			r.solver.Began(100, 100, base+10*ms, reader)
			r.solver.Evidence(&event.Evidence{What: tc.what, Tgid: 1, Call: 1, Epoch: 100, Ts: base + 11*ms})
			r.solver.Ended(100, 100, base+20*ms, reader)
			r.solver.Answered(100, 100)
			var got *causality.Answer
			r.solver.Hold(causality.Call{
				ID: 1, Writer: causality.Writer{Tgid: 1, Context: 7}, EndContext: 7, Start: base + 11*ms, End: base + 12*ms,
			}, func(a causality.Answer) { got = &a })
			r.decide(base+200*ms, base+200*ms)
			require.Equal(t, 1, looked)
			r.decide(base+240*ms, base+240*ms)
			require.Equal(t, 1, looked, "not that often")
			require.Nil(t, got, "known up to 200 ms only")
			r.decide(base+260*ms, base+230*ms)
			require.Equal(t, 2, looked)
			require.NotNil(t, got)
			require.Equal(t, tc.want, got.Outcome)
		})
	}
}

// Of each program that did not run it is said once that it did not, and then only where details are asked for.
func TestMissedProgramsAreNamed(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	now := []map[string]uint64{
		nil,
		{"go_send": 2},
		{"go_send": 2},
		{"go_send": 2, "wake": 1},
		{"go_send": 5, "wake": 1},
	}
	r := &ebpfReceiver{log: zap.New(core), counts: &counts{}, writer: spanWriter{clock: event.NewClock()}}
	r.solver = causality.NewSolver(causality.Options{Hold: time.Second}, &r.counts.causality)
	var said []string
	for _, programs := range now {
		r.losses = func() ([]probe.Loss, error) {
			return []probe.Loss{{Reason: "program_missed", Records: true, Programs: programs}}, nil
		}
		r.checkLosses(1)
		for _, l := range logs.TakeAll() {
			f := l.ContextMap()
			said = append(said, fmt.Sprint(l.Level, " ", f["program"], " ", f["times"]))
		}
		said = append(said, "-")
	}
	require.Equal(t, []string{"-", "info go_send 2", "-", "-", "info wake 1", "-", "debug go_send 5", "-"}, said)
}
