package ebpflinkprocessor

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// telemetry turns what happened into the metrics of metadata.yaml.
type telemetry struct {
	*metadata.TelemetryBuilder
	// deliveries numbers those of departed.
	deliveries uint64
	// What departed has counted of a delivery.
	linked, ambiguous, adopted, orphaned tally[string]
	unlinked                             tally[nearest]
}

// nearest is why a span has no parent, and the rule that came nearest to one.
type nearest struct{ reason, rule string }

const (
	// parentAbsent: the parent is known and was not seen.
	parentAbsent = "parent_absent"
	// noRule is the rule where the span refers to nothing.
	noRule = "none"
)

// tally counts by names, of which there are few: in most spans the last one again.
type tally[K comparable] struct {
	names  []K
	counts []int64
	last   int
}

// add counts n more of a name.
func (t *tally[K]) add(name K, n int64) {
	if t.last < len(t.names) && t.names[t.last] == name {
		t.counts[t.last] += n
		return
	}
	if t.last = slices.Index(t.names, name); t.last < 0 {
		t.last = len(t.names)
		t.names, t.counts = append(t.names, name), append(t.counts, 0)
	}
	t.counts[t.last] += n
}

// report adds what was counted to c, each under what of says, and begins again.
func (t *tally[K]) report(ctx context.Context, c metric.Int64Counter, of func(K) metric.MeasurementOption) {
	for i, n := range t.counts {
		if n > 0 {
			c.Add(ctx, n, of(t.names[i]))
		}
	}
	clear(t.counts)
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	b, err := metadata.NewTelemetryBuilder(set)
	if err != nil {
		return nil, err
	}
	return &telemetry{TelemetryBuilder: b}, nil
}

func (t *telemetry) observe(read func() (waiting, facts, size int64), times func() (lag, oldest time.Duration), limit int64) error {
	gauge := func(get func() int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(get())
			return nil
		}
	}
	seconds := func(get func() time.Duration) metric.Float64Callback {
		return func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(get().Seconds())
			return nil
		}
	}
	for _, reg := range []func() error{
		func() error {
			return t.RegisterProcessorEbpfLinkSpansWaitingCallback(gauge(func() int64 { w, _, _ := read(); return w }))
		},
		func() error {
			return t.RegisterProcessorEbpfLinkFactsCallback(gauge(func() int64 { _, f, _ := read(); return f }))
		},
		func() error {
			return t.RegisterProcessorEbpfLinkStoreSizeCallback(gauge(func() int64 { _, _, s := read(); return s }))
		},
		func() error {
			return t.RegisterProcessorEbpfLinkWindowLagCallback(seconds(func() time.Duration { lag, _ := times(); return lag }))
		},
		func() error {
			return t.RegisterProcessorEbpfLinkOldestFactAgeCallback(seconds(func() time.Duration { _, oldest := times(); return oldest }))
		},
		func() error {
			return t.RegisterProcessorEbpfLinkSpansWaitingLimitCallback(gauge(func() int64 { return limit }))
		},
	} {
		if err := reg(); err != nil {
			return err
		}
	}
	return nil
}

func with(key, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(key, value)))
}

func ofRule(name string) metric.MeasurementOption   { return with("rule", name) }
func ofReason(name string) metric.MeasurementOption { return with("reason", name) }

func (n nearest) of() metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", n.reason), attribute.String("rule", n.rule)))
}

// unlinkedOf is what m, which has no parent that was found here, is counted as.
func unlinkedOf(m *trace.Member) nearest {
	n := nearest{m.Edge.Outcome.String(), m.Edge.Rule}
	switch {
	case m.Conflict:
		n.reason = "trace_conflict"
	case m.Cut:
		n.reason = "cycle"
	case m.Inherited:
		n.reason = parentAbsent
	case m.Absent && m.Edge.Outcome == link.NoCandidate:
		// What names it is a header or an SDK, whichever rules looked for others.
		n = nearest{parentAbsent, link.AppContext}
	}
	if n.rule == "" {
		n.rule = noRule
	}
	return n
}

func (t *telemetry) received(ctx context.Context, n, malformed, duplicates, pending int) {
	t.ProcessorEbpfLinkSpansReceived.Add(ctx, int64(n))
	add := func(c metric.Int64Counter, n int) {
		if n > 0 {
			c.Add(ctx, int64(n))
		}
	}
	add(t.ProcessorEbpfLinkAttributesMalformed, malformed)
	add(t.ProcessorEbpfLinkSpansDuplicate, duplicates)
	add(t.ProcessorEbpfLinkSpansPending, pending)
}

