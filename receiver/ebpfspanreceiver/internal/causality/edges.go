package causality

// edge says that a call belongs to a request, or with another call.
type edge struct {
	to             uint64 // the turn of the request, or with toCall the call
	segment, base  uint64 // see struct evidence_event, bpf/event.h
	kind           uint8
	uses, baseUses uint8
	claim          uint8 // which of its request's calls this claims to be, see claims; 0: it is no claim
	// toCall: whatever request that call belongs to, this one does too. Always so for the kind next.
	toCall bool
}

// Bounds of what is kept of one call.
const (
	maxEdges = 16
	maxAfter = 8
)

// record is what is known of a call.
type record struct {
	edges []edge
	// after are the calls that name this one as the one before them; crowded: too many to know.
	after   []uint64
	crowded bool
	// done is the finished exchange of the call, until it is decided; several: its bytes held more.
	done      *held
	several   bool
	operation uint64
	start     uint64 // of the call, where that is known
	// decided: what its own evidence said when it was answered.
	decided bool
	verdict verdict
	ended   uint64 // when it was decided: the end of the call
}

// previous is the call that this one came next after, or 0.
func (r *record) previous() (call uint64, by *edge) {
	for i := range r.edges {
		if e := &r.edges[i]; e.kind == next {
			return e.to, e
		}
	}
	return 0, nil
}

// overAt is when the call ended, 0 where that is not known.
func (r *record) overAt() uint64 {
	switch {
	case r == nil || r.several:
		return 0
	case r.done != nil:
		return r.done.call.End
	}
	return r.ended
}

// ledger has the record of every call in two generations. Some are never asked for: their protocol is
// not parsed. Others are asked for again: several commands may go out in one write, and calls that
// follow each other stand for each other.
type ledger struct {
	now, old map[uint64]*record
	turned   uint64
	swept    uint64
}

func newLedger() ledger { return ledger{now: map[uint64]*record{}} }

// of finds the record of a call, or makes it.
func (l *ledger) of(call uint64) *record {
	r := l.now[call]
	if r != nil {
		return r
	}
	if r = l.old[call]; r != nil {
		delete(l.old, call)
	} else {
		r = &record{}
	}
	l.now[call] = r
	return r
}

// find returns the record of a call, or nil.
func (l *ledger) find(call uint64) *record {
	if r := l.now[call]; r != nil {
		return r
	}
	return l.old[call]
}

func (l *ledger) add(call uint64, e edge) {
	r := l.of(call)
	if len(r.edges) >= maxEdges {
		return
	}
	if r.edges == nil {
		r.edges = make([]edge, 0, 2)
	}
	r.edges = append(r.edges, e)
	if e.kind != next {
		return
	}
	before := l.of(e.to)
	if len(before.after) < maxAfter {
		before.after = append(before.after, call)
	} else {
		before.crowded = true
	}
}

// due: it is time to forget. Evidence does not come in the order of its times.
func (l *ledger) due(now uint64) bool {
	return len(l.now) >= maxCalls || now >= l.turned+uint64(keepFor)
}

// turn starts a generation, and says how many calls are forgotten whose exchange never came. Those that
// still wait are kept by whoever holds them.
func (l *ledger) turn(now uint64) (forgotten uint64) {
	for call, r := range l.old {
		switch {
		case r.done != nil:
			l.now[call] = r
		case !r.decided && len(r.edges) > 0:
			forgotten++
		}
	}
	l.old, l.now = l.now, make(map[uint64]*record, len(l.now)/2)
	l.turned = now
	return forgotten
}

// sweep forgets calls that were decided and ended longer than keep ago.
func (l *ledger) sweep(now, keep uint64) {
	if now < l.swept+keep {
		return
	}
	l.swept = now
	for _, m := range [...]map[uint64]*record{l.now, l.old} {
		for call, r := range m {
			if r.decided && r.done == nil && r.ended+keep < now {
				delete(m, call)
			}
		}
	}
}
