package probe

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// recorder collects the records of the processes that one test has selected.
type recorder struct {
	t       *testing.T
	tracer  *Tracer
	earlier map[uint32]bool   // the processes of the tests before it
	lost    map[string]uint64 // by reason, before it
	seen    map[uint32]bool

	mu        sync.Mutex
	data      []event.Data
	conns     []event.Conn
	evidence  []event.Evidence
	processes []event.Process
	objects   []event.Object
	origins   []event.Origin
}

func (r *recorder) record(e *event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case event.KindData:
		if !r.of(e.Data.Tgid) {
			return
		}
		e.Data.Payload = append([]byte(nil), e.Data.Payload...)
		r.data = append(r.data, e.Data)
		if e.Evidence.What != 0 {
			r.evidence = append(r.evidence, e.Evidence)
		}
	case event.KindConn:
		if r.of(e.Conn.Tgid) {
			r.conns = append(r.conns, e.Conn)
		}
	case event.KindEvidence:
		if r.of(e.Evidence.Tgid) {
			r.evidence = append(r.evidence, e.Evidence)
		}
	case event.KindOrigin:
		if r.of(e.Origin.Tgid) {
			r.origins = append(r.origins, e.Origin)
		}
	case event.KindObject:
		if r.of(e.Object.Tgid) {
			r.objects = append(r.objects, e.Object)
		}
	case event.KindProcess:
		if r.of(e.Process.Tgid) {
			r.processes = append(r.processes, e.Process)
		}
	}
}

// of says whether this test started the process.
func (r *recorder) of(tgid uint32) bool {
	if r.earlier[tgid] {
		return false
	}
	r.seen[tgid] = true
	return true
}

// losses is what was lost since the test began.
func (r *recorder) losses(t *testing.T) []Loss {
	t.Helper()
	all, err := r.tracer.Losses()
	require.NoError(t, err)
	for i := range all {
		all[i].Count -= r.lost[all[i].Reason]
	}
	return all
}

// tracing is the tracer of all tests, from the first one that needs it on: an emulated machine takes half a minute to
// verify its programs. The tests run one after the other; each sees the records of its own processes.
type tracing struct {
	tracer  *Tracer
	readers sync.WaitGroup
	earlier map[uint32]bool

	mu  sync.Mutex
	now *recorder // of the test that runs
	// errs is what readers returned.
	errs []error
}

var shared tracing

func (s *tracing) load(t *testing.T) {
	t.Helper()
	tr, err := Load(Options{PayloadSize: 4096, RingBufferSize: 4 << 20})
	require.NoError(t, err)
	s.tracer, s.earlier = tr, map[uint32]bool{}
	require.NoError(t, tr.Attach())
	require.NoError(t, tr.Open())
	s.readers.Go(func() { s.over(tr.ReadEvents(s.record, func(bool) {})) })
	s.readers.Go(func() { s.over(tr.ReadProcesses(s.record, func() {})) })
}

func (s *tracing) over(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

func (s *tracing) record(raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return
	}
	var e event.Event
	if err := event.Decode(raw, &e); err != nil {
		s.now.t.Errorf("decode: %v", err)
		return
	}
	s.now.record(&e)
}

func (s *tracing) set(r *recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = r
}

func (s *tracing) close() error {
	if s.tracer == nil {
		return nil
	}
	s.errs = append(s.errs, s.tracer.Interrupt())
	s.readers.Wait()
	return errors.Join(append(s.errs, s.tracer.Close())...)
}

func startTracer(t *testing.T) (*Tracer, *recorder) {
	t.Helper()
	bpftest.Need(t)
	if shared.tracer == nil {
		shared.load(t)
	}
	r := &recorder{
		t: t, tracer: shared.tracer, earlier: shared.earlier, lost: map[string]uint64{}, seen: map[uint32]bool{},
	}
	for _, l := range r.losses(t) {
		r.lost[l.Reason] = l.Count
	}
	shared.set(r)
	t.Cleanup(func() {
		shared.set(nil)
		for tgid := range r.seen {
			shared.earlier[tgid] = true
		}
	})
	return r.tracer, r
}