func (t *telemetry) refuse(ctx context.Context, n int, reason string) {
	t.ProcessorEbpfLinkSpansRefused.Add(ctx, int64(n), with("reason", reason))
}

func (t *telemetry) drop(ctx context.Context, n int, reason string) {
	t.ProcessorEbpfLinkSpansDropped.Add(ctx, int64(n), with("reason", reason))
}

// sampledOut counts the spans of a delivery that were not to be delivered.
func (t *telemetry) sampledOut(ctx context.Context, out []departure) {
	var by [4]int
	for i := range out {
		if d := out[i].member.Decision; d.Dropped() {
			by[d]++
		}
	}
	for d, n := range by {
		if n > 0 {
			t.drop(ctx, n, sampling.Decision(d).String())
		}
	}
}

// decided counts the decisions about traces, and the traces that did not wait for the window.
func (t *telemetry) decided(ctx context.Context, by [4]int, whole int) {
	if whole > 0 {
		t.ProcessorEbpfLinkTracesWhole.Add(ctx, int64(whole))
	}
	for d, n := range by {
		if n > 0 {
			t.ProcessorEbpfLinkTracesDecided.Add(ctx, int64(n), with("decision", sampling.Decision(d).String()))
		}
	}
}

func (t *telemetry) storeError(ctx context.Context, operation string) {
	t.ProcessorEbpfLinkStoreErrors.Add(ctx, 1, with("operation", operation))
}

func (t *telemetry) retire(ctx context.Context, expired, surplus, overflow, clocks int) {
	for _, r := range []struct {
		n      int
		reason string
	}{{expired, "link_retention"}, {surplus, "max_link_facts"}, {overflow, "definitions_per_key"}, {clocks, "clocks_of_host_pairs"}} {
		if r.n > 0 {
			t.ProcessorEbpfLinkFactsRetired.Add(ctx, int64(r.n), with("reason", r.reason))
		}
	}
}

// departed counts what left in one delivery. The spans of a batch have waited equally long, so that is
// recorded once for those that leave together: a histogram takes one value at a time.
func (t *telemetry) departed(ctx context.Context, ix *link.Index, out []departure, now window.Instant) {
	var emitted, late, conflicts int64
	t.deliveries++
	for i := range out {
		d := &out[i]
		if d.silent {
			continue
		}
		emitted++
		m := &d.member
		if m.Conflict {
			conflicts++
		}
		if m.Conflict || m.Edge.Parent == link.None {
			t.unlinked.add(unlinkedOf(m), 1)
		} else {
			t.linked.add(m.Edge.Rule, 1)
		}
		if m.Edge.Ambiguous != 0 {
			ix.AmbiguousRules(m.Edge, func(rule string) { t.ambiguous.add(rule, 1) })
		}
		if a := d.adoptions; a != nil {
			for i := range a.Children {
				t.adopted.add(a.Children[i].Edge.Rule, 1)
			}
			t.orphaned.add("cycle", int64(a.Above))
			t.orphaned.add("ancestor_waits", int64(a.Unsettled))
			t.orphaned.add("link_limit", int64(a.Beyond))
		}
		if m.Left != 0 && int64(d.at) > m.Left {
			late++
		}
		if d.batch.delivery != t.deliveries {
			d.batch.delivery = t.deliveries
			t.ProcessorEbpfLinkReleaseLatency.Record(ctx, time.Duration(now-d.at).Seconds())
		}
	}
	t.ProcessorEbpfLinkSpansEmitted.Add(ctx, emitted)
	if late > 0 {
		t.ProcessorEbpfLinkSpansLate.Add(ctx, late)
	}
	if conflicts > 0 {
		t.ProcessorEbpfLinkTraceConflicts.Add(ctx, conflicts)
	}
	t.adopted.report(ctx, t.ProcessorEbpfLinkSpansAdopted, ofRule)
	t.orphaned.report(ctx, t.ProcessorEbpfLinkSpansOrphaned, ofReason)
	t.linked.report(ctx, t.ProcessorEbpfLinkSpansLinked, ofRule)
	t.unlinked.report(ctx, t.ProcessorEbpfLinkSpansUnlinked, nearest.of)
	t.ambiguous.report(ctx, t.ProcessorEbpfLinkSpansAmbiguous, ofRule)
}
