package ebpflinkprocessor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
)

// memory gathers what a restart must know of the spans of one delivery: their facts, and what was
// decided about each. It is stored as one record, before the delivery: one that a crash cuts off is made
// again, when more of its traces may have come, and must have the same trace ids then. Whether a span of
// it has left is what the storage says of its place. For each span:
//
//	what it is (1): 1 has a parent, 2 and 4 the decision, 8 leaves, 16 has odds, 32 waits and its trace
//	                is decided, 64 has a place, 128 has no parent but may get one; neither 8 nor 32: was announced
//	trace id (16), when it leaves or is decided
//	odds (16), when there are any
//	place: number of its batch and its ordinal (2 varints); version 3 of the storage wrote none, as it
//	                wrote after the delivery
//	link.Fact with its link.Rare; of one that waits, and is stored, only what link.Name has of it
type memory struct {
	b     []byte
	spans int
	// fact is room for the one that is written.
	fact link.Fact
}

const (
	wasParented   = 1
	decisionShift = 1
	decisionMask  = 3 << decisionShift
	wasLeft       = 8
	hadOdds       = 16
	wasFixed      = 32
	hadPlace      = 64
	wasAlone      = 128
)

func (m *memory) reset() { m.b, m.spans = m.b[:0], 0 }

// left adds a span that leaves its place.
func (m *memory) left(x *link.Index, s *trace.Member, seq uint64, ordinal uint32) {
	what := byte(wasLeft | hadPlace)
	switch s.Bond() {
	case trace.Parented:
		what |= wasParented
	case trace.Alone:
		what |= wasAlone
	case trace.Doubtful:
	}
	m.decided(what, s)
	m.b = binary.AppendUvarint(binary.AppendUvarint(m.b, seq), uint64(ordinal))
	x.Read(s.ID, &m.fact)
	m.add(x, s.ID)
}

// fixed adds a span that waits, of a trace of which others leave.
func (m *memory) fixed(x *link.Index, s *trace.Member) {
	m.decided(wasFixed, s)
	x.Read(s.ID, &m.fact)
	m.b = link.AppendName(m.b, &m.fact)
	m.spans++
}

func (m *memory) decided(what byte, s *trace.Member) {
	what |= byte(s.Decision) << decisionShift & decisionMask
	odds, hasOdds := s.Odds.Words()
	if hasOdds {
		what |= hadOdds
	}
	m.b = append(append(m.b, what), s.Trace[:]...)
	if hasOdds {
		m.b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(m.b, odds[0]), odds[1])
	}
}

// announced adds a pending span.
func (m *memory) announced(x *link.Index, id link.ID) {
	m.b = append(m.b, 0)
	x.Read(id, &m.fact)
	// The name of the host may not be known when it is read.
	m.fact.Anchor = x.Anchor(x.View(id))
	m.add(x, id)
}

func (m *memory) add(x *link.Index, id link.ID) {
	rare := x.Rare(id)
	m.b = link.AppendFact(m.b, &m.fact, &rare)
	m.spans++
}

// remembered is one span of a memory.
type remembered struct {
	fact  link.Fact
	rare  link.Rare
	left  bool
	fixed bool
	// placed: seq and ordinal are its place.
	placed   bool
	seq      uint64
	ordinal  uint32
	name     link.Name
	bond     trace.Bond
	trace    link.TraceID
	decision sampling.Decision
	odds     sampling.Odds
}

func readMemory(b []byte, fn func(*remembered)) error {
	for len(b) > 0 {
		what := b[0]
		r := remembered{
			left: what&wasLeft != 0, fixed: what&wasFixed != 0, placed: what&hadPlace != 0, bond: trace.BondOf(what&wasParented != 0, what&wasAlone != 0),
			decision: sampling.Decision(what & decisionMask >> decisionShift),
		}
		b = b[1:]
		if r.left || r.fixed {
			if len(b) < 16 {
				return link.ErrStored
			}
			r.trace = link.TraceID(b)
			b = b[16:]
		}
		if what&hadOdds != 0 {
			if len(b) < 16 {
				return link.ErrStored
			}
			r.odds = sampling.OddsOf([2]uint64{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])})
			b = b[16:]
		}
		if r.placed {
			var ok bool
			if b, ok = r.place(b); !ok {
				return link.ErrStored
			}
		}
		var err error
		if r.fixed {
			r.name, b, err = link.ReadName(b)
		} else if r.fact, r.rare, b, err = link.ReadFact(b); err == nil {
			r.name = r.fact.Name()
		}
		if err != nil {
			return err
		}
		fn(&r)
	}
	return nil
}

// place reads the place of r and returns the rest of b.
func (r *remembered) place(b []byte) (rest []byte, ok bool) {
	seq, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, false
	}
	ordinal, m := binary.Uvarint(b[n:])
	if m <= 0 || ordinal > math.MaxUint32 {
		return nil, false
	}
	r.seq, r.ordinal = seq, uint32(ordinal)
	return b[n+m:], true
}

// decided is what was decided about spans that still waited when the process ended.
type decided map[link.Name]remembered

// apply is for when they are there again.
func (p *linkProcessor) apply(ds decided) {
	if len(ds) == 0 {
		return
	}
	var f link.Fact
	for id := range link.ID(p.index.Cap()) {
		if p.index.Read(id, &f); f.Span == (link.SpanID{}) || !p.book.Waits(id) {
			continue
		}
		if r, ok := ds[f.Name()]; ok {
			p.book.Fix(id, r.trace, r.decision, r.odds)
		}
	}
}

// recall takes in the facts of spans that left before a restart, and what was decided about others.
func (p *linkProcessor) recall(d *onDisk) (ds decided, spans int, err error) {
	ds = decided{}
	waits, err := d.Waiting()
	if err != nil {
		return nil, 0, err
	}
	err = d.Recall(func(age time.Duration, count int, b []byte) error {
		here, n := p.retained.Ago(age), 0
		err := readMemory(b, func(r *remembered) {
			n++
			// Of a delivery that was not recorded only the decisions are left.
			if r.fixed || r.placed && waits(r.seq, r.ordinal) {
				ds[r.name] = *r
				return
			}
			if r.left {
				delete(ds, r.name)
			}
			if p.reader.sameCall && r.rare.Exchange.Known() {
				p.paired.Store(true)
			}
			id := p.index.Find(&r.fact)
			switch {
			case id == link.None:
				id = p.add(&r.fact, &r.rare)
			case p.index.View(id).Pending && !r.fact.Pending:
				p.index.Replace(id, r.fact, r.rare)
				p.slots.At(id).renew()
			default:
				return
			}
			if r.left {
				p.book.Restore(id, r.trace, r.bond, r.decision, stamp(p.arrivals.Ago(age)))
				p.book.Say(id, r.odds)
			}
			p.retained.Push(here, tenure{id, p.slots.At(id).tenure})
		})
		if err == nil && n != count {
			err = fmt.Errorf("%d spans instead of %d", n, count)
		}
		if err != nil {
			return fmt.Errorf("storage directory %s: facts of spans that have left are damaged: %w; move its directories facts-* away to start without them (late spans then make traces of their own)", p.cfg.Storage.Directory, errors.Join(store.ErrCorrupt, err))
		}
		spans += n
		return nil
	})
	return ds, spans, err
}
