package ebpfspanreceiver

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadatatest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
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
	r.recallReport(false)
	require.Equal(t, 1, logs.Len())
	fields := logs.All()[0].ContextMap()
	require.Equal(t, "shop", fields["service.name"])
	require.EqualValues(t, 1, fields["calls"])
	require.EqualValues(t, 1, fields["of"])
	require.Equal(t, []any{"the probe of runtime.send"}, fields["missing"])

	r.recallReport(false)
	require.Equal(t, 1, logs.Len(), "it is said once")
	for id := range uint64(saidAgain - 1) {
		s.Hold(causality.Call{ID: 10 + id, Writer: causality.Writer{Tgid: 1}, Start: 1, End: 2}, func(causality.Answer) {})
	}
	s.Flush()
	r.recallReport(false)
	require.Equal(t, 2, logs.Len(), "it costs more now")
	require.EqualValues(t, saidAgain, logs.All()[1].ContextMap()["calls"])
	r.recallReport(true)
	require.Equal(t, 3, logs.Len(), "it is said at the end")
}

// What is missing is said of the calls that have no request, too.
func TestMissingRefused(t *testing.T) {
	var m missing
	m.note("shop", "the probe of runtime.send")
	require.Equal(t, []string{"no_evidence", "missing: the probe of runtime.send"}, m.refused("shop", []string{"no_evidence"}))
	require.Equal(t, []string{"no_evidence"}, m.refused("other", []string{"no_evidence"}))
}

// A hook that is not there is missing in every service, if links need it.
func TestMissingHooks(t *testing.T) {
	var m missing
	m.hooks("shop", []probe.Status{
		{Hook: "tp_btf/sched_waking", State: probe.Failed, Links: "calls of pools are not linked"},
		{Hook: "sys_enter/sendfile64", State: probe.Failed},
		{Hook: "sys_enter/poll"},
	})
	require.Equal(t, []string{"the hook tp_btf/sched_waking: calls of pools are not linked"}, m.of("shop"))
}

// What is missing is shown with what it has cost.
func TestMissingTelemetry(t *testing.T) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	built, err := metadata.NewTelemetryBuilder(tel.NewTelemetrySettings())
	require.NoError(t, err)
	r := &ebpfReceiver{counts: &counts{}}
	s := causality.NewSolver(causality.Options{MaxHeld: 10, Identify: func(uint32) (uint64, string) { return 1, "shop" }}, &r.counts.causality)
	s.Hold(causality.Call{ID: 1, Writer: causality.Writer{Tgid: 1}, Start: 1, End: 2}, func(causality.Answer) {})
	s.Flush()
	r.counts.missing.note("shop", "the probe of runtime.send")
	r.counts.missing.note("idle", "the tasks of its tokio")
	require.NoError(t, built.RegisterReceiverEbpfSpanMissingCallback(r.observeMissing))
	point := func(service, part string, calls int64) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: calls, Attributes: attribute.NewSet(attribute.String("part", part), attribute.String("service", service))}
	}
	metadatatest.AssertEqualReceiverEbpfSpanMissing(t, tel, []metricdata.DataPoint[int64]{
		point("shop", "the probe of runtime.send", 1), point("idle", "the tasks of its tokio", 0),
	}, metricdatatest.IgnoreTimestamp())
}

// Why calls have no request is counted, explained or not.
func TestRefusedTelemetry(t *testing.T) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	built, err := metadata.NewTelemetryBuilder(tel.NewTelemetrySettings())
	require.NoError(t, err)
	r := &ebpfReceiver{counts: &counts{}}
	s := causality.NewSolver(causality.Options{MaxHeld: 10, Identify: func(uint32) (uint64, string) { return 1, "shop" }}, &r.counts.causality)
	const wake, connected = 12, 14 // EVIDENCE_WAKE, EVIDENCE_CONNECTED
	s.Began(100, 100, 1, causality.Writer{Tgid: 1})
	for call := range uint64(3) {
		for _, what := range []uint8{wake, connected}[:min(call, 2)] {
			s.Evidence(&event.Evidence{What: what, Tgid: 1, Call: call + 1, Epoch: 100})
		}
		s.Hold(causality.Call{ID: call + 1, Writer: causality.Writer{Tgid: 1}, Start: 1, End: 2}, func(causality.Answer) {})
	}
	s.Flush()
	require.NoError(t, built.RegisterReceiverEbpfSpanEvidenceRefusedCallback(r.observeRefused))
	point := func(kind, reason string, calls int64) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: calls, Attributes: attribute.NewSet(
			attribute.String("kind", kind), attribute.String("reason", reason), attribute.String("service", "shop"))}
	}
	metadatatest.AssertEqualReceiverEbpfSpanEvidenceRefused(t, tel, []metricdata.DataPoint[int64]{
		point("wake", "never_alone", 2), point("connected", "never_alone", 1),
	}, metricdatatest.IgnoreTimestamp())
}
