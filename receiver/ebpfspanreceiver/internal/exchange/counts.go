package exchange

import (
	"sync/atomic"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// Counts is what a [Table] could not use. It is written by one goroutine and read by any.
type Counts struct {
	// Skipped bytes by [protocol.Reason].
	Skipped [len(protocol.Reasons)]atomic.Uint64
	// GapBytes passed without a record: another system call moved them, or a record was lost.
	GapBytes atomic.Uint64
	// UnknownConns speak none of the protocols; TLSConns are encrypted.
	UnknownConns, TLSConns atomic.Uint64
	// MidStreamBytes came before the first message that was recognised.
	MidStreamBytes atomic.Uint64
	// Unpaired exchanges lost their partner to a gap or to malformed bytes.
	Unpaired atomic.Uint64
	// ForgottenConns were idle for long or too many.
	ForgottenConns atomic.Uint64
	// ParkedFull records came out of order beyond the limits, and were taken as they came.
	ParkedFull atomic.Uint64
	// Duplicates are records of bytes that were there already.
	Duplicates atomic.Uint64
	// Derived records were read by two threads at once: their position was worked out afterwards.
	Derived atomic.Uint64
}
