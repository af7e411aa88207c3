package main

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/selfmetrics"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

const (
	// metricWhole counts the traces that left before the window was over.
	metricWhole = "otelcol_processor_ebpf_link_traces_whole"
	// metricRequests counts requests by whether it is known how many calls they made.
	metricRequests = "otelcol_receiver_ebpf_span_requests"
)

// sayWhen says how long after the end of a request its trace is complete at the backend, and how many of all
// traces left early.
func (d *demo) sayWhen(v *verdict) {
	after := completedAfter(v.spans, v.load.Requests)
	if len(after) == 0 {
		return
	}
	at := func(q float64) time.Duration { return after[int(q*float64(len(after)-1))].Round(10 * time.Millisecond) }
	d.say("complete at the backend after the end of a request: half within %s, 90 %% within %s, all within %s (window %s)",
		at(0.5), at(0.9), at(1), d.o.window)
	early := 0
	for _, t := range after {
		if t < d.o.window {
			early++
		}
	}
	whole := 0.0
	for series, n := range v.metrics {
		if selfmetrics.Name(series) == metricWhole {
			whole += n
		}
	}
	d.sayCounted(v.metrics)
	d.say("before the window was over: %d of %d traces of requests (%v of all traces of the run)", early, len(after), whole)
}

// sayCounted says of how many requests of each service the receiver knows how many calls they made, and why
// not of the others.
func (d *demo) sayCounted(m selfmetrics.Metrics) {
	for _, series := range slices.Sorted(maps.Keys(m)) {
		if selfmetrics.Name(series) == metricRequests {
			d.say("%s %v", series, m[series])
		}
	}
}

// completedAfter is, sorted, how long after the end of its first span each trace of the load was complete.
func completedAfter(spans []span.Span, requests []plan.Request) []time.Duration {
	ids := map[string]bool{}
	for _, r := range requests {
		ids[r.ID] = true
	}
	wanted := map[pcommon.TraceID]bool{}
	for i := range spans {
		if ids[plan.PathID(spans[i].Path)] {
			wanted[spans[i].Trace] = true
		}
	}
	type when struct{ end, last time.Time }
	traces := map[pcommon.TraceID]when{}
	for i := range spans {
		s := &spans[i]
		if !wanted[s.Trace] {
			continue
		}
		w := traces[s.Trace]
		if s.Parent.IsEmpty() {
			w.end = time.Unix(0, s.End)
		}
		if s.Arrived.After(w.last) {
			w.last = s.Arrived
		}
		traces[s.Trace] = w
	}
	var out []time.Duration
	for _, w := range traces {
		if !w.end.IsZero() {
			out = append(out, w.last.Sub(w.end))
		}
	}
	slices.Sort(out)
	return out
}
