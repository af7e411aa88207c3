package ebpfspanreceiver

import (
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
)

// advance tells the solver how far the records are known, and says what time it is for those that wait.
func (r *ebpfReceiver) advance(now uint64, drained bool) (time uint64) {
	time = r.progress.advance(now, drained)
	if r.solver.Counting() == 0 {
		return time
	}
	if now > r.checked+uint64(lossesAfter) {
		r.checkLosses(now)
	}
	r.solver.Saw(r.read, r.checked)
	return time
}

// checkLosses looks whether records were lost since it was last called.
func (r *ebpfReceiver) checkLosses(now uint64) {
	r.checked = now
	losses, err := r.tracer.Losses()
	if err != nil { // said as well where telemetry reads them
		r.log.Debug("Loss counters cannot be read, so no calls are counted", zap.Error(err))
		r.solver.Lost(now)
		return
	}
	var lost uint64
	for _, l := range losses {
		if l.Records {
			lost += l.Count
		}
	}
	if lost != r.lost {
		r.lost = lost
		r.solver.Lost(now)
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
