package ebpflinkprocessor

import (
	"math"
	"slices"
	"sync"

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
	// spare has readings that are done with.
	spare sync.Pool
}

// mostFacts is how many facts a reading leaves room for to the next: more than batches usually have.
const mostFacts = 4096

// done gives the room of in back; nobody may use it any more.
func (r *reader) done(in *reading) {
	if cap(in.facts) <= mostFacts {
		*in = reading{facts: in.facts[:0], hosts: in.hosts[:0]}
		r.spare.Put(in)
	}
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
	// paired: some are of an SDK that names its process, so that exchanges are asked for.
	paired bool
}

// origin is a host.id and its hash.
type origin struct {
	key  uint64
	name string
}

// read reads each span of td. Beside all facts is the process where a rule asks for it, and with exchanges
// what the span says of its exchange.
func (r *reader) read(td ptrace.Traces, exchanges bool) *reading {
	in, _ := r.spare.Get().(*reading)
	if in == nil {
		in = &reading{}
	}
	in.facts = slices.Grow(in.facts, td.SpanCount())
	for _, rs := range td.ResourceSpans().All() {
		at := origin{}
		if v, ok := rs.Resource().Attributes().Get(rawspan.ResHostID); ok && v.Type() == pcommon.ValueTypeStr && v.Str() != "" {
			at = origin{link.HostKey(v.Str()), v.Str()}
			if n := len(in.hosts); n == 0 || in.hosts[n-1] != at {
				in.hosts = append(in.hosts, at)
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
		var owner link.Exchange
		if r.sameCall {
			owner = ownerOf(rs.Resource().Attributes(), at.key, service)
		}
		for _, ss := range rs.ScopeSpans().All() {
			ours := ss.Scope().Name() == rawspan.ScopeName
			for _, s := range ss.Spans().All() {
				var words *said
				if exchanges && owner.Known() && s.Kind() != ptrace.SpanKindInternal {
					words = &said{Exchange: owner}
				}
				f, rare, sdk, bad := r.fact(s, at, ours, words)
				in.paired = in.paired || (sdk && owner.Known())
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
					if in.besides == nil {
						in.besides = map[uint32]beside{}
					}
					in.besides[uint32(len(in.facts))] = more
				}
				in.facts = append(in.facts, f)
				in.malformed += bad
			}
		}
	}
	return in
}

// fact reads s; words is where to write what it says of its exchange, nil when nobody asks.
func (r *reader) fact(s ptrace.Span, at origin, ours bool, words *said) (_ link.Fact, _ link.Rare, sdk bool, malformed int) {
	var rest func(string, pcommon.Value)
	if words != nil {
		rest = words.read
	}
	l, malformed := rawspan.ReadLinkAnd(s, rest)
	f := link.Fact{
		Span:     link.SpanID(s.SpanID()),
		OwnTrace: link.TraceID(s.TraceID()),
		Host:     at.key,
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

// anchor says on f which SERVER span its systrace id names: what linking can say itself of a host that it
// knows by its name.
func anchor(f *link.Fact, at origin) {
	if f.Raw && f.Role == link.Client && f.Systrace != 0 && at.name != "" {
		f.Anchor = rawspan.ServerSpanID(at.name, f.Systrace)
	}
}

// anchor does so for all that came from a host.
func (in *reading) anchor(at origin) {
	for i := range in.facts {
		if f := &in.facts[i]; f.Host == at.key && f.Anchor == (link.SpanID{}) {
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
