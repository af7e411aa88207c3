// Package protocol turns the bytes of one connection into messages.
//
// It knows nothing of sockets, processes or spans. Its input is the byte stream of each direction
// in order, with the bytes that were not captured named as such; its output is where each message
// begins, what its head says, and where it ends. A protocol is one file and one row of [Table].
//
// What is here, from the bytes up:
//
//   - flow: one direction of a session, its position, and what the sink has been told;
//   - order and dialogue: which response belongs to which request where responses come in order,
//     and when to stop guessing after bytes were lost;
//   - chunked, reply, command: framing, as state machines that take any cut of the stream;
//   - http1 and redis: the sessions;
//   - propagation: the trace context that an application passes on by itself.
//
// Privacy: no payload is kept. Of an HTTP head the method, the path, the host, the user agent, the
// x-request-id and the trace context are kept; the query only if asked for, and then redacted. Of a
// Redis command the name is kept, of an error its prefix.
package protocol

// Direction says which way bytes flow, in the protocol's own terms: the side that asks sends
// requests, whichever end of the connection was captured.
type Direction uint8

const (
	Request Direction = iota
	Response
)

// Verdict is the answer of a detector.
type Verdict uint8

const (
	// No: these bytes do not begin a message of this protocol.
	No Verdict = iota
	// More: they could, more bytes are needed to tell.
	More
	// Yes: they do.
	Yes
)

// Chunk is a run of consecutive bytes of one direction. Len counts the bytes on the wire; Data
// holds the first of them that were captured, possibly none. A chunk without Data is a gap: bytes
// that are known to have passed, and not known. Data is valid during the call only.
type Chunk struct {
	Data []byte
	Len  int
}

// Protocol is a row of [Table].
type Protocol struct {
	// Name is network.protocol.name.
	Name string
	// Detect tells whether data begins a message of the given direction. It must be strict: a
	// Yes binds the connection to this protocol.
	Detect func(dir Direction, data []byte) Verdict
	// New makes the session of one connection. Messages go to sink, during Feed, Close and Idle.
	New func(opts Options, sink Sink) Session
}

// Options are what a user can choose for every protocol.
type Options struct {
	// MaxHead bounds the bytes buffered for one message head, per direction. Zero means 64 KiB.
	MaxHead int
	// CaptureQuery keeps url.query, with its values redacted unless they are harmless.
	CaptureQuery bool
	// RawArguments keeps database literals and arguments as they were sent. Off by default.
	RawArguments bool
	// Joined says that the session starts in the middle of a connection: requests sent earlier may
	// still await their response, so nothing is paired before the first quiet moment or turn
	// (see order.go).
	Joined bool
}

// Session follows one connection in both directions. It never panics whatever the bytes are, and
// its memory is bounded by Options and by the number of requests that await a response
// (at most 1024; beyond that the session gives up with Skip).
//
// A session may start in the middle of a stream: it looks for the beginning of a message at the
// start of a chunk only.
type Session interface {
	// Feed continues the stream of dir with c.
	Feed(dir Direction, c Chunk)
	// Close says that no more bytes follow in dir (FIN, or the socket is gone).
	Close(dir Direction)
	// Idle says that nothing has moved for a while. A message whose end cannot be known, because
	// the bytes that said so were not captured, ends here.
	Idle()
}

// Sink receives what a session finds. Offsets count the bytes fed in that direction since the
// session began. Every call is made while the chunk that holds the byte it speaks of is being fed,
// so the caller knows when, and by whom, that byte was moved. The exceptions are an End that is
// Assumed or Cut, which comes when it is known, and the end of an abandoned message: their last
// byte was moved in the latest chunk of that direction before the one in hand.
type Sink interface {
	// Begin: the first byte of a message is at off. A second Begin before End replaces the first
	// (an interim response turned out to be followed by the final one).
	Begin(dir Direction, off uint64)
	// Head: the head of the message (request line and headers, command, status) is complete; its
	// last byte is at off-1. m is the sink's to keep.
	Head(dir Direction, off uint64, m *Message)
	// End: the last byte of the message is at off-1.
	End(dir Direction, off uint64, how Completion)
	// Skip: n bytes of dir belong to no message, for this reason. A message that was under way
	// in dir (Begin without End) is abandoned; n may be 0 when it has no bytes of its own. With an
	// abandoned response goes the request it would have answered: no other response will come for
	// it. An abandoned request gets no response either. A Skip with nothing under way changes
	// nothing but the counters. Every byte that was fed is in exactly one message or in one Skip,
	// but for interim responses that another Begin replaced.
	Skip(dir Direction, n int, why Reason)
}

