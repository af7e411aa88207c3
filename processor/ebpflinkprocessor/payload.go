package ebpflinkprocessor

import (
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// payloads keeps batches until their spans have left.
type payloads interface {
	// append returns the number of the batch, which is its own for good.
	append(arrival int64, td ptrace.Traces) (seq uint64, err error)
	// load returns a copy that the caller may change.
	load(seq uint64) (ptrace.Traces, error)
	release([]store.Departure) error
	// remember keeps what a restart must know of spans that left.
	remember(at int64, m *memory) error
	size() int64
	close() error
}

// onDisk keeps batches in a store.
type onDisk struct {
	*store.Store
	enc ptrace.ProtoMarshaler
	dec ptrace.ProtoUnmarshaler
}

func (d *onDisk) append(arrival int64, td ptrace.Traces) (uint64, error) {
	b, err := d.enc.MarshalTraces(td)
	if err != nil {
		return 0, fmt.Errorf("encode a batch: %w", err)
	}
	return d.Append(arrival, b)
}

func (d *onDisk) load(seq uint64) (td ptrace.Traces, err error) {
	err = d.Load(seq, func(b []byte) (err error) {
		td, err = d.dec.UnmarshalTraces(b)
		return err
	})
	return td, err
}

func (d *onDisk) release(deps []store.Departure) error { return d.Release(deps) }
func (d *onDisk) remember(at int64, m *memory) error   { return d.Remember(at, m.spans, m.b) }
func (d *onDisk) size() int64                          { return d.Size() }
func (d *onDisk) close() error                         { return d.Close() }

// inMemory keeps the batches themselves; a crash loses them.
type inMemory struct {
	mu      sync.Mutex
	batches map[uint64]ptrace.Traces
	seq     uint64
}

func newInMemory() *inMemory { return &inMemory{batches: map[uint64]ptrace.Traces{}} }

func (m *inMemory) append(_ int64, td ptrace.Traces) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	m.batches[m.seq] = td
	return m.seq, nil
}

func (m *inMemory) load(seq uint64) (ptrace.Traces, error) {
	m.mu.Lock()
	td, ok := m.batches[seq]
	m.mu.Unlock()
	if !ok {
		return td, fmt.Errorf("batch %d is not in memory", seq)
	}
	// A copy: the next consumer may change what it gets and still refuse it.
	out := ptrace.NewTraces()
	td.CopyTo(out)
	return out, nil
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

func (*inMemory) remember(int64, *memory) error { return nil }
func (*inMemory) size() int64                   { return 0 }
func (*inMemory) close() error                  { return nil }
