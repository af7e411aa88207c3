// Package exchange follows connections: it puts the records of each direction into the order of
// their TCP sequence numbers, finds out which protocol is spoken, and pairs requests with responses.
package exchange

import (
	"net/netip"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// Exchange is a request with its response, seen at one end of a connection.
type Exchange struct {
	// Server is set at the end that answers.
	Server   bool
	Protocol *protocol.Protocol
	Request  *protocol.Message
	// Response is nil when there was none (see Outcome), or when none is owed.
	Response *protocol.Message
	Outcome  Outcome

	Conn        uint64
	Local, Peer netip.AddrPort
	Tgid        uint32

	// Epoch is, at the server end, the identity of this request: the systrace id.
	Epoch uint64
	// Turn is the kernel's epoch (server) or call (client) in which the request's head ended. It
	// differs from Epoch where several requests arrived at once.
	Turn uint64

	// Who read the request (server) or wrote it (client).
	Tid uint32
	// Context is 0 where the thread itself is the execution context; else ContextKind says of what kind it
	// is, and ParentContext which one made it, if that is known.
	Context, ParentContext uint64
	ContextKind            uint8
	// EndTid and EndContext wrote (server) or read (client) the end of the response.
	EndTid         uint32
	EndContext     uint64
	EndContextKind uint8

	// At the client end. Later: an earlier write of the same Turn held another request. Together: the
	// same write did. Overlapped: another request, of another write, was open on this connection, or may have been.
	Later, Together, Overlapped bool
	// Whole: it was answered, and no byte between its head and the end of the response moved unseen: it ended at
	// End, and not before.
	Whole bool

	// ReqSeq and RespSeq are the sequence numbers of the first bytes; RespSeq is 0 without one.
	ReqSeq, RespSeq uint32
	// Start is when the request's first byte was read or written, End when the response's last
	// byte was. Kernel nanoseconds.
	Start, End uint64
	// Pending: the exchange is still open; another Exchange with the same ReqSeq will follow.
	Pending bool
}

// UnderWay is a request at a client end that was begun and is not Done.
type UnderWay struct {
	// Turn, Tid and the context as in Exchange; 0: bytes of which it is not known yet what they are.
	Turn                        uint64
	Tid                         uint32
	Context                     uint64
	ContextKind                 uint8
	Later, Together, Overlapped bool
	// Start is when its first byte moved.
	Start uint64
}

// Outcome says how an exchange ended.
type Outcome uint8

const (
	// Answered: there is a response.
	Answered Outcome = iota
	// NotOwed: this request gets no response.
	NotOwed
	// Broken: the connection ended first.
	Broken
	// Lost: bytes that would have told were not captured.
	Lost
)

// Sink receives what a [Table] finds.
type Sink interface {
	// Began: the head of a request was read at the server end. x holds all but the response.
	Began(x *Exchange)
	// Done: the exchange is over, or Pending. x is the sink's to keep.
	Done(x *Exchange)
	// Unread: bytes moved at a client end, between from and to, that are of no request and no response.
	Unread(tgid uint32, from, to uint64)
}
