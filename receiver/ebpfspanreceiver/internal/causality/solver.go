// Package causality decides which request each outgoing call belongs to, or that it is not known.
//
// The kernel side reports evidence: edges from a call to an epoch, each with its kind. Nothing is
// injected, so nothing forces a decision when the call is sent: it is made when the request has
// ended, with everything that was seen until then, also what came back. Ambiguity gives no link.
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
}

// Writer is an execution context: that of a runtime, or a thread where Context is 0.
type Writer struct {
	Tgid    uint32
	Tid     uint32
	Context uint64
}

// Answer is what became of a call.
type Answer struct {
	Outcome Outcome
	// Request is the systrace id, when Linked.
	Request uint64
	// Hints are the kinds of evidence that agree on it; Confidence is that of the best.
	Hints      []string
	Confidence float64
	// Overruled evidence of a lower rank named another request.
	Overruled int
}

type edge struct {
	epoch          uint64
	segment, base  uint64
	kind           uint8
	uses, baseUses uint8
}

// served is one request of a turn. Several arrive in one turn when they are pipelined; they are then
// answered one after the other, so that each is being served until its own response was sent.
type served struct {
	request    uint64
	start, end uint64 // end 0: not answered yet
	reader     Writer
	answerer   Writer // zero: not answered
}

type held struct {
	call    Call
	release func(Answer)
}

// Solver keeps what is needed to decide. It is used by one goroutine.
type Solver struct {
	options Options
	counts  *Counts

	calls, oldCalls map[uint64][]edge
	turned          uint64
	// answered calls are asked for again: several commands may go out in one write.
	answered, oldAnswered map[uint64][]edge
	answeredTurned        uint64
	turns                 map[uint64][]served
	segments, oldSegments map[uint64]uint64 // task → the request that it came back to
	writers, oldWriters   map[Writer]writer
	// handsOver: processes in which one thread read a request and another answered it, and when
	// that was last seen.
	handsOver map[uint32]uint64
	waiting   []held
	ended     []endedTurn
}

type endedTurn struct{ turn, at uint64 }

// writer remembers which requests a context has written calls for, as far as stronger evidence said.
type writer struct {
	request uint64
	shared  bool
	last    uint64 // when its last finished call began
}

// NewSolver makes an empty solver.
func NewSolver(o Options, counts *Counts) *Solver {
	return &Solver{
		options: o, counts: counts, calls: map[uint64][]edge{}, answered: map[uint64][]edge{}, turns: map[uint64][]served{},
		segments: map[uint64]uint64{}, writers: map[Writer]writer{}, handsOver: map[uint32]uint64{},
	}
}

// Evidence takes one edge.
func (s *Solver) Evidence(e *event.Evidence) {
	if int(e.What) >= len(kinds) || kinds[e.What].hint == "" {
		s.counts.Unknown.Add(1)
		return
	}
	s.counts.Evidence[e.What].Add(1)
	if e.What == channelBack && e.Segment != 0 {
		s.segments[e.Segment] = e.Epoch
	}
	edges, ok := s.calls[e.Call]
	if !ok {
		edges = s.oldCalls[e.Call]
		delete(s.oldCalls, e.Call)
	}
	if len(edges) < 16 {
		edges = append(edges, edge{
			epoch: e.Epoch, segment: e.Segment, base: e.Base, kind: e.What, uses: e.Uses, baseUses: e.BaseUses,
		})
	}
	s.calls[e.Call] = edges
	s.age(e.Ts)
}

// age forgets, in two generations, calls whose exchange never came: their protocol is not parsed.
func (s *Solver) age(now uint64) {
	if len(s.calls) < maxCalls && now-s.turned < uint64(keepFor) {
		return
	}
	s.counts.Forgotten.Add(uint64(len(s.oldCalls)))
	s.oldCalls, s.calls = s.calls, make(map[uint64][]edge, len(s.calls)/2)
	s.oldSegments, s.segments = s.segments, map[uint64]uint64{}
	s.oldWriters, s.writers = s.writers, map[Writer]writer{}
	s.turned = now
	for turn, requests := range s.turns {
		if last := requests[len(requests)-1]; now > last.start+2*uint64(s.options.MaxAge) {
			delete(s.turns, turn)
		}
	}
	for tgid, seen := range s.handsOver {
		if now-seen > uint64(keepFor) {
			delete(s.handsOver, tgid)
		}
	}
}

// Began says that a request was read, by reader: turn is the kernel's epoch, request its systrace id.
func (s *Solver) Began(turn, request, start uint64, reader Writer) {
	s.turns[turn] = append(s.turns[turn], served{request: request, start: start, reader: reader})
}

