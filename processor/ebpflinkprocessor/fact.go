package ebpflinkprocessor

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
)

// facts reads what linking needs from each span of td, in the order of eachSpan. odds are those of the few
// spans that have a tracestate, by their place.
func facts(td ptrace.Traces) (out []link.Fact, odds map[uint32]sampling.Odds, malformed int) {
	out = make([]link.Fact, 0, td.SpanCount())
	for _, rs := range td.ResourceSpans().All() {
		host := ""
		if v, ok := rs.Resource().Attributes().Get(rawspan.ResHostID); ok && v.Type() == pcommon.ValueTypeStr {
			host = v.Str()
		}
		key := link.HostKey(host)
		for _, ss := range rs.ScopeSpans().All() {
			ours := ss.Scope().Name() == rawspan.ScopeName
			for _, s := range ss.Spans().All() {
				f, bad := fact(s, host, key, ours)
				if state := s.TraceState().AsRaw(); state != "" {
					o, err := sampling.ReadOdds(state)
					if err != nil {
						bad++
					} else if o != (sampling.Odds{}) {
						if odds == nil {
							odds = map[uint32]sampling.Odds{}
						}
						odds[uint32(len(out))] = o
					}
				}
				out = append(out, f)
				malformed += bad
			}
		}
	}
	return out, odds, malformed
}

func fact(s ptrace.Span, host string, hostKey uint64, ours bool) (link.Fact, int) {
	l, malformed := rawspan.ReadLink(s)
	f := link.Fact{
		Span:     link.SpanID(s.SpanID()),
		OwnTrace: link.TraceID(s.TraceID()),
		Host:     hostKey,
		Start:    nano(s.StartTimestamp()),
		End:      nano(s.EndTimestamp()),
		Role:     role(s.Kind()),
	}
	f.SetLink(&l)
	// A span that says who its parent is has been linked or was made by an SDK: its word holds.
	f.Raw = s.ParentSpanID().IsEmpty() && (ours || l.Raw())
	if f.Raw {
		f.NotSampled = l.HasAppSampled && !l.AppSampled
		f.CtxTrace, f.CtxParent = link.TraceID(l.AppTraceID), link.SpanID(l.AppParentID)
		if f.Role == link.Client && l.Systrace != 0 && host != "" {
			f.Anchor = rawspan.ServerSpanID(host, l.Systrace)
		}
	} else {
		f.CtxTrace, f.CtxParent = f.OwnTrace, link.SpanID(s.ParentSpanID())
	}
	return f, malformed
}

// nano keeps a timestamp within int64: what overflows is hostile or broken and counts as the end of
// time.
func nano(t pcommon.Timestamp) int64 { return int64(min(uint64(t), math.MaxInt64/2)) }

func role(k ptrace.SpanKind) link.Role {
	switch k {
	case ptrace.SpanKindServer, ptrace.SpanKindConsumer:
		return link.Server
	case ptrace.SpanKindClient, ptrace.SpanKindProducer:
		return link.Client
	default:
		return link.Other
	}
}
