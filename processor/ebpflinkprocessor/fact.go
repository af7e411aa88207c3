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

// reader reads from spans what linking needs.
type reader struct {
	traced networks
	// everyProcess: a rule asks for the process of each span.
	everyProcess bool
	// sameCall: a rule asks what spans say of their exchanges, once there are those of an SDK.
	sameCall bool
}

// facts reads each span of td, in the order of the spans; besides holds what few of them have, by their
// place. That is the process of each where a rule asks for it, and with exchanges what each says of its
// exchange. paired: some are of an SDK that names its process, so that exchanges are asked for.
func (r *reader) facts(td ptrace.Traces, exchanges bool) (out []link.Fact, besides map[uint32]beside, malformed int, paired bool) {
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
		var owner link.Exchange
		if r.sameCall {
			owner = ownerOf(rs.Resource().Attributes(), key, service)
		}
		for _, ss := range rs.ScopeSpans().All() {
			ours := ss.Scope().Name() == rawspan.ScopeName
			for _, s := range ss.Spans().All() {
				var words *said
				if exchanges && owner.Known() && s.Kind() != ptrace.SpanKindInternal {
					words = &said{Exchange: owner}
				}
				f, rare, sdk, bad := r.fact(s, host, key, ours, words)
				paired = paired || (sdk && owner.Known())
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
				if !rare.Empty() || (r.everyProcess && rare.Process != 0) || rare.Exchange.Known() || more.odds != (sampling.Odds{}) {
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
	return out, besides, malformed, paired
}

// fact reads s; words is where to write what it says of its exchange, nil when nobody asks.
func (r *reader) fact(s ptrace.Span, host string, hostKey uint64, ours bool, words *said) (_ link.Fact, _ link.Rare, sdk bool, malformed int) {
	var rest func(string, pcommon.Value)
	if words != nil {
		rest = words.read
	}
	l, malformed := rawspan.ReadLinkAnd(s, rest)
	f := link.Fact{
		Span:     link.SpanID(s.SpanID()),
		OwnTrace: link.TraceID(s.TraceID()),
		Host:     hostKey,
		Start:    nano(s.StartTimestamp()),
		End:      nano(s.EndTimestamp()),
		Role:     role(s.Kind()),
	}
	f.SetLink(&l)
	f.Peer.Untraced = r.traced.exclude(l.Peer.Addr())
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
	// A raw span that was linked elsewhere is none of an SDK.
	sdk = !f.Raw && !ours && !l.Raw() && (f.Role == link.Client || f.Role == link.Server)
	if words != nil && (f.Raw || sdk) {
		rare.Exchange = words.Exchange
		if sdk && f.Role == link.Client && f.Peer.Port == 0 {
			f.Peer.Port = words.port
		}
	}
	return f, rare, sdk, malformed
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
