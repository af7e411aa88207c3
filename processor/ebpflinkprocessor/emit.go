package ebpflinkprocessor

import (
	"cmp"
	"math"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// assemble reads the payload of out and writes ids and evidence on it. Resources, scopes and schema
// URLs stay as they came.
func (p *linkProcessor) assemble(out []departure) (ptrace.Traces, error) {
	byBatch := make([]*departure, 0, len(out))
	for i := range out {
		if !out[i].silent {
			byBatch = append(byBatch, &out[i])
		}
	}
	slices.SortFunc(byBatch, func(a, b *departure) int {
		return cmp.Or(cmp.Compare(a.batch.seq, b.batch.seq), cmp.Compare(a.ordinal, b.ordinal))
	})
	td := ptrace.NewTraces()
	for len(byBatch) > 0 {
		seq := byBatch[0].batch.seq
		n := 1
		for n < len(byBatch) && byBatch[n].batch.seq == seq {
			n++
		}
		batch, err := p.payloads.load(seq)
		if err != nil {
			return td, err
		}
		p.pick(batch, byBatch[:n])
		batch.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
		byBatch = byBatch[n:]
	}
	return td, nil
}

// pick leaves the spans of ds, which are in order, in td and finishes them.
func (p *linkProcessor) pick(td ptrace.Traces, ds []*departure) {
	ordinal := uint32(0)
	td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool {
				n := ordinal
				ordinal++
				if len(ds) == 0 || ds[0].ordinal != n {
					return true
				}
				p.finish(s, ds[0])
				ds = ds[1:]
				return false
			})
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
}

// finish writes what linking found on s.
func (p *linkProcessor) finish(s ptrace.Span, d *departure) {
	m := &d.member
	before := s.TraceState().AsRaw()
	if state := p.sampler.State(before, s.TraceID(), m.Trace, m.Odds); state != before {
		s.TraceState().FromRaw(state)
	}
	if t := pcommon.TraceID(m.Trace); s.TraceID() != t {
		s.SetTraceID(t)
	}
	if id := pcommon.SpanID(m.Parent); s.ParentSpanID() != id {
		s.SetParentSpanID(id)
	}
	if d.appTrace != (link.TraceID{}) {
		l := s.Links().AppendEmpty()
		l.SetTraceID(pcommon.TraceID(d.appTrace))
		l.SetSpanID(pcommon.SpanID(d.appSpan))
	}
	if d.lateTrace != (link.TraceID{}) {
		l := s.Links().AppendEmpty()
		l.SetTraceID(pcommon.TraceID(d.lateTrace))
		l.SetSpanID(pcommon.SpanID(d.lateSpan))
		l.Attributes().PutBool(rawspan.AttrLate, true)
	}
	attrs := s.Attributes()
	if d.raw && !p.cfg.KeepLinkAttrs {
		attrs.RemoveIf(func(k string, _ pcommon.Value) bool { return rawspan.IsLinkAttr(k) })
	}
	if d.linkedHere() {
		attrs.PutStr(rawspan.AttrRule, m.Edge.Rule)
		attrs.PutDouble(rawspan.AttrConfidence, confidence(m.Edge.Confidence))
		attrs.PutInt(rawspan.AttrCandidates, int64(m.Edge.Candidates))
	}
	if len(d.explain) > 0 {
		lines := attrs.PutEmptySlice(rawspan.AttrExplain)
		for _, line := range d.explain {
			lines.AppendEmpty().SetStr(line)
		}
	}
}

// linkedHere: the parent was found here and not stated by the span itself.
func (d *departure) linkedHere() bool {
	m := &d.member
	return m.Edge.Parent != link.None && !m.Conflict && !m.Edge.Stated
}

// confidence is stored in half the space; six digits of it are meant.
func confidence(c float32) float64 { return math.Round(float64(c)*1e6) / 1e6 }
