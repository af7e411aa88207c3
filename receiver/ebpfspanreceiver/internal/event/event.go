// Package event turns the records of the kernel side into typed values. The layout is that of
// bpf/event.h, whose Go types are generated.
package event

import (
	"net/netip"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// Kind says which member of an [Event] is set: enum event_kind.
type Kind uint8

const (
	KindData     Kind = 1
	KindConn     Kind = 2
	KindEvidence Kind = 3
	KindProcess  Kind = 4
	KindOrigin   Kind = 5
	KindAsync    Kind = 6
	KindObject   Kind = 7
)

// Values of the members, as bpf/event.h defines them.
const (
	In  = 0
	Out = 1

	Server = 1
	Client = 2

	// MidStream: the connection existed before its first byte was seen.
	MidStream = 1
	// SeqDerived: a read did not begin where the one before ended, as bytes moved unseen or two threads read at
	// once. The position was derived from the one after.
	SeqDerived = 2

	// Kinds of execution contexts, enum context_kind.
	Thread    = 0
	Goroutine = 1
	Virtual   = 2
	Python    = 3
	Tokio     = 5

	Closed = 3

	// What an Origin says, enum origin_what.
	Made  = 0
	Busy  = 1
	Ended = 2
	Taken = 3

	AsyncActivation = 1
	AsyncCall       = 2
	AsyncInit       = 3
	// AsyncRead, AsyncTokenCall: enum async_flags.
	AsyncRead      = 1
	AsyncTokenCall = 2

	// What an Object says, enum object_what.
	ObjectMade = 1
	ObjectRun  = 2
	ObjectWoke = 3

	Exec   = 1
	Fork   = 2
	Exit   = 3
	Listen = 4
)

// Data is bytes that moved on a TCP socket. Payload is what was captured of them, a prefix.
type Data struct {
	bpf.SocketDataEvent
	Payload []byte
}

// Local is the address of the captured end.
func (d *Data) Local() netip.AddrPort { return addrPort(d.Laddr, d.Lport) }

// Peer is the address of the other end.
func (d *Data) Peer() netip.AddrPort { return addrPort(d.Raddr, d.Rport) }

// evidence is what comes with the first bytes of a call, as a record of its own would say it. What 0: nothing.
func (d *Data) evidence() Evidence {
	if d.SocketDataEvent.Evidence == 0 {
		return Evidence{}
	}
	return Evidence{
		Kind: uint8(KindEvidence), What: d.SocketDataEvent.Evidence, Tgid: d.Tgid, Ts: d.Ts, Call: d.Turn, Epoch: d.Epoch,
	}
}

func addrPort(a [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), port)
}

// Conn is a change in the life of a connection.
type Conn = bpf.SocketConnEvent

// Evidence is one edge from a call to the request that it belongs to.
type Evidence = bpf.SocketEvidenceEvent

// Async is what a loop of Node.js does, by its asynchronous ids.
type Async = bpf.SocketAsyncEvent

// Process is a change in the life of a process.
type Process = bpf.SocketProcessEvent

// Origin says that an execution context was made by another one, or what it did instead of waiting.
type Origin = bpf.SocketOriginEvent

// Object is where a thread of a Java VM made objects, or which of them it runs.
type Object = bpf.SocketObjectEvent

// Event is one record. The member named by Kind is set, and with Data also Evidence, which has no What where the bytes
// came without any.
type Event struct {
	Kind     Kind
	Data     Data
	Conn     Conn
	Evidence Evidence
	Process  Process
	Origin   Origin
	Async    Async
	Object   Object
}
