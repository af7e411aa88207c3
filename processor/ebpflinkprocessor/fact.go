package ebpflinkprocessor

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
)

// beside is what few spans have beside their fact.
type beside struct {
	rare link.Rare
	odds sampling.Odds
}

// facts reads what linking needs from each span of td, in the order of the spans; besides holds what few
// of them have, by their place. With everyProcess that is the process of each.
func facts(td ptrace.Traces, traced networks, everyProcess bool) (out []link.Fact, besides map[uint32]beside, malformed int) {
	out = make([]link.Fact, 0, td.SpanCount())
	for _, rs := range td.ResourceSpans().All() {
		host := ""
		if v, ok := rs.Resource().Attributes().Get(rawspan.ResHostID); ok && v.Type() == pcommon.ValueTypeStr {
			host = v.Str()
		}
		key := link.HostKey(host)
		process := uint64(0)
		if v, ok := rs.Resource().Attributes().Get(rawspan.ResPID); ok && v.Type() == pcommon.ValueTypeInt {
			process = link.ProcessKey(v.Int())
		}
		service := uint32(0)
		if v, ok := rs.Resource().Attributes().Get(rawspan.ResService); ok && v.Type() == pcommon.ValueTypeStr {
			service = link.ServiceKey(v.Str())
		}
		for _, ss := range rs.ScopeSpans().All() {
			ours := ss.Scope().Name() == rawspan.ScopeName
			for _, s := range ss.Spans().All() {
				f, rare, bad := fact(s, host, key, ours, traced)
				if rare.Process == 0 {
					rare.Process = process
				}
				f.Service = service
				more := beside{rare: rare}
				if state := s.TraceState().AsRaw(); state != "" {
					var err error
					if more.odds, err = sampling.ReadOdds(state); err != nil {
						more.odds = sampling.Odds{}
						bad++
					}
				}
				if !rare.Empty() || (everyProcess && rare.Process != 0) || more.odds != (sampling.Odds{}) {
					if besides == nil {
						besides = map[uint32]beside{}
					}
					besides[uint32(len(out))] = more
				}
				out = append(out, f)
				malformed += bad
			}
		}
	}
	return out, besides, malformed
}

func fact(s ptrace.Span, host string, hostKey uint64, ours bool, traced networks) (link.Fact, link.Rare, int) {
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
	f.Peer.Untraced = traced.exclude(l.Peer.Addr())
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
	var rare link.Rare
	if f.Raw {
		rare.RequestID, rare.ResponseID = requestID(l.ReqRequestID), requestID(l.RespRequestID)
		if l.Compat.Producer != "" {
			translate(&f, &rare, &l.Compat)
		}
	}
	return f, rare, malformed
}

// translate puts what another producer says of a span into f and r.
func translate(f *link.Fact, r *link.Rare, c *rawspan.Compat) {
	r.Foreign = true
	if c.Host != "" {
		f.Host = link.HostKey(c.Host)
	}
	r.Process = link.ProcessKey(c.Process)
	// A thread that had one id before and after did nothing between.
	if c.RequestID != c.ResponseID {
		r.ReqChain, r.RespChain = c.RequestID, c.ResponseID
	}
	if r.Tap = link.Tap(c.Tap); link.OnTheWire(r.Tap) {
		f.Role = link.Other
	}
}

// requestID is the key of a header that names one request; a header that came several times names none.
func requestID(values []string) uint64 {
	if len(values) != 1 {
		return 0
	}
	return link.RequestIDKey(values[0])
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
