//go:build linux

package ebpfspanreceiver

import (
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
)

// decide lets time pass for those who wait for evidence, or to be counted, up to which it is known whether records
// were lost: what is decided rests on what has not come. known is how far the records are, see progress.
func (r *ebpfReceiver) decide(now, known uint64) {
	if r.solver.Waiting()+r.solver.Counting() > 0 {
		if now > r.checked+uint64(lossesAfter) {
			r.checkLosses(now)
		}
		r.solver.Saw(r.read, r.checked)
		known = min(known, r.checked)
	}
	r.solver.Tick(known)
}

// checkLosses looks whether records were lost since it was last called.
func (r *ebpfReceiver) checkLosses(now uint64) {
	losses, err := r.losses()
	if err != nil { // said as well where telemetry reads them
		r.log.Debug("Loss counters cannot be read, so what rests on no record being lost is not used", zap.Error(err))
	}
	var lost, missed uint64
	for _, l := range losses {
		switch {
		case l.Records && l.Followed:
			lost += l.Count
		case l.Records:
			missed += l.Count
			r.sayMissed(l.Programs)
		}
	}
	until := max(now, r.writer.clock.Now()) // also while they were read
	switch {
	case err != nil || missed != r.missed:
		r.solver.Missed(r.checked, until)
	case lost != r.lost:
		r.solver.Lost(r.checked, until)
	}
	if err == nil {
		r.lost, r.missed = lost, missed
	}
	r.checked = now
}

// sayMissed says which programs did not run where they should have: of each once, and then to who looks closely.
func (r *ebpfReceiver) sayMissed(programs map[string]uint64) {
	for name, n := range programs {
		before, said := r.missedBy[name]
		if n == before {
			continue
		}
		level := zap.InfoLevel
		if said {
			level = zap.DebugLevel
		}
		r.log.Log(level, "A BPF program did not run, inside another one on the same CPU: what was under way is not linked "+
			"where that rests on nothing else having come. Counted as events_lost{reason=program_missed}",
			zap.String("program", name), zap.Uint64("times", n))
		if r.missedBy == nil {
			r.missedBy = map[string]uint64{}
		}
		r.missedBy[name] = n
	}
}

// count keeps the span of a request that is over until it is known how many calls it made, or that it will
// not be known.
func (r *ebpfReceiver) count(x *exchange.Exchange) {
	p, why := r.processes.of(x.Tgid), causality.Counted
	since := r.processes.since(x.Tgid)
	switch {
	case x.Outcome != exchange.Answered:
		why = causality.Unanswered
	case p == nil || since == 0 || x.Start < since:
		why = causality.Unwatched
	}
	if why != causality.Counted {
		r.solver.Uncountable(x.Tgid, why)
		r.emit(x, origin{})
		return
	}
	lineage := p.lineage(x) // what its thread serves next is none of its business
	r.solver.Count(x.Tgid, x.Turn, x.Epoch, func(c causality.Count) {
		r.write(p, x, origin{lineage: lineage, calls: &c})
	})
}

// underWay gives the solver the calls of a process that are not over.
func (r *ebpfReceiver) underWay(tgid uint32, each func(causality.Call)) {
	r.table.UnderWay(tgid, func(u *exchange.UnderWay) {
		each(causality.Call{
			ID:     u.Turn,
			Writer: causality.Writer{Tgid: tgid, Tid: u.Tid, Context: u.Context, Kind: u.ContextKind},
			// Where its end may be read by another, that evidence does not count yet: see undecided.
			EndTid: u.Tid, EndContext: u.Context,
			Later: u.Later, Together: u.Together, Overlapped: u.Overlapped, Start: u.Start,
		})
	})
}

// Unread implements exchange.Sink.
func (r *ebpfReceiver) Unread(tgid uint32, from, to uint64) { r.solver.Unread(tgid, from, to) }
