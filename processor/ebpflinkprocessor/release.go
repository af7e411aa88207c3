package ebpflinkprocessor

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// departure is a span on its way out.
type departure struct {
	batch   *batch
	ordinal uint32
	tenure  tenure
	at      window.Instant
	// silent: a pending span, a duplicate or one that is not sampled, which leaves the storage and goes nowhere.
	silent bool
	// forgotten: nothing of a silent one needs to be known after a restart.
	forgotten bool

	member trace.Member
	raw    bool
	// app is what the application said, for a link where it had to give way.
	appTrace link.TraceID
	appSpan  link.SpanID
	// late is the request that a call comes from and did not keep waiting.
	lateTrace link.TraceID
	lateSpan  link.SpanID
	why       []link.Explanation
	// adoptions are its children that had left before it came.
	adoptions *trace.Adoptions
}

// loop releases what is due until Shutdown, then all.
func (p *linkProcessor) loop(ctx context.Context) {
	defer close(p.stopped)
	ticks, stop := window.Ticks(p.clock, min(max(p.cfg.Window/100, 5*time.Millisecond), 200*time.Millisecond))
	defer stop()
	for {
		select {
		case until := <-p.stopping:
			p.drain(ctx, until)
			return
		case <-ticks:
		}
		for p.round(ctx, false) {
			if len(p.stopping) > 0 {
				break
			}
		}
		p.forget(ctx)
	}
}

func (p *linkProcessor) drain(ctx, until context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(until, cancel)()
	// Where there is no time at all nothing is decided either: what waits may still get a parent after a restart.
	for until.Err() == nil && ctx.Err() == nil && p.round(ctx, true) {
	}
}

// round sends one delivery and reports whether there may be more to send now.
func (p *linkProcessor) round(ctx context.Context, all bool) bool {
	out := p.depart(all)
	if len(out) == 0 {
		return false
	}
	if err := p.payloads.remember(&p.memory); err != nil {
		p.tel.storeError(ctx, "remember")
		p.set.Logger.Error("facts of spans that leave were not stored; after a restart late spans make traces of their own", zap.Error(err))
	}
	if done, err := p.deliver(ctx, out); err != nil {
		// Only the end of ctx gets here: the other spans stay in the storage.
		p.settle(ctx, done)
		return false
	}
	p.settle(ctx, out)
	p.tel.sampledOut(ctx, out)
	return true
}

// depart takes about max_spans_per_export spans out of the window, whole traces at a time.
func (p *linkProcessor) depart(all bool) []departure {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory.reset()
	now := p.arrivals.Now()
	due := now
	if all {
		due += window.Instant(p.cfg.Window)
	}
	out := p.scratch.out[:0]
	if !all {
		p.early.take(func() bool { return len(out) < p.cfg.MaxSpansPerExport }, func(t tenure) (whole, later bool) {
			if p.slots.At(t.id).tenure != t.n || !p.book.Waits(t.id) {
				return false, false
			}
			if !p.book.Whole(t.id) {
				return false, true
			}
			out = p.gather(out, t.id, now, true)
			return true, false
		})
	}
	for len(out) < p.cfg.MaxSpansPerExport {
		b, ok := p.arrivals.Front(due)
		if !ok {
			break
		}
		near := b.next
		for ; int(b.next) < len(b.waiting) && len(out) < p.cfg.MaxSpansPerExport; b.next++ {
			if b.next == near {
				near = p.ahead(b, near)
			}
			out = p.due(out, b, b.next, now, all)
		}
		if int(b.next) == len(b.waiting) {
			p.arrivals.Oldest()
			b.waiting = nil
			if b.left <= 0 && p.batches[b.number] == b {
				// All of it had left before a restart.
				p.unnumber(b)
			}
		}
	}
	p.scratch.out = out
	if cap(out) > mostDepartures+p.cfg.MaxSpansPerExport {
		p.scratch.out = nil
	}
	return out
}

// ahead brings near what due will look at for some of what waits in b, from one arrival on up to another, which it
// returns.
func (p *linkProcessor) ahead(b *batch, from uint32) (to uint32) {
	to = min(from+link.AtOnce, uint32(len(b.waiting)))
	var room [link.AtOnce]link.ID
	ids := room[:0]
	for ordinal := from; ordinal < to; ordinal++ {
		if id, here := p.here(b, ordinal); here && b.waiting[ordinal]&isPending == 0 {
			ids = append(ids, id)
		}
	}
	p.book.Ahead(ids, p.near)
	return to
}

