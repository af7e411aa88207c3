package causality

import "slices"

// Fate says what became of the count of a request's calls. Each is a counter.
type Fate uint8

const (
	// Counted: so many calls carry the request's id, and no other is of it.
	Counted Fate = iota
	// Unanswered: its response was not seen to the end, or none is owed: who serves it may go on.
	Unanswered
	// Unwatched: it began before every record of its process was here, or is not known any more.
	Unwatched
	// Pipelined: other requests came with it, and calls of one may be another's.
	Pipelined
	// RecordsLost: the kernel side lost records while it was served, or before it was counted.
	RecordsLost
	// Unread: its process moved bytes as a client meanwhile of which it is not known what they were.
	Unread
	// CallUnlinked: a call began meanwhile of which it is not known for certain whose it is.
	CallUnlinked
	// CallUndecided: the same, of a call that is over and is not decided.
	CallUndecided
	// CallOpen: the same, of a call that is not over.
	CallOpen
	// Behind: the records up to its end were not read in time.
	Behind
	// TooMany requests waited.
	TooMany
	// Stopped: nobody waits any longer.
	Stopped
)

// Fates names every Fate, in order, as telemetry spells it.
var Fates = [...]string{
	Counted: "counted", Unanswered: "unanswered", Unwatched: "unwatched", Pipelined: "pipelined",
	RecordsLost: "records_lost", Unread: "unread_bytes", CallUnlinked: "call_unlinked", CallUndecided: "call_undecided",
	CallOpen: "call_open", Behind: "behind", TooMany: "too_many", Stopped: "stopped",
}

// Count is how many calls a request has made; Calls means something when it was Counted only.
type Count struct {
	Fate  Fate
	Calls int
}

// tally is a request that has ended and is to be counted.
type tally struct {
	turn, request, start, end uint64
	tgid                      uint32
	release                   func(Count)
}

// Count takes a request that has ended, and says how many calls carry its id as soon as that is certain: when
// it has been over for the grace, all its calls are decided that ever will be in time.
//
// Nothing is said when any call that began while it was served, in its process, may be its and is not among
// them. Where a call was not known at all by then (a write that blocked for longer), the count stands and the
// call gives way: see Uncounted.
func (s *Solver) Count(tgid uint32, turn, request uint64, release func(Count)) {
	r := s.requests.named(turn, request)
	if r == nil {
		s.Uncountable(tgid, Unwatched)
		release(Count{Fate: Unwatched})
		return
	}
	if len(s.tallies) >= s.options.MaxHeld {
		oldest := s.tallies[0]
		s.tallies = s.tallies[1:]
		s.tell(oldest, Count{Fate: TooMany})
	}
	s.tallies = append(s.tallies, &tally{
		turn: turn, request: request, start: r.start, end: r.end, tgid: tgid, release: release,
	})
	s.processes.check(tgid, r.end)
}

// Uncountable notes a request that is not worth a Count.
func (s *Solver) Uncountable(tgid uint32, why Fate) { s.processes.of(tgid).counts.Fates[why].Add(1) }

// Counting is how many requests wait to be counted.
func (s *Solver) Counting() int { return len(s.tallies) }

// Saw says that every record of before read is here, and that up to checked it is known whether some were lost.
func (s *Solver) Saw(read, checked uint64) {
	s.read, s.checked = max(s.read, read), max(s.checked, checked)
}

// Unread says that a process moved bytes between from and to, as a client, that make no call that is known.
func (s *Solver) Unread(tgid uint32, from, to uint64) { s.processes.of(tgid).unread.add(from, to) }

// count tells of the requests that are due. They are in the order in which their ends became known, which is
// nearly that of their ends.
func (s *Solver) count(now uint64) {
	n := 0
	look := &lookout{solver: s}
	for ; n < len(s.tallies); n++ {
		t := s.tallies[n]
		due := t.end + uint64(s.options.Grace)
		if now <= due {
			break
		}
		fate := Behind
		if s.read > due && s.checked > t.end {
			fate = s.fate(t, look)
		} else if now <= due+uint64(s.options.Hold) {
			break
		}
		c := Count{Fate: fate}
		if r := s.requests.named(t.turn, t.request); fate == Counted {
			r.counted, c.Calls = true, r.calls
		}
		s.tell(t, c)
	}
	clear(s.tallies[:n])
	s.tallies = s.tallies[n:]
}

func (s *Solver) tell(t *tally, c Count) {
	s.processes.of(t.tgid).counts.Fates[c.Fate].Add(1)
	t.release(c)
}

