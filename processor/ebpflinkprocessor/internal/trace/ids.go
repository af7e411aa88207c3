package trace

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// rootTraceID is the trace id of a component without an application trace id. It depends on
// nothing but the root, so every gateway, restart and late span computes the same.
//
// A CLIENT span whose SERVER parent was not seen counts as a child of that SERVER span here: all
// its siblings get one trace id, and so does the SERVER span if it comes after all.
func (b *Book) rootTraceID(id link.ID) link.TraceID {
	f := b.ix.View(id)
	root := f.Span
	if f.Raw && f.Role == link.Client && f.Systrace != 0 {
		if anchor := b.ix.Anchor(f); anchor != (link.SpanID{}) {
			root = anchor
		}
	}
	var in [17]byte
	copy(in[1:9], root[:])
	binary.LittleEndian.PutUint64(in[9:], f.Host)
	var trace link.TraceID
	for i := range 2 {
		in[0] = byte(i + 1)
		binary.BigEndian.PutUint64(trace[8*i:], xxhash.Sum64(in[:]))
	}
	if trace == (link.TraceID{}) {
		trace[15] = 1
	}
	return trace
}
