// Package link finds the parent of a span. Every span defines keys and refers to keys; a rule is a
// row that says which; resolving a reference among the definitions of its key gives the candidates,
// admissibility judges them, and only a single best one becomes a link.
package link

import (
	"math"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

type (
	// TraceID and SpanID are the OTLP ids; all zero means absent.
	TraceID [16]byte
	SpanID  [8]byte
)

// Role is the side of an exchange that a span shows.
type Role uint8

// Server covers SERVER and CONSUMER, Client covers CLIENT and PRODUCER.
const (
	Other Role = iota
	Server
	Client
)

// Endpoint is one end of a connection. Addr is a hash of the address, 0 when unknown.
type Endpoint struct {
	Addr uint32
	Port uint16
	// Untraced: nothing is traced at this address, so no span comes from there.
	Untraced bool
}

// Fact is what linking needs to know of one span. Zero values mean unknown.
type Fact struct {
	Span     SpanID
	OwnTrace TraceID
	// CtxTrace and CtxParent are what the application propagated: read off the wire for a raw
	// span, the span's own trace id and parent for an SDK span.
	CtxTrace  TraceID
	CtxParent SpanID
	// Anchor is the id of the SERVER span that a CLIENT's systrace id names, seen or not. It need not be said
	// where the Index knows the host by its name.
	Anchor SpanID
	// Host is a hash of host.id.
	Host             uint64
	Systrace, Pseudo uint64
	// LateOf is the systrace of the request that this call comes from, though it began after the response.
	LateOf uint64
	// Start and End are wall nanoseconds. End is meaningless while Pending.
	Start, End      int64
	ReqSeq, RespSeq uint32
	Local, Peer     Endpoint
	// HintConfidence is that of the evidence behind Systrace and Pseudo, 0 when not stated.
	HintConfidence float32
	Role           Role
	// Raw spans come without parent; the parent of any other span is what it says itself.
	Raw bool
	// Pending: the exchange is open.
	Pending bool
	// NotSampled: what the application propagated says that its sampler decided against the trace.
	NotSampled bool
	// Calls is one more than how many calls a request made, 0 where that is not known for certain.
	Calls uint8
	// Service is a hash of service.name, 0 when unknown.
	Service uint32
}

// Facts of l that this package keeps.
func (f *Fact) SetLink(l *rawspan.Link) {
	f.Systrace, f.Pseudo = l.Systrace, l.PseudoThread
	f.LateOf = l.LateOf
	f.ReqSeq, f.RespSeq = l.ReqSeq, l.RespSeq
	f.HintConfidence = float32(l.HintConfidence)
	f.Pending = l.Pending
	if l.HasCalls && l.Calls < math.MaxUint8 {
		f.Calls = uint8(l.Calls) + 1
	}
	f.Local = endpoint(l.Local.Addr().Unmap().As16(), l.Local.Addr().IsValid(), l.Local.Port())
	f.Peer = endpoint(l.Peer.Addr().Unmap().As16(), l.Peer.Addr().IsValid(), l.Peer.Port())
}
