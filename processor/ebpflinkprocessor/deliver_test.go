package ebpflinkprocessor

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// picky is a next consumer that refuses what fn says.
type picky struct {
	sink
	sends int
	fn    func(ids map[uint64]bool) error
}

func (p *picky) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	p.sends++
	ids := map[uint64]bool{}
	for _, sp := range eachSpan(td) {
		id := sp.SpanID()
		ids[binary.BigEndian.Uint64(id[:])] = true
	}
	if err := p.fn(ids); err != nil {
		return err
	}
	return p.sink.ConsumeTraces(ctx, td)
}

var _ consumer.Traces = (*picky)(nil)

// tenCalls are spans 1 to 20 in ten traces.
func tenCalls(r *rig) {
	for n := range 10 {
		c, s := call(uint64(2*n+1), uint64(2*n+2), "a", "b", n, 500, uint32(10*n+10), 0, uint64(n+1))
		r.consume(c, s)
	}
}

func TestOnlyWhatIsRefusedIsDropped(t *testing.T) {
	never := consumererror.NewPermanent(errors.New("never"))
	for _, c := range []struct {
		name    string
		fn      func(map[uint64]bool) error
		lost    []uint64
		atMost  int
		dropped int64
	}{
		{"one span", func(ids map[uint64]bool) error {
			if ids[7] {
				return never
			}
			return nil
		}, []uint64{7}, 12, 1},
		{"two far apart", func(ids map[uint64]bool) error {
			if ids[1] || ids[20] {
				return never
			}
			return nil
		}, []uint64{1, 20}, 20, 2},
		{"too many at once", func(ids map[uint64]bool) error {
			if len(ids) > 3 {
				return never
			}
			return nil
		}, nil, 40, 0},
		{"a trace too big", func(ids map[uint64]bool) error {
			if len(ids) > 1 {
				return never
			}
			return nil
		}, nil, 40, 0},
		{"all", func(map[uint64]bool) error { return never }, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 40, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			next := &picky{fn: c.fn}
			r.next = next
			tenCalls(r)
			r.pass(25 * time.Second)
			got := next.spans()
			for id := range uint64(20) {
				want := 1
				for _, l := range c.lost {
					if l == id+1 {
						want = 0
					}
				}
				require.Len(t, got[id+1], want, "span %d", id+1)
			}
			require.LessOrEqual(t, next.sends, c.atMost)
			require.EqualValues(t, c.dropped, r.metric("spans_dropped", "refused_by_next"))
			require.Zero(t, r.held.Load())
		})
	}
}

// TestANextThatRefusesAllIsNotAskedForEver: after a delivery of which nothing was accepted the next one
// costs few sends, until one is accepted.
func TestANextThatRefusesAllIsNotAskedForEver(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSpansPerExport = 1000 })
	broken := true
	next := &picky{fn: func(map[uint64]bool) error {
		if broken {
			return consumererror.NewPermanent(errors.New("no such service"))
		}
		return nil
	}}
	r.next = next
	many := func(from int) {
		var specs []spanSpec
		for n := range 500 {
			c, s := call(uint64(2*n+1+from), uint64(2*n+2+from), "a", "b", n, 500, uint32(10*n+10+from), 0, uint64(n+1+from))
			specs = append(specs, c, s)
		}
		r.consume(specs...)
		next.sends = 0
		r.pass(25 * time.Second)
	}
	many(0)
	require.InDelta(t, manySends, next.sends, 20)
	many(10_000)
	require.InDelta(t, fewSends, next.sends, 8)
	require.EqualValues(t, 2000, r.metric("spans_dropped", "refused_by_next"))
	broken = false
	many(20_000)
	require.Equal(t, 1, next.sends)
	broken = true
	many(30_000)
	require.InDelta(t, manySends, next.sends, 20)
}

// TestShutdownAmidAPartialDelivery: what went is not sent again, what did not is not lost.
func TestShutdownAmidAPartialDelivery(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, inDir(dir))
	ctx, cancel := context.WithCancel(t.Context())
	down := false
	next := &picky{fn: func(ids map[uint64]bool) error {
		if ids[1] && len(ids) > 4 {
			return consumererror.NewPermanent(errors.New("too many"))
		}
		if down {
			cancel()
			return errors.New("down")
		}
		down = true // after the first part
		return nil
	}}
	r.next = next
	tenCalls(r)
	r.clock.advance(25 * time.Second)
	require.False(t, r.round(ctx, false))
	first := next.spans()
	require.NotEmpty(t, first)
	require.Less(t, len(first), 20)
	require.NoError(t, r.payloads.close())

	q := newRig(t)
	q.cfg.Storage.Directory = dir
	q.clock.advance(25 * time.Second)
	require.NoError(t, q.openPayloads(t.Context()))
	q.pass(25 * time.Second)
	second := q.sink.spans()
	for id := range uint64(20) {
		require.Len(t, append(first[id+1], second[id+1]...), 1, "span %d", id+1)
	}
}

// damaged is a storage that cannot read one batch.
type damaged struct {
	payloads
	seq uint64
}

func (d *damaged) load(seq uint64, fn func([]byte) error) error {
	if seq == d.seq {
		return store.ErrCorrupt
	}
	return d.payloads.load(seq, fn)
}

// TestADamagedBatchCostsItsSpans: the others of the delivery leave.
func TestADamagedBatchCostsItsSpans(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, inDir(dir))
	tenCalls(r)
	whole := r.payloads
	defer func() { r.payloads = whole }()
	r.payloads = &damaged{whole, 4}
	r.pass(25 * time.Second)
	require.Len(t, r.sink.spans(), 18)
	require.EqualValues(t, 2, r.metric("spans_dropped", "storage"))
	require.Zero(t, r.held.Load())
}