// Completion says how the end of a message is known.
type Completion uint8

const (
	// Complete: the protocol's own framing.
	Complete Completion = iota
	// Closed: the connection ended where the protocol lets that end a message.
	Closed
	// Cut: the connection ended in the middle of the message.
	Cut
	// Assumed: bytes needed to find the end were not captured; the message ended at the last
	// byte before the next one, or before a pause.
	Assumed
	// Upgraded: the connection belongs to another protocol from here (CONNECT, 101).
	Upgraded
)

// Reason says why bytes belong to no message. Each is a counter.
type Reason uint8

const (
	// NotProtocol: the bytes are not of this protocol.
	NotProtocol Reason = iota
	// Malformed: they began as this protocol and then broke its rules.
	Malformed
	// TooLarge: a head exceeds Options.MaxHead.
	TooLarge
	// NotCaptured: bytes that are needed to understand the message were not captured.
	NotCaptured
	// Tunnel: bytes of an upgraded connection.
	Tunnel
	// Overflow: more requests await a response than a session keeps.
	Overflow
	// Unsolicited: a response that no request asked for.
	Unsolicited
)

// Reasons names every Reason, in order, as telemetry spells it.
var Reasons = [...]string{
	NotProtocol: "not_protocol", Malformed: "malformed", TooLarge: "too_large",
	NotCaptured: "not_captured", Tunnel: "tunnel", Overflow: "overflow", Unsolicited: "unsolicited",
}

// Message is the head of a request or a response, in the terms of a span.
type Message struct {
	// Name is the low-cardinality operation of a request, or of a response that answers none: the
	// span name.
	Name string
	// Attributes are semantic-convention attributes. Those of a request and its response are
	// merged on the span; the response's win.
	Attributes []Attr
	// Context is what the application itself propagated in a request.
	Context TraceContext
	// RequestID is the x-request-id header, of either direction.
	RequestID string
	// Fault says whose error a response reports; FaultText is the span status message and
	// error.type is among Attributes.
	Fault     Fault
	FaultText string
	// Correlation pairs a response with its request where responses may overtake each other
	// (HTTP/2 stream, Kafka correlation id). Zero: responses come in the order of requests.
	Correlation uint64
	// OneWay: no response is owed to this request; or this response answers no request (a push).
	OneWay bool
}

// Fault says which side a response blames.
type Fault uint8

const (
	// NoFault: success.
	NoFault Fault = iota
	// CallerFault: the request was wrong (HTTP 4xx). An error on the CLIENT span only.
	CallerFault
	// ServerFault: an error on both spans.
	ServerFault
)

// Attr is one attribute: an int when Str is empty and IsInt is set, a string otherwise.
type Attr struct {
	Key   string
	Str   string
	Int   int64
	IsInt bool
}

// String makes a string attribute.
func String(key, value string) Attr { return Attr{Key: key, Str: value} }

// Int makes an int attribute.
func Int(key string, value int64) Attr { return Attr{Key: key, Int: value, IsInt: true} }

// TraceContext is what an application propagated by itself: W3C, B3, Jaeger, Datadog or SkyWalking.
// The zero value means none.
type TraceContext struct {
	TraceID  [16]byte
	ParentID [8]byte
	// Sampled is the application's own decision, meaningful when HasSampled.
	Sampled, HasSampled bool
	// State is W3C tracestate, unparsed.
	State string
}

// Valid reports whether both ids are present.
func (c TraceContext) Valid() bool { return c.TraceID != [16]byte{} && c.ParentID != [8]byte{} }
