// Package span is the part of an OTLP span that the demo shows and checks.
package span

import (
	"net/url"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// Span is one received span. Absent text is "", an absent id is zero.
type Span struct {
	Trace  pcommon.TraceID
	ID     pcommon.SpanID
	Parent pcommon.SpanID
	// Service is service.name of the resource, Kind is SERVER, CLIENT, or another OTLP kind.
	Service, Kind, Name string
	// Start and End are wall nanoseconds.
	Start, End int64
	// Method and Path are of HTTP; Redis is the command of a Redis span.
	Method, Path, Redis string
	// Status is the HTTP status code as text, or the database's error code.
	Status string
	// LocalPort and PeerPort are of the socket; 0 when unknown.
	LocalPort, PeerPort int64
	// Rule made the link to the parent; Confidence is 0 to 1 when HasConfidence.
	Rule          string
	Confidence    float64
	HasConfidence bool
	// Hints are the kinds of evidence behind the link.
	Hints   []string
	Pending bool
	// Arrived is when the sink got it.
	Arrived time.Time
}

// Duration of the exchange; negative when the clock or the data is broken.
func (s *Span) Duration() time.Duration { return time.Duration(s.End - s.Start) }

// Operation is what a reader calls the span: method and path, Redis command, or its name.
func (s *Span) Operation() string {
	switch {
	case s.Path != "" && s.Method != "":
		return s.Method + " " + s.Path
	case s.Path != "":
		return s.Name + " " + s.Path
	case s.Redis != "":
		return "redis " + s.Redis
	}
	return s.Name
}

// FromTraces flattens one OTLP batch.
func FromTraces(td ptrace.Traces) []Span {
	out := make([]Span, 0, td.SpanCount())
	for _, rs := range td.ResourceSpans().All() {
		service := text(rs.Resource().Attributes(), "service.name")
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				out = append(out, one(service, sp))
			}
		}
	}
	return out
}

func one(service string, sp ptrace.Span) Span {
	a := sp.Attributes()
	s := Span{
		Trace: sp.TraceID(), ID: sp.SpanID(), Parent: sp.ParentSpanID(),
		Service: service, Kind: kind(sp.Kind()), Name: sp.Name(),
		Start: int64(sp.StartTimestamp()), End: int64(sp.EndTimestamp()),
		Method: text(a, "http.request.method"), Path: text(a, "url.path"),
		Rule: text(a, rawspan.AttrRule),
	}
	if s.Path == "" {
		// A client span may carry the whole URL instead.
		if u, err := url.Parse(text(a, "url.full")); err == nil {
			s.Path = u.Path
		}
	}
	if text(a, "db.system.name") == "redis" {
		s.Redis = text(a, "db.operation.name")
	}
	for _, k := range []string{"http.response.status_code", "db.response.status_code"} {
		if v, ok := a.Get(k); ok {
			s.Status = v.AsString()
		}
	}
	s.LocalPort, s.PeerPort = integer(a, rawspan.AttrLocalPort), integer(a, rawspan.AttrPeerPort)
	if v, ok := a.Get(rawspan.AttrConfidence); ok && v.Type() == pcommon.ValueTypeDouble {
		s.Confidence, s.HasConfidence = v.Double(), true
	}
	if v, ok := a.Get(rawspan.AttrLinkHint); ok && v.Type() == pcommon.ValueTypeSlice {
		for _, h := range v.Slice().All() {
			s.Hints = append(s.Hints, h.AsString())
		}
	}
	if v, ok := a.Get(rawspan.AttrPending); ok && v.Type() == pcommon.ValueTypeBool {
		s.Pending = v.Bool()
	}
	return s
}

func kind(k ptrace.SpanKind) string {
	switch k {
	case ptrace.SpanKindServer:
		return "SERVER"
	case ptrace.SpanKindClient:
		return "CLIENT"
	case ptrace.SpanKindProducer:
		return "PRODUCER"
	case ptrace.SpanKindConsumer:
		return "CONSUMER"
	case ptrace.SpanKindInternal:
		return "INTERNAL"
	}
	return "UNSPECIFIED"
}

func text(m pcommon.Map, key string) string {
	if v, ok := m.Get(key); ok && v.Type() == pcommon.ValueTypeStr {
		return v.Str()
	}
	return ""
}

func integer(m pcommon.Map, key string) int64 {
	if v, ok := m.Get(key); ok && v.Type() == pcommon.ValueTypeInt {
		return v.Int()
	}
	return 0
}
