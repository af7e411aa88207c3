package ebpflinkprocessor

import (
	"bytes"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// payloads keeps batches until their spans have left.
type payloads interface {
	// append reads the spans of td to in, and returns the number of the batch, which is its own for good.
	append(arrival int64, td ptrace.Traces, in *reading) (seq uint64, err error)
	// load calls fn with the encoded batch, which is only valid during the call.
	load(seq uint64, fn func(payload []byte) error) error
	release([]store.Departure) error
	// remember keeps what a restart must know of spans that leave.
	remember(m *memory) error
	size() int64
	close() error
}

// encoder makes the bytes that a batch waits as.
type encoder struct {
	blocks sync.Pool
	otlp   ptrace.ProtoMarshaler
	// share is block.CanShare.
	share bool
}

// fewSpans of a resource are written faster as OTLP: there is little in them that comes again.
const fewSpans = 8

// encode calls keep with a block, or with OTLP where that is better or a block has no place for something; it
// is valid during the call. The spans are read to in, which has none.
func (e *encoder) encode(td ptrace.Traces, in *reading, keep func([]byte) (uint64, error)) (seq uint64, err error) {
	var b []byte
	ok := td.SpanCount() >= fewSpans*td.ResourceSpans().Len()
	if ok {
		w, _ := e.blocks.Get().(*block.Writer)
		if w == nil {
			w = &block.Writer{Share: e.share}
		}
		defer e.blocks.Put(w)
		// The attributes are gone through once for both.
		b, ok, err = w.Write(td, in)
	}
	if err == nil && !ok {
		in.reset()
		in.all(td)
		b, err = e.otlp.MarshalTraces(td)
	}
	if err != nil {
		return 0, fmt.Errorf("encode a batch: %w", err)
	}
	return keep(b)
}

// onDisk keeps batches in a store.
type onDisk struct {
	*store.Store
	enc encoder
}

func (d *onDisk) append(arrival int64, td ptrace.Traces, in *reading) (uint64, error) {
	return d.enc.encode(td, in, func(b []byte) (uint64, error) { return d.Append(arrival, b) })
}

func (d *onDisk) load(seq uint64, fn func([]byte) error) error { return d.Load(seq, fn) }

func (d *onDisk) release(deps []store.Departure) error { return d.Release(deps) }
func (d *onDisk) remember(m *memory) error             { return d.Remember(m.spans, m.b) }
func (d *onDisk) size() int64                          { return d.Size() }
func (d *onDisk) close() error                         { return d.Close() }

// inMemory keeps encoded batches, which take a tenth of what they take decoded; a crash loses them.
type inMemory struct {
	mu      sync.Mutex
	enc     encoder
	batches map[uint64][]byte
	seq     uint64
}

func newInMemory() *inMemory {
	return &inMemory{enc: encoder{share: block.CanShare()}, batches: map[uint64][]byte{}}
}

func (m *inMemory) append(_ int64, td ptrace.Traces, in *reading) (uint64, error) {
	return m.enc.encode(td, in, func(b []byte) (uint64, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.seq++
		m.batches[m.seq] = bytes.Clone(b)
		return m.seq, nil
	})
}

func (m *inMemory) load(seq uint64, fn func([]byte) error) error {
	m.mu.Lock()
	b, ok := m.batches[seq]
	m.mu.Unlock()
	if !ok {
		return fmt.Errorf("batch %d is not in memory", seq)
	}
	return fn(b)
}

func (m *inMemory) release(deps []store.Departure) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range deps {
		if d.Last {
			delete(m.batches, d.Seq)
		}
	}
	return nil
}

func (*inMemory) remember(*memory) error { return nil }
func (*inMemory) size() int64            { return 0 }
func (*inMemory) close() error           { return nil }