// due appends what leaves because the window of one arrival is over.
func (p *linkProcessor) due(out []departure, b *batch, ordinal uint32, now window.Instant, all bool) []departure {
	a := b.waiting[ordinal]
	id, here := p.here(b, ordinal)
	switch {
	case a == absent:
	case a == duplicate:
		out = append(out, departure{batch: b, ordinal: ordinal, silent: true, forgotten: true})
	case a&isPending != 0:
		d := departure{batch: b, ordinal: ordinal, silent: true}
		if here {
			d.tenure = tenure{id, p.slots.At(id).tenure}
			p.memory.announced(p.index, id)
		}
		out = append(out, d)
	case here && p.book.Waits(id):
		out = p.gather(out, id, now, all)
	}
	return out
}

// gather appends the due span and the settled members of its trace.
func (p *linkProcessor) gather(out []departure, due link.ID, now window.Instant, all bool) []departure {
	members := p.book.Gather(due)
	for i := range members {
		m := &members[i]
		f, s := p.index.View(m.ID), p.slots.At(m.ID)
		// What was announced before a restart is in no batch.
		if f.Pending || (m.ID != due && !all && !p.arrivals.Settled(p.batches[s.batch].at, now)) {
			if m.Fixed {
				p.memory.fixed(p.index, m)
			}
			continue
		}
		b := p.batches[s.batch]
		p.book.Leave(m, stamp(now))
		p.memory.left(p.index, m, b.seq, s.ordinal)
		d := departure{
			batch: b, ordinal: s.ordinal, tenure: tenure{m.ID, s.tenure}, at: b.at,
			member: *m, raw: f.Raw, silent: m.Decision.Dropped(),
		}
		if d.silent {
			out = append(out, d)
			continue
		}
		d.adoptions = p.book.Adopt(m)
		if f.CtxTrace != m.Trace {
			d.appTrace, d.appSpan = f.CtxTrace, f.CtxParent
			if !f.Raw {
				d.appSpan = f.Span
			}
		}
		// The request ended before and came before, so its trace is known if it ever will be.
		if r := p.index.Request(f.Host, f.LateOf); f.Raw && r != link.None {
			if t, fixed := p.book.Trace(r); fixed {
				d.lateTrace, d.lateSpan = t, p.index.View(r).Span
			}
		}
		if p.cfg.Explain {
			d.why = p.index.Explain(m.ID, p.cfg.Window)
		}
		out = append(out, d)
	}
	return out
}

// settle records in the storage and in memory that out has left.
func (p *linkProcessor) settle(ctx context.Context, out []departure) {
	deps := p.scratch.departures[:0]
	var done []*batch
	order := p.scratch.sort(out)
	for len(order) > 0 {
		b := out[order[0].at].batch
		n := 1
		for n < len(order) && order[n].seq == b.seq {
			n++
		}
		b.left -= n
		d := store.Departure{Seq: b.seq, Last: b.left <= 0}
		if d.Last {
			done = append(done, b)
		} else {
			d.Marks = marks(out, order[:n])
		}
		if d.Last || len(d.Marks) > 0 {
			deps = append(deps, d)
		}
		order = order[n:]
	}
	p.scratch.departures = deps
	p.record(ctx, deps)
	p.held.Add(-int64(len(out)))
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.retained.Now()
	for i := range out {
		if t := out[i].tenure; t.n != 0 {
			p.retained.Push(now, t)
		}
	}
	for _, b := range done {
		p.unnumber(b)
	}
}

// marks is what a restart must know of departures from one batch.
func marks(out []departure, order []place) (ms []store.Mark) {
	for _, o := range order {
		// A pending span is announced again after a restart; all else must not come again.
		if d := &out[o.at]; !d.silent || d.forgotten || d.member.Decision.Dropped() {
			bond := d.member.Bond()
			ms = append(ms, store.Mark{
				Ordinal: d.ordinal, Trace: d.member.Trace, Parented: bond == trace.Parented, Alone: bond == trace.Alone,
				Decision: uint8(d.member.Decision),
			})
		}
	}
	return ms
}

// record stores departures. As long as the disk has no room for them nothing else is delivered: what was
// not recorded is delivered again after a crash.
func (p *linkProcessor) record(ctx context.Context, deps []store.Departure) {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := p.payloads.release(deps)
		if err == nil {
			return
		}
		p.tel.storeError(ctx, "release")
		if wait == firstBackoff {
			p.set.Logger.Error("a delivery was not recorded; after a crash its spans are sent again", zap.Error(err))
		}
		if !errors.Is(err, store.ErrFull) || !sleep(ctx, wait) {
			return
		}
		deps = nil // the storage has them
	}
}
