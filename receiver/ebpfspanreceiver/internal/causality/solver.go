package causality

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Options of a [Solver].
type Options struct {
	// Hold bounds how long a finished call waits for its request to end.
	Hold time.Duration
	// Grace is how long after the end of its request a call still waits for evidence.
	Grace time.Duration
	// MaxHeld bounds the calls that wait; beyond it the oldest are decided at once.
	MaxHeld int
	// MaxAge is how long a request may be served. One that was never answered (its socket was
	// forgotten, not closed) must not collect calls for ever.
	MaxAge time.Duration
	// Posterior switches the statistical fallback on, and is the least that it takes; 0: off.
	Posterior float64
	// Explain says of calls without a request why, see Answer.Refused.
	Explain bool
	// Identify says which process has a number now: instance differs when the number was given to
	// another one, or when it executes another program.
	Identify func(tgid uint32) (instance uint64, service string)
	// Habits says how the runtime of a process works, as far as evidence must be read with that; nil: as any.
	Habits func(tgid uint32) Habits
	// UnderWay gives every call of a process that has begun and was not given to Hold, with what is known
	// of it; ID 0: of bytes that may hold calls nothing is known but when the first of them moved.
	UnderWay func(tgid uint32, each func(Call))
}

// Habits are what a runtime does that others do not.
type Habits struct {
	// Queues: its loops put what they have read into queues (tokio's). They may read the response of a timer's call
	// between that of a request's call and its answer.
	Queues bool
	// Resumes: any thread may go on with what another has read (what awaits in .NET). Whom it wakes then, and
	// what it answers, says nothing of the response that it has read itself.
	Resumes bool
	// Defers: what the tasks of a loop write in one round leaves when that is over (uvloop's). A response may have been
	// written before a call that leaves before it.
	Defers bool
	// TaskOver says whether a task of a thread pool is over that lay at object when garbage had been collected so
	// many times; known: that can be told still. nil: nobody can.
	TaskOver func(object uint64, collections uint32) (over, known bool)
}

func (s *Solver) habits(tgid uint32) Habits {
	if s.options.Habits == nil {
		return Habits{}
	}
	return s.options.Habits(tgid)
}

// Limits of what is remembered of calls that no exchange has asked for yet.
const (
	maxCalls = 1 << 17
	keepFor  = 10 * time.Minute
)

// Call is a finished outgoing call.
type Call struct {
	// ID is the kernel's number of the call.
	ID uint64
	// Writer is the context that wrote it.
	Writer Writer
	// EndTid and EndContext read the end of its response.
	EndTid     uint32
	EndContext uint64
	// Later: an earlier write of the same call held another request. Together: the same write did.
	// Overlapped: another one, of another write, was open on its connection.
	Later, Together, Overlapped bool
	// Start and End in kernel nanoseconds.
	Start, End uint64
	// Operation is a hash of what is called, without what differs from call to call; 0: not known.
	Operation uint64

	place uint8 // see readings
}

// Writer is an execution context: that of a runtime, or a thread where Context is 0. Kind is that of the
// kernel side; of a kind that is no thread, Context 0 means that it is not known.
type Writer struct {
	Tgid    uint32
	Tid     uint32
	Context uint64
	Kind    uint8 // enum context_kind, bpf/event.h
}

// is: it is the same, in one process.
func (w Writer) is(other Writer) bool {
	if w.Context != 0 || other.Context != 0 {
		return w.Context == other.Context
	}
	return w.Tid == other.Tid
}

// key: a goroutine is the same whatever thread runs it.
func (w Writer) key() Writer {
	if w.Context != 0 {
		w.Tid = 0
	}
	return w
}

// Answer is what became of a call.
type Answer struct {
	Outcome Outcome
	// Request is the systrace id, when Linked; when Late or Uncounted that of the request from which it
	// comes, if that is known.
	Request uint64
	// Class is what the link rests on, when Linked.
	Class Class
	// Hints are the kinds of evidence that agree on it; Confidence is that of the best.
	Hints      []string
	Confidence float64
	// Overruled evidence of a lower rank named another request.
	Overruled int
	// Refused says of a call that is Unlinked why its evidence was not used, with Options.Explain.
	Refused []string
}

