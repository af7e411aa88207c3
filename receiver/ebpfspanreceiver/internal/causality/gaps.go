package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// A gap is a time in which the kernel side lost records: from when its counters were last known to be unchanged until
// they were seen to have grown. Whose records they were nobody knows, so it is everybody's.
//
// What a record says stays true across a gap. That none came says nothing: of a request that was being served at the
// gap, or later, it is not known what else has led to a call, who else has made one, or that it was over. So only
// evidence counts then that is right whatever else has happened (see kind.stands), and nothing is learned. What was
// lost happened after the request had begun that evidence names, or it says nothing about that evidence: so what
// matters is whether a gap has come since then. No call is decided before it is known whether one has: see Tick.
//
// What is counted of a process (how often a task ends unseen, say) is taken as it is: fewer were seen, not others.

// Lost says that records were lost between from and to.
func (s *Solver) Lost(from, to uint64) {
	s.gaps.add(from, to)
	s.lost = max(s.lost, to)
	s.async.lose(from, to)
}

// Missed says that something happened between from and to that the kernel side has not seen itself. What it says of
// contexts since may be of before: nothing stands.
func (s *Solver) Missed(from, to uint64) {
	s.Lost(from, to)
	s.missed = max(s.missed, to)
}

// lostSince: there was a gap then, or later.
func (s *Solver) lostSince(start uint64) bool { return s.lost != 0 && start <= s.lost }

// unseen: what an edge says of a call cannot be told from what it would say if records were not lost. It was not seen
// whether the request was over by the time of the call, or the edge rests on what did not come.
func (s *Solver) unseen(e *edge, c *Call, r *served) bool {
	if !s.lostSince(r.start) {
		return false
	}
	if s.missed >= r.start {
		return true
	}
	stands := kinds[e.kind].stands
	return stands == nil || !stands(e, c, r) || !r.seen && s.gaps.during(r.start, c.Start)
}

// These say of an edge that it is right whatever else has happened.

// always: the kernel side knows by itself.
func always(*edge, *Call, *served) bool { return true }

// servesToEnd: the thread is seen to have answered what it has read. Where the request is not answered, what other
// threads did would tell.
func servesToEnd(_ *edge, c *Call, r *served) bool {
	return r.answerer.Tid != 0 || c.Writer.Context != 0 && c.Writer.Kind != event.Virtual
}

// firstUse of a hand-over: what became of the task later does not matter.
func firstUse(e *edge, c *Call, _ *served) bool { return e.uses <= 1 && e.baseUses <= 1 && !c.Together }

// noTask: it rests on no hand-over, which may have been one of several; of a loop: on no round, of which others know.
func noTask(e *edge, _ *Call, _ *served) bool { return e.segment == 0 }
