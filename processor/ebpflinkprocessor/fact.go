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

// reading is what linking needs of a batch.
type reading struct {
	// facts are in the order of the spans.
	facts []link.Fact
	// besides holds what few of them have, by their place.
	besides map[uint32]beside
	// hosts are those that the spans are from.
	hosts     []origin
	malformed int
}

// origin is a host.id and its hash.
type origin struct {
	key  uint64
	name string
}

// read reads td. With everyProcess the process is kept of each span.
func read(td ptrace.Traces, traced networks, everyProcess bool) *reading {
	r := &reading{facts: make([]link.Fact, 0, td.SpanCount())}
	for _, rs := range td.ResourceSpans().All() {
		at := origin{}
		if v, ok := rs.Resource().Attributes().Get(rawspan.ResHostID); ok && v.Type() == pcommon.ValueTypeStr && v.Str() != "" {
			at = origin{link.HostKey(v.Str()), v.Str()}
			if n := len(r.hosts); n == 0 || r.hosts[n-1] != at {
				r.hosts = append(r.hosts, at)
			}
		}
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
				f, rare, bad := fact(s, at, ours, traced)
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
					if r.besides == nil {
						r.besides = map[uint32]beside{}
					}
					r.besides[uint32(len(r.facts))] = more
				}
				r.facts = append(r.facts, f)
				r.malformed += bad
			}
		}
	}
	return r
}

func fact(s ptrace.Span, at origin, ours bool, traced networks) (link.Fact, link.Rare, int) {
	l, malformed := rawspan.ReadLink(s)
	f := link.Fact{
		Span:     link.SpanID(s.SpanID()),
		OwnTrace: link.TraceID(s.TraceID()),
		Host:     at.key,
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
	} else {
		f.CtxTrace, f.CtxParent = f.OwnTrace, link.SpanID(s.ParentSpanID())
	}
	var rare link.Rare
	if f.Raw {
		rare.RequestID, rare.ResponseID = requestID(l.ReqRequestID), requestID(l.RespRequestID)
		if l.Compat.Producer != "" {
			// Whatever it says of its host, the request is of that of the resource.
			anchor(&f, at)
			translate(&f, &rare, &l.Compat)
		}
	}
	return f, rare, malformed
}

// anchor says on f which SERVER span its systrace id names: what linking can say itself of a host that it
// knows by its name.
func anchor(f *link.Fact, at origin) {
	if f.Raw && f.Role == link.Client && f.Systrace != 0 && at.name != "" {
		f.Anchor = rawspan.ServerSpanID(at.name, f.Systrace)
	}
}

// anchor does so for all that came from a host.
func (r *reading) anchor(at origin) {
	for i := range r.facts {
		if f := &r.facts[i]; f.Host == at.key && f.Anchor == (link.SpanID{}) {
			anchor(f, at)
		}
	}
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