// Solver keeps what is needed to decide. It is used by one goroutine.
type Solver struct {
	options Options
	counts  *Counts

	requests  requests
	ledger    ledger
	tasks     tasks
	claims    claims
	writers   writers
	threads   threads
	lives     lives
	processes processes
	waiting   []*held
	// tallies are requests that wait to be counted; what Saw and Lost have said decides whether they can be.
	tallies       []*tally
	read, checked uint64
	// gaps are when records were lost, lost is when last, missed when last the kernel side has not seen something itself.
	gaps         marks
	lost, missed uint64
	contexts     *contexts
	readings     *readings
	objects      *objects
	// derivations find more evidence in what is told here.
	derivations []derivation
	async       *asyncIDs

	// verdicts are of the edges of the call that was judged last, refused what keeps those of the call that is answered
	// from being used. Room that is used again: most calls of the background have such edges.
	verdicts []edgeVerdict
	refused  []refused
}

// NewSolver makes an empty solver.
func NewSolver(o Options, counts *Counts) *Solver {
	s := &Solver{
		options: o, counts: counts, requests: newRequests(), ledger: newLedger(),
		threads: threads{}, processes: newProcesses(&o, counts),
		contexts: newContexts(), async: newAsyncIDs(), readings: &readings{},
	}
	s.objects = newObjects(s.habits)
	s.derivations = []derivation{s.contexts, s.async, s.readings, s.objects}
	return s
}

// Evidence takes one edge.
func (s *Solver) Evidence(e *event.Evidence) {
	if int(e.What) >= len(kinds) || kinds[e.What].hint == "" {
		s.counts.Unknown.Add(1)
		return
	}
	p := s.processes.of(e.Tgid)
	p.counts.Evidence[e.What].Add(1)
	p.wakes.saw(e)
	p.answers.saw(e)
	if e.What == channelBack && e.Segment != 0 {
		s.tasks.cameBack(e.Segment, e.Epoch)
	}
	if e.What == wakeBack && e.Base != 0 && e.Uses == 0 && e.BaseUses&(serves|several|unknown) == 0 {
		s.objects.ended(e.Base, e.Call, e.Epoch)
	}
	if e.What == responseBack {
		s.readings.gave(e)
	}
	if e.Call == 0 {
		return
	}
	s.ledger.add(e.Call, edge{
		to: e.Epoch, segment: e.Segment, base: e.Base, kind: e.What, uses: e.Uses, baseUses: e.BaseUses,
		claim: s.claim(e, p), toCall: e.What == next,
	})
	if e.What == answer {
		s.async.answer(e)
	}
	if s.ledger.due(e.Ts) {
		s.age(e.Ts)
	}
}

// Origin says what became of an execution context: who made it, that it is busy, that it has ended, or that it serves what
// another one has read.
func (s *Solver) Origin(e *event.Origin) {
	switch {
	case e.What == event.Taken:
		s.requests.taken(e.Parent, e.Ts, uint32(e.Child))
	case e.What == event.Ended && e.ContextKind == event.Thread:
		s.lives.ended(life{tgid: e.Tgid, tid: uint32(e.Child), epoch: e.Parent})
	default:
		s.contexts.told(e)
	}
}

// age forgets what no exchange came for, and what is too old to matter.
func (s *Solver) age(now uint64) {
	s.counts.Forgotten.Add(s.ledger.turn(now))
	s.tasks.turn()
	s.claims.turn()
	s.readings.turn()
	s.writers.turn()
	s.requests.age(now, s.options.MaxAge)
	s.threads.age(now)
	s.processes.age(now)
}

// Began says that a request was read, by reader: turn is the kernel's epoch, request its systrace id.
func (s *Solver) Began(turn, request, start uint64, reader Writer) {
	s.requests.began(served{turn: turn, request: request, start: start, reader: reader})
	if s.options.Posterior > 0 {
		s.processes.check(reader.Tgid, start).delays.began(named{turn, request})
	}
}

// Answered says of a request that is over that its response was seen from the first byte to the last: it was not over
// before.
func (s *Solver) Answered(turn, request uint64) { s.requests.seen(turn, request) }

// Ended says that its response was sent at end, by answerer (zero: it was not).
func (s *Solver) Ended(turn, request, end uint64, answerer Writer) {
	r := s.requests.ended(turn, request, end, answerer)
	if r == nil {
		return
	}
	s.threads.served(r)
	if n, known := s.claims.get(turn); known {
		s.processes.of(r.reader.Tgid).fans.saw(n.n)
	}
	for _, d := range s.derivations {
		d.answered(turn, r)
	}
}
