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
func rootTraceID(f *link.Fact) link.TraceID {
	root := f.Span
	if f.Raw && f.Role == link.Client && f.Systrace != 0 && f.Anchor != (link.SpanID{}) {
		root = f.Anchor
	}
	var b [17]byte
	copy(b[1:9], root[:])
	binary.LittleEndian.PutUint64(b[9:], f.Host)
	var id link.TraceID
	for i := range 2 {
		b[0] = byte(i + 1)
		binary.BigEndian.PutUint64(id[8*i:], xxhash.Sum64(b[:]))
	}
	if id == (link.TraceID{}) {
		id[15] = 1
	}
	return id
}
