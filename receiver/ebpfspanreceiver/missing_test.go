package ebpfspanreceiver

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func TestMissingIsBounded(t *testing.T) {
	var m missing
	for i := range 3 * maxMissingServices {
		for j := range 3 * maxMissingParts {
			m.note("s"+strconv.Itoa(i), strconv.Itoa(j))
			m.note("s"+strconv.Itoa(i), strconv.Itoa(j))
		}
	}
	require.Len(t, m.parts, maxMissingServices)
	require.Len(t, m.of("s0"), maxMissingParts)
	require.Empty(t, m.of("s"+strconv.Itoa(maxMissingServices)))
}

// What is missing is said of services that have calls without a request, and of no others.
func TestRecallReport(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	r := &ebpfReceiver{log: zap.New(core), counts: &counts{}}
	services := map[uint32]string{1: "shop", 2: "idle", 3: "whole"}
	s := causality.NewSolver(causality.Options{MaxHeld: 10, Identify: func(tgid uint32) (uint64, string) {
		return 1, services[tgid]
	}}, &r.counts.causality)
	for tgid := uint32(1); tgid <= 3; tgid++ {
		s.Evidence(&event.Evidence{What: 1, Tgid: tgid, Call: 9, Epoch: 9})
	}
	s.Hold(causality.Call{ID: 1, Writer: causality.Writer{Tgid: 1}, Start: 1, End: 2}, func(causality.Answer) {})
	s.Hold(causality.Call{ID: 3, Writer: causality.Writer{Tgid: 3}, Start: 1, End: 2}, func(causality.Answer) {})
	s.Flush()
	r.counts.missing.note("shop", "the probe of runtime.send")
	r.counts.missing.note("idle", "the probe of runtime.send")
	r.recallReport()
	require.Equal(t, 1, logs.Len())
	fields := logs.All()[0].ContextMap()
	require.Equal(t, "shop", fields["service.name"])
	require.EqualValues(t, 1, fields["calls"])
	require.Equal(t, []any{"the probe of runtime.send"}, fields["missing"])
}
