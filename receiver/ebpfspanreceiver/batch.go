//go:build linux

package ebpfspanreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// batch collects spans by process.
type batch struct {
	version string
	td      ptrace.Traces
	byPID   map[*process.Process]ptrace.SpanSlice
	spans   int
	since   time.Time
}

func newBatch(version string) *batch {
	return &batch{version: version, td: ptrace.NewTraces(), byPID: map[*process.Process]ptrace.SpanSlice{}}
}

// of is where the spans of p go; the caller appends one.
func (b *batch) of(p *process.Process) ptrace.SpanSlice {
	if b.spans == 0 {
		b.since = time.Now()
	}
	b.spans++
	if s, ok := b.byPID[p]; ok {
		return s
	}
	rs := b.td.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl(rawspan.SchemaURL)
	putResource(rs.Resource(), p)
	ss := rs.ScopeSpans().AppendEmpty()
	ss.SetSchemaUrl(rawspan.SchemaURL)
	ss.Scope().SetName(rawspan.ScopeName)
	ss.Scope().SetVersion(b.version)
	b.byPID[p] = ss.Spans()
	return ss.Spans()
}

func (b *batch) due(now time.Time) bool { return b.spans > 0 && now.Sub(b.since) >= flushAfter }

func (b *batch) take() (ptrace.Traces, bool) {
	if b.spans == 0 {
		return ptrace.Traces{}, false
	}
	td := b.td
	*b = *newBatch(b.version)
	return td, true
}
