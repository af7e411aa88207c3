package main

import (
	"fmt"
	"time"
)

// pipeline is a row: a name and the configuration of what stands between otlp and nop.
type pipeline struct {
	name      string
	processor string
	waits     bool
	// processors configures it for n spans that may all wait at once.
	processors func(dir string, o options, n int) string
}

// ours is the pipeline that the others are compared with, the last.
const ours = "ebpflink"

// Each keeps every span and has room for all of them; nothing else differs from the defaults.
var pipelines = []pipeline{
	{name: "nop", processors: func(string, options, int) string { return "{}" }},
	{name: "batch", processor: "batch", processors: func(string, options, int) string { return "{batch: {}}" }},
	{name: "tail_sampling", processor: "tail_sampling", waits: true, processors: func(_ string, o options, n int) string {
		return fmt.Sprintf("{tail_sampling: {decision_wait: %s, num_traces: %d, policies: [{name: all, type: always_sample}]}}", o.window, 2*n)
	}},
	{name: "groupbytrace", processor: "groupbytrace", waits: true, processors: func(_ string, o options, n int) string {
		return fmt.Sprintf("{groupbytrace: {wait_duration: %s, num_traces: %d}}", o.window, 2*n)
	}},
	{name: ours, processor: "ebpf_link", waits: true, processors: func(dir string, o options, n int) string {
		return fmt.Sprintf("{ebpf_link: {window: %s, max_spans_waiting: %d, storage: {directory: %s, sync: interval}}}", o.window, n, dir)
	}},
}

func (p pipeline) config(endpoint string, metricsPort int, store string, o options, n int) string {
	return fmt.Sprintf(`{
receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}}}},
processors: %s,
exporters: {nop: {}},
service: {
  pipelines: {traces: {receivers: [otlp], processors: [%s], exporters: [nop]}},
  telemetry: {logs: {level: warn}, metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]}}}}`,
		endpoint, p.processors(store, o, n), p.processor, metricsPort)
}

// options of a run.
type options struct {
	spans, reps int
	window      time.Duration
	// curve is the numbers of spans at which ebpflink's cost per span is shown.
	curve []int
	dir   string
}