func (s *Solver) fate(t *tally, look *lookout) Fate {
	p := s.processes.of(t.tgid)
	switch {
	case s.requests.named(t.turn, t.request) == nil:
		return Unwatched
	case s.requests.mixed(t.turn):
		return Pipelined
	case s.lostSince(t.start), t.start <= s.processes.forgotten:
		return RecordsLost
	case p.unread.during(t.start, t.end):
		return Unread
	case p.unlinked.during(t.start, t.end):
		return CallUnlinked
	}
	u := look.at(t.tgid)
	switch {
	case u.held.mayBe(t):
		return CallUndecided
	case u.open.mayBe(t):
		return CallOpen
	}
	return Counted
}

// lookout finds the unfinished calls of processes, in one round and as far as asked for.
type lookout struct {
	solver  *Solver
	waiting map[uint32][]*held
	found   map[uint32]*unfinished
}

func (l *lookout) at(tgid uint32) *unfinished {
	if u := l.found[tgid]; u != nil {
		return u
	}
	s := l.solver
	if l.found == nil {
		l.found, l.waiting = map[uint32]*unfinished{}, map[uint32][]*held{}
		for _, h := range s.waiting {
			by := h.call.Writer.Tgid
			l.waiting[by] = append(l.waiting[by], h)
		}
	}
	u, p := &unfinished{}, s.processes.of(tgid)
	for _, h := range l.waiting[tgid] {
		u.held.add(s, &h.call, p)
	}
	if s.options.UnderWay != nil {
		s.options.UnderWay(tgid, func(c Call) { u.open.add(s, &c, p) })
	}
	slices.Sort(u.held.starts)
	slices.Sort(u.open.starts)
	l.found[tgid] = u
	return u
}

// unfinished are the calls of one process that are not decided.
type unfinished struct{ held, open undecided }

// undecided are calls by what is known of them by now.
type undecided struct {
	starts []uint64            // of those that may be anybody's, sorted
	of     map[uint64]struct{} // the requests that the others are of
}

// maxUnfinished bounds the calls of one process that are looked at: of more, any may be anybody's.
const maxUnfinished = 4096

func (u *undecided) add(s *Solver, c *Call, p *process) {
	if c.ID == 0 || len(u.of) >= maxUnfinished {
		u.starts = append(u.starts, c.Start)
		return
	}
	v := s.weigh(c, p, false, 0)
	if !v.sealed() {
		u.starts = append(u.starts, c.Start)
		return
	}
	if u.of == nil {
		u.of = map[uint64]struct{}{}
	}
	u.of[v.request] = struct{}{}
}

// sealed: it is so by evidence that is not taken back by what the context does later.
func (v *verdict) sealed() bool { return v.exactly() && v.rank <= handed }

// mayBe: one of the calls may be of that request.
func (u *undecided) mayBe(t *tally) bool {
	if _, its := u.of[t.request]; its {
		return true
	}
	i, _ := slices.BinarySearch(u.starts, t.start)
	return i < len(u.starts) && u.starts[i] <= t.end
}

// linked notes that a call is. It reports false where the request was counted without it.
func (q *requests) linked(turn, request uint64) bool {
	r := q.named(turn, request)
	if r == nil {
		return true
	}
	if r.counted {
		return false
	}
	r.calls++
	return true
}

// mixed: of several requests that came together, some made calls. Which is told by their order only.
func (q *requests) mixed(turn uint64) bool {
	list := q.turns[turn]
	return len(list) > 1 && slices.ContainsFunc(list, func(r served) bool { return r.calls > 0 })
}

// marks are times of which something is not known. The zero value is ready.
type marks struct {
	list   []interval // in the order of their arrival, the oldest first
	before uint64     // up to here anything may have been
}

type interval struct{ from, to uint64 }

const (
	// maxMarks of one process: requests that take longer than they reach are not counted.
	maxMarks = 64
	// markNear in nanoseconds: marks that are nearer to each other are one. It bounds how many come in a
	// second, and a request that was served between two of them hides nothing that is worth more marks.
	markNear = uint64(2e6)
)

func (m *marks) add(from, to uint64) {
	if n := len(m.list); n > 0 {
		if last := &m.list[n-1]; from <= last.to+markNear && to+markNear >= last.from {
			last.from, last.to = min(last.from, from), max(last.to, to)
			return
		}
	}
	if len(m.list) >= maxMarks {
		m.before = max(m.before, m.list[0].to)
		m.list = append(m.list[:0], m.list[1:]...)
	}
	m.list = append(m.list, interval{from, to})
}

func (m *marks) during(from, to uint64) bool {
	if from <= m.before {
		return true
	}
	for _, i := range m.list {
		if i.from <= to && i.to >= from {
			return true
		}
	}
	return false
}

// last is the last time that is marked.
func (m *marks) last() uint64 {
	last := m.before
	for _, i := range m.list {
		last = max(last, i.to)
	}
	return last
}