// Ended says that its response was sent at end, by answerer (zero: it was not).
func (s *Solver) Ended(turn, request, end uint64, answerer Writer) {
	requests := s.turns[turn]
	open := false
	for i := range requests {
		if requests[i].request == request {
			requests[i].end, requests[i].answerer = end, answerer
			if r := requests[i].reader; r.Context == 0 && answerer.Tid != 0 && r.Tid != answerer.Tid {
				s.handsOver[r.Tgid] = end
			}
		}
		open = open || requests[i].end == 0
	}
	if len(requests) > 0 && !open {
		s.ended = append(s.ended, endedTurn{turn, end})
	}
}

// Hold takes a finished call, and answers when everything that can be known is.
func (s *Solver) Hold(c Call, release func(Answer)) {
	if w := s.writer(c.Writer); c.Start > w.last {
		w.last = c.Start
		s.writers[c.Writer.key()] = w
	}
	if len(s.waiting) >= s.options.MaxHeld {
		s.counts.Hurried.Add(1)
		oldest := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.answer(oldest)
	}
	s.waiting = append(s.waiting, held{c, release})
}

// Tick answers the calls that have waited enough: now is the kernel's clock.
func (s *Solver) Tick(now uint64) {
	kept := s.waiting[:0]
	for _, h := range s.waiting {
		if s.settled(&h.call, now) {
			s.answer(h)
			continue
		}
		kept = append(kept, h)
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	s.forget(now)
}

// Waiting is how many calls are held.
func (s *Solver) Waiting() int { return len(s.waiting) }

// Flush answers every held call with what is known.
func (s *Solver) Flush() {
	for _, h := range s.waiting {
		s.answer(h)
	}
	s.waiting = nil
}

// forget drops ended turns once no call can refer to them any more.
func (s *Solver) forget(now uint64) {
	keep := uint64(2*s.options.Hold + s.options.Grace)
	n := 0
	for n < len(s.ended) && s.ended[n].at+keep < now {
		delete(s.turns, s.ended[n].turn)
		n++
	}
	s.ended = s.ended[n:]
	if len(s.answered) > maxCalls/2 || now-s.answeredTurned > keep {
		s.oldAnswered, s.answered = s.answered, map[uint64][]edge{}
		s.answeredTurned = now
	}
}

// settled: the request has ended and the grace is over, or the call has waited for as long as one may.
func (s *Solver) settled(c *Call, now uint64) bool {
	if now > c.End+uint64(s.options.Hold) {
		return true
	}
	end := uint64(0)
	for _, e := range s.edges(c.ID) {
		r := s.at(e.epoch, c.Start)
		if r == nil {
			continue
		}
		if r.end == 0 {
			return false
		}
		end = max(end, r.end)
	}
	return end != 0 && now > end+uint64(s.options.Grace)
}

func (s *Solver) answer(h held) {
	a := s.solve(&h.call)
	s.counts.Outcomes[a.Outcome].Add(1)
	s.counts.Overruled.Add(uint64(a.Overruled))
	if edges := s.edges(h.call.ID); edges != nil {
		delete(s.calls, h.call.ID)
		delete(s.oldCalls, h.call.ID)
		s.answered[h.call.ID] = edges
	}
	h.release(a)
}

func (s *Solver) edges(call uint64) []edge {
	if e, ok := s.calls[call]; ok {
		return e
	}
	if e, ok := s.oldCalls[call]; ok {
		return e
	}
	if e, ok := s.answered[call]; ok {
		return e
	}
	return s.oldAnswered[call]
}

// at finds the request of a turn that was being served at a time.
func (s *Solver) at(turn, ts uint64) *served {
	requests := s.turns[turn]
	for i := range requests {
		if r := &requests[i]; r.end == 0 || ts <= r.end {
			return r
		}
	}
	if n := len(requests); n > 0 {
		return &requests[n-1]
	}
	return nil
}

// solve weighs the evidence of one call: the strongest rank that is admissible decides, unless it
// names several requests. The order in which evidence came does not matter.
func (s *Solver) solve(c *Call) Answer {
	type vote struct {
		request uint64
		kind    kind
	}
	var votes []vote
	best, refused := disabled, NoEvidence
	shared := s.writer(c.Writer).shared
	for _, e := range s.edges(c.ID) {
		r, why := s.admit(&e, c, shared)
		if r == nil {
			refused = max(refused, why)
			continue
		}
		votes = append(votes, vote{r.request, kinds[e.kind]})
		best = min(best, kinds[e.kind].rank)
	}
	if len(votes) == 0 {
		return Answer{Outcome: refused}
	}
	a := Answer{Outcome: Linked}
	for _, v := range votes {
		if v.kind.rank != best {
			continue
		}
		if a.Request != 0 && a.Request != v.request {
			return Answer{Outcome: Conflict}
		}
		a.Request = v.request
	}
	for _, v := range votes {
		if v.request != a.Request {
			a.Overruled++
			continue
		}
		a.Hints = appendOnce(a.Hints, v.kind.hint)
		a.Confidence = max(a.Confidence, v.kind.confidence)
	}
	if best < inherited {
		s.remember(c.Writer, a.Request)
	}
	return a
}

// admit checks one edge: its kind is trusted here, and its request was being served when the call
// was sent.
func (s *Solver) admit(e *edge, c *Call, shared bool) (*served, Outcome) {
	k := kinds[e.kind]
	switch {
	case k.rank == disabled:
		return nil, Untrusted
	case k.rank == inherited && shared:
		// A context that serves several requests in turn was created in one of them by chance.
		return nil, Untrusted
	case c.Later && e.kind != sameThread:
		// Whoever writes for others may have got this one unseen.
		return nil, Untrusted
	case (e.kind == answer || e.kind == notifyBack) && (e.uses > 1 || e.baseUses > 1), e.kind == wakeBack && e.uses > 0:
		// Which of several responses led to it is not known.
		return nil, Untrusted
	case c.Overlapped && (e.kind == channelBack || e.kind == taskBack):
		// The response that was read may have been the other's.
		return nil, Untrusted
	case c.Together && e.kind == channel && !s.cameBack(e.segment, e.epoch),
		c.Together && (e.kind == channelBack || e.kind == taskBack) && c.EndContext != c.Writer.Context:
		// Whoever writes for others may put several of them into one write.
		return nil, Untrusted
	case e.kind == goCreated && c.EndContext != c.Writer.Context:
		// The goroutines of a pooled connection were created by whoever opened it, not by whoever
		// uses it; one that makes a call for itself reads the response as well.
		return nil, Untrusted
	case e.kind < answer && e.uses > 1 && !s.cameBack(e.segment, e.epoch), e.kind < answer && e.baseUses > 1 && !s.cameBack(e.base, e.epoch):
		// After its first use a context may have taken other work without a hand-over that can be
		// seen (a buffered channel), unless the task came back to the request.
		return nil, Untrusted
	}
	r := s.at(e.epoch, c.Start)
	if r == nil {
		return nil, UnknownRequest
	}
	if c.Start < r.start {
		return nil, Untrusted
	}
	if r.end != 0 && c.Start > r.end {
		return nil, Late
	}
	if k.rank == inherited && r.end != 0 && s.writer(c.Writer).last > r.end {
		// It lives on, so it may have been made to work for others, from the beginning.
		return nil, Untrusted
	}
	if c.Start-r.start > uint64(s.options.MaxAge) {
		return nil, Aged
	}
	if !s.ownThread(e, c, r) {
		return nil, Untrusted
	}
	return r, Linked
}

// ownThread: evidence that rests on threads holds where a thread serves a request from end to end:
// the one that read it answers it, and the one that wrote the call reads its response. Virtual
// threads, and loops that hide in a thread pool, break that.
func (s *Solver) ownThread(e *edge, c *Call, r *served) bool {
	if e.kind != sameThread && e.kind != spawn || c.Writer.Context != 0 {
		return true
	}
	if c.EndTid != c.Writer.Tid {
		return false
	}
	if r.answerer.Tid == 0 { // not answered, or not yet: judged by what else the process did
		return s.handsOver[c.Writer.Tgid] == 0
	}
	return r.answerer.Tid == r.reader.Tid
}

// cameBack: the task of that hand-over ended by going back to the request.
func (s *Solver) cameBack(segment, epoch uint64) bool {
	if segment == 0 {
		return false
	}
	if back, ok := s.segments[segment]; ok {
		return back == epoch
	}
	return s.oldSegments[segment] == epoch
}

// key: a goroutine is the same whatever thread runs it.
func (w Writer) key() Writer {
	if w.Context != 0 {
		w.Tid = 0
	}
	return w
}

func (s *Solver) writer(w Writer) writer {
	w = w.key()
	if known, ok := s.writers[w]; ok {
		return known
	}
	return s.oldWriters[w]
}

func (s *Solver) remember(w Writer, request uint64) {
	known := s.writer(w)
	if known.request != 0 && known.request != request {
		known.shared = true
	}
	known.request = request
	s.writers[w.key()] = known
}

func appendOnce(list []string, v string) []string {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}
