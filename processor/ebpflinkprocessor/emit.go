package ebpflinkprocessor

import (
	"cmp"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
)

// assemble reads the payload of out and writes ids and evidence on it. Resources, scopes and schema
// URLs stay as they came. The spans are cut out of their encoded batches, so that each is decoded once,
// however many deliveries a batch leaves in.
func (p *linkProcessor) assemble(out []departure) (ptrace.Traces, error) {
	order := p.scratch.loud[:0]
	for _, o := range p.scratch.sort(out) {
		if !out[o.at].silent {
			order = append(order, o)
		}
	}
	p.scratch.loud = order
	td := ptrace.NewTraces()
	for at := 0; at < len(order); {
		seq := order[at].seq
		ordinals, stripped := p.scratch.ordinals[:0], p.scratch.stripped[:0]
		for ; at < len(order) && order[at].seq == seq; at++ {
			ordinals = append(ordinals, order[at].ordinal)
			stripped = append(stripped, out[order[at].at].raw && !p.cfg.KeepLinkAttrs)
		}
		p.scratch.ordinals, p.scratch.stripped = ordinals, stripped
		err := p.payloads.load(seq, func(payload []byte) error {
			return p.scratch.decoder.take(td, payload, ordinals, stripped)
		})
		if err != nil {
			return ptrace.Traces{}, err
		}
	}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				p.finish(s, &out[order[0].at])
				order = order[1:]
			}
		}
	}
	return td, nil
}

// place is where a departure's payload is; at is its index.
type place struct {
	seq         uint64
	ordinal, at uint32
}

// scratch is room that one delivery leaves to the next; only the loop uses it.
type scratch struct {
	out []departure
	// order is that of the departures in the storage, loud of those that are not silent.
	order, loud []place
	// ordinals are those of the spans of one batch, stripped says which come without link attributes.
	ordinals   []uint32
	stripped   []bool
	decoder    decoder
	evidence   evidence
	departures []store.Departure
	touched    []*batch
}

// sort returns the places of out in order: of a few batches, whose spans left in order mostly.
func (s *scratch) sort(out []departure) []place {
	s.touched = s.touched[:0]
	for i := range out {
		b := out[i].batch
		if b.leaving == 0 {
			s.touched = append(s.touched, b)
		}
		b.leaving++
	}
	slices.SortFunc(s.touched, func(a, b *batch) int { return cmp.Compare(a.seq, b.seq) })
	s.order = slices.Grow(s.order[:0], len(out))[:len(out)]
	from := 0
	for _, b := range s.touched {
		// From here on the place of its next span in order.
		from, b.leaving = from+b.leaving, from
	}
	for i := range out {
		b := out[i].batch
		s.order[b.leaving] = place{b.seq, out[i].ordinal, uint32(i)}
		b.leaving++
	}
	from = 0
	byOrdinal := func(a, b place) int { return cmp.Compare(a.ordinal, b.ordinal) }
	for _, b := range s.touched {
		if run := s.order[from:b.leaving]; !slices.IsSortedFunc(run, byOrdinal) {
			slices.SortFunc(run, byOrdinal)
		}
		from, b.leaving = b.leaving, 0
	}
	return s.order
}

// mostDepartures is how many departures beside those of a usual delivery the room is kept for.
const mostDepartures = 4096

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
	if d.adoptions != nil {
		adopt(s, d.adoptions)
	}
	attrs := s.Attributes()
	if d.linkedHere() {
		p.scratch.evidence.put(attrs, &m.Edge)
	}
	if p.cfg.Explain {
		explain(attrs.PutEmptyMap(rawspan.AttrExplain), d)
	}
}

// adopt names the children that had left before s came.
func adopt(s ptrace.Span, a *trace.Adoptions) {
	for i := range a.Children {
		c := &a.Children[i]
		l := s.Links().AppendEmpty()
		l.SetTraceID(pcommon.TraceID(c.Trace))
		l.SetSpanID(pcommon.SpanID(c.Span))
		l.Attributes().PutBool(rawspan.AttrChild, true)
		l.Attributes().PutStr(rawspan.AttrRule, c.Edge.Rule)
		l.Attributes().PutDouble(rawspan.AttrConfidence, confidence(c.Edge.Confidence))
		l.Attributes().PutInt(rawspan.AttrCandidates, int64(c.Edge.Candidates))
	}
	s.SetDroppedLinksCount(s.DroppedLinksCount() + uint32(a.Beyond))
}

// linkedHere: the parent was found here and not stated by the span itself.
func (d *departure) linkedHere() bool {
	m := &d.member
	return m.Inherited || (m.Edge.Parent != link.None && !m.Conflict && !m.Edge.Stated)
}
