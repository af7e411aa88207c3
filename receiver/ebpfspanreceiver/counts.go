//go:build linux

package ebpfspanreceiver

import (
	"sync/atomic"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
)

// counts is all that the receiver counts of itself; telemetry.go shows it.
type counts struct {
	exchange  exchange.Counts
	causality causality.Counts
	golang    goCounts
	java      javaCounts
	node      nodeCounts
	send      sendCounts
	// undecodable records do not follow bpf/event.h: a bug, never traffic.
	undecodable atomic.Uint64
	// ownerless exchanges are of a process whose description is gone.
	ownerless atomic.Uint64

	missing missing

	conns, held atomic.Int64 // now
}

// goCounts are of Go executables.
type goCounts struct {
	Attached                    atomic.Int64  // now
	Unreadable, Missing, Failed atomic.Uint64 // so far
}

// javaCounts are of Java VMs.
type javaCounts struct {
	Readable               atomic.Int64  // now: with virtual threads that are read
	Unreadable, NeverReady atomic.Uint64 // so far
}

// nodeCounts are of Node.js executables.
type nodeCounts struct {
	Attached           atomic.Int64  // now
	Unreadable, Failed atomic.Uint64 // so far
}

// sendCounts are of spans that were made and not delivered.
type sendCounts struct {
	QueueFull, Refused, Shutdown atomic.Uint64
}
