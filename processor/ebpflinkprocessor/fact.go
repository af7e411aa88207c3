package ebpflinkprocessor

import (
	"math"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
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
		in.reset()
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
	// paired: some are of an SDK that names its process or container, so that exchanges are asked for.
	paired bool

	by *reader
	// exchanges: what spans say of their exchanges is asked for.
	exchanges bool
	// source is the resource, ours says of the scope that it is that of raw spans.
	source source
	ours   bool
	link   rawspan.LinkReader
	picks  []block.Pick
}

// source is what a resource says of all its spans.
type source struct {
	at      origin
	process uint64
	service uint32
	owner   link.Exchange
}

// origin is a host.id and its hash.
type origin struct {
	key  uint64
	name string
}

// begin returns a reading of td without facts. With exchanges, what spans say of theirs will be beside the facts, as
// is the process where a rule asks for it.
func (r *reader) begin(td ptrace.Traces, exchanges bool) *reading {
	in, _ := r.spare.Get().(*reading)
	if in == nil {
		in = &reading{}
	}
	in.by, in.exchanges = r, exchanges
	in.facts = slices.Grow(in.facts, td.SpanCount())
	return in
}

// reset forgets what was read.
func (in *reading) reset() {
	clear(in.picks[:cap(in.picks)])
	in.link.Begin()
	*in = reading{facts: in.facts[:0], hosts: in.hosts[:0], by: in.by, exchanges: in.exchanges, link: in.link, picks: in.picks[:0]}
}

// read reads each span of td.
func (r *reader) read(td ptrace.Traces, exchanges bool) *reading {
	in := r.begin(td, exchanges)
	in.all(td)
	return in
}

// all reads each span of td.
func (in *reading) all(td ptrace.Traces) {
	for _, rs := range td.ResourceSpans().All() {
		in.Resource(rs)
		for _, ss := range rs.ScopeSpans().All() {
			in.Scope(ss)
			for _, s := range ss.Spans().All() {
				in.picks = in.picks[:0]
				for k, v := range s.Attributes().All() {
					if as := in.Pick(k); as != 0 {
						in.picks = append(in.picks, block.Pick{As: as, Value: v})
					}
				}
				in.Span(s, in.picks)
			}
		}
	}
	in.picks = in.picks[:0]
}

// Pick says what of an attribute is read: a rawspan.Attr, or what is said of an exchange.
func (in *reading) Pick(key string) uint8 {
	if a := rawspan.AttrOf(key); a != 0 || !in.exchanges {
		return uint8(a)
	}
	return saidIn[key]
}

// Resource reads what the spans that follow have in common.
func (in *reading) Resource(rs ptrace.ResourceSpans) {
	from := source{}
	attrs := rs.Resource().Attributes()
	if v, ok := attrs.Get(rawspan.ResHostID); ok && v.Type() == pcommon.ValueTypeStr && v.Str() != "" {
		from.at = origin{link.HostKey(v.Str()), v.Str()}
		if n := len(in.hosts); n == 0 || in.hosts[n-1] != from.at {
			in.hosts = append(in.hosts, from.at)
		}
	}
	if v, ok := attrs.Get(rawspan.ResPID); ok && v.Type() == pcommon.ValueTypeInt {
		from.process = link.ProcessKey(v.Int())
	}
	if v, ok := attrs.Get(rawspan.ResService); ok && v.Type() == pcommon.ValueTypeStr {
		from.service = link.ServiceKey(v.Str())
	}
	if in.by.sameCall {
		from.owner = ownerOf(attrs, from.at.key, from.service)
	}
	in.source = from
}

// Scope reads what the spans that follow have in common.
func (in *reading) Scope(ss ptrace.ScopeSpans) { in.ours = ss.Scope().Name() == rawspan.ScopeName }

// Span reads s, whose attributes that are asked for are picks.
func (in *reading) Span(s ptrace.Span, picks []block.Pick) {
	from := &in.source
	said := said{Exchange: from.owner}
	asked := in.exchanges && from.owner.Known() && s.Kind() != ptrace.SpanKindInternal
	in.link.Begin()
	for i := range picks {
		switch p := &picks[i]; {
		case p.As < firstSaid:
			in.link.Read(rawspan.Attr(p.As), p.Value)
		case asked:
			said.read(p.As, p.Value)
		}
	}
	in.facts = append(in.facts, link.Fact{})
	ordinal := uint32(len(in.facts) - 1)
	rare, sdk := in.fact(&in.facts[ordinal], s)
	if asked && (in.facts[ordinal].Raw || sdk) {
		said.put(&in.facts[ordinal], &rare, sdk)
	}
	in.paired = in.paired || (sdk && from.owner.Known())
	if rare.Process == 0 {
		rare.Process = from.process
	}
	more := beside{rare: rare}
	if state := s.TraceState().AsRaw(); state != "" {
		var err error
		if more.odds, err = sampling.ReadOdds(state); err != nil {
			more.odds = sampling.Odds{}
			in.malformed++
		}
	}
	if !rare.Empty() || (in.by.everyProcess && rare.Process != 0) || rare.Exchange.Known() || more.odds != (sampling.Odds{}) {
		if in.besides == nil {
			in.besides = map[uint32]beside{}
		}
		in.besides[ordinal] = more
	}
	in.malformed += in.link.Malformed()
}

// fact makes f, which is empty, of s and of what was read of its link.
func (in *reading) fact(f *link.Fact, s ptrace.Span) (rare link.Rare, sdk bool) {
	l, from := in.link.End(), &in.source
	f.Span, f.OwnTrace = link.SpanID(s.SpanID()), link.TraceID(s.TraceID())
	f.Host, f.Service = from.at.key, from.service
	f.Start, f.End = nano(s.StartTimestamp()), nano(s.EndTimestamp())
	f.Role = role(s.Kind())
	f.SetLink(l)
	f.Peer.Untraced = in.by.traced.exclude(l.Peer.Addr())
	// A span that says who its parent is has been linked or was made by an SDK: its word holds.
	f.Raw = s.ParentSpanID().IsEmpty() && (in.ours || l.Raw())
	if f.Raw {
		f.NotSampled = l.HasAppSampled && !l.AppSampled
		f.CtxTrace, f.CtxParent = link.TraceID(l.AppTraceID), link.SpanID(l.AppParentID)
		rare.RequestID, rare.ResponseID = requestID(l.ReqRequestID), requestID(l.RespRequestID)
		if l.Compat.Producer != "" {
			// Whatever it says of its host, the request is of that of the resource.
			anchor(f, from.at)
			translate(f, &rare, &l.Compat)
		}
	} else {
		f.CtxTrace, f.CtxParent = f.OwnTrace, link.SpanID(s.ParentSpanID())
	}
	// A raw span that was linked elsewhere is none of an SDK.
	sdk = !f.Raw && !in.ours && !l.Raw() && (f.Role == link.Client || f.Role == link.Server)
	return rare, sdk
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
