package causality

import "slices"

// held is a finished call that waits for evidence.
type held struct {
	call    Call
	record  *record
	process *process
	release func(Answer)
	// own is what its own evidence said when it was judged; learns, if that was not enough, what may still show
	// that it is.
	judged bool
	own    verdict
	learns proof
	// aidKnown: it is learned what it has led to. See unaided.
	aidKnown bool
}

// Hold takes a finished call, and answers when everything that can be known is.
func (s *Solver) Hold(c Call, release func(Answer)) {
	s.writers.wrote(c.Writer, c.Start)
	s.async.over(&c)
	c.place = s.readings.over(&c)
	if len(s.waiting) >= s.options.MaxHeld {
		s.counts.Hurried.Add(1)
		oldest := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.answer(oldest)
	}
	r := s.ledger.of(c.ID)
	h := &held{call: c, record: r, process: s.processes.check(c.Writer.Tgid, c.End), release: release}
	if r.done != nil || r.decided {
		r.several = true
	}
	r.done, r.operation, r.start = h, c.Operation, c.Start
	s.waiting = append(s.waiting, h)
}

// Tick answers the calls that have waited enough: now is the time of the records, some of which may be later.
func (s *Solver) Tick(now uint64) {
	s.async.settle(now - min(now, uint64(s.options.Grace)))
	s.objects.ask()
	kept := s.waiting[:0]
	for _, h := range s.waiting {
		if !s.settled(h, now) || s.learning(h, now) {
			kept = append(kept, h)
			continue
		}
		s.answer(h)
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	s.count(now)
	s.forget(now)
}

// Waiting is how many calls are held.
func (s *Solver) Waiting() int { return len(s.waiting) }

// Flush answers every held call with what is known, and counts no request any more.
func (s *Solver) Flush() {
	for _, h := range s.waiting {
		s.answer(h)
	}
	s.waiting = nil
	for _, t := range s.tallies {
		s.tell(t, Count{Fate: Stopped})
	}
	s.tallies = nil
}

// settled: the request has ended and the grace is over, or the call has waited for as long as one may. A
// call that names no request waits for those that the calls after it name.
func (s *Solver) settled(h *held, now uint64) bool {
	if now > h.call.End+uint64(s.options.Hold) {
		return true
	}
	// No request ends the wait of a call before: nine of ten times, nothing has to be looked for. A context that
	// serves one notes its call when it is asked, see contexts.edges.
	if now <= h.call.End+uint64(s.options.Grace) && !h.call.Writer.servesOne() {
		return false
	}
	s.learnUnaided(h)
	end, open := s.lastEnd(s.edges(&h.call), h.call.Start)
	for r, n := h.record, 0; end == 0 && !open && len(r.after) > 0 && n < maxChain; n++ {
		if r = s.ledger.find(r.after[0]); r == nil {
			break
		}
		end, open = s.lastEnd(r.edges, h.call.Start)
	}
	return !open && end != 0 && now > max(end, h.call.End)+uint64(s.options.Grace)
}

// lastEnd is when the last of the requests ended that edges name; open: one of them has not.
func (s *Solver) lastEnd(edges []edge, start uint64) (end uint64, open bool) {
	for i := range edges {
		if edges[i].toCall {
			continue
		}
		r := s.requests.at(edges[i].to, start)
		switch {
		case r == nil:
		case r.end == 0:
			return 0, true
		default:
			end = max(end, r.end)
		}
	}
	return end, false
}

// learning: the evidence of a call that is settled was not enough, and may be soon. It is weighed here first, so
// that what it teaches does not wait for what is learned.
func (s *Solver) learning(h *held, now uint64) bool {
	if now > h.call.End+uint64(s.options.Hold) {
		return false
	}
	if h.learns == nil {
		if h.learns = s.undecided(h, s.judge(h)); h.learns == nil {
			return false
		}
	}
	return h.learns.undecided()
}

// judge weighs what a call's own evidence says, and learns from it. Where that waited, it is weighed again: what
// it is compared with has grown.
func (s *Solver) judge(h *held) *verdict {
	first := !h.judged
	if first || h.learns != nil {
		h.judged, h.own = true, s.weigh(&h.call, h.process, true, 0)
		h.record.verdict, h.record.decided, h.record.ended = h.own, true, h.call.End
	}
	if !first {
		return &h.own
	}
	if !s.lostSince(h.call.Start) { // what was given away may be lost
		s.readings.judged(&h.call, h.process)
	}
	s.closure(h, &h.own)
	if len(h.record.after) == 0 {
		if ops, ok := s.segment(h.record); ok {
			h.process.signatures.add(ops)
		}
	}
	return &h.own
}

func (s *Solver) answer(h *held) {
	v := *s.judge(h)
	a, chain := v, Refusal(0)
	if v.outcome == NoEvidence || v.outcome == Untrusted {
		var through verdict
		if through, chain = s.chained(h, &v); chain == EndsDisagree {
			h.process.counts.Contradicted[next].Add(1)
		}
		if chain == 0 {
			a = through
		} else if likely, ok := s.likely(h); ok && h.process.trials[guessed].proves() {
			a = likely
		}
	}
	if r := h.record; r.done == h {
		r.done = nil
	}
	if a.outcome == Linked && !s.requests.linked(a.turn, a.request) {
		a = verdict{outcome: Uncounted, request: a.request}
	}
	if a.outcome != Linked && a.outcome != Uncounted || a.class == Statistical {
		s.processes.of(h.call.Writer.Tgid).unlinked.add(h.call.Start, h.call.Start)
	}
	n := h.process.counts
	n.Outcomes[a.outcome].Add(1)
	if a.outcome == Linked {
		n.Links[a.class].Add(1)
	}
	s.relearn(h, &v)
	s.counts.Overruled.Add(uint64(a.overruled))
	out := a.answer()
	if a.outcome.Unlinked() {
		refused := s.refusals(h, &v, chain)
		n.refused(refused)
		if s.options.Explain {
			out.Refused = s.explain(&h.call, refused)
		}
	}
	h.release(out)
}

// edges is all that is known of a call, reported and derived.
func (s *Solver) edges(c *Call) []edge {
	edges := slices.Clip(s.reported(c)) // what is derived is not stored
	for _, d := range s.derivations {
		edges = d.edges(edges, c)
	}
	return edges
}

// reported is what the kernel side says of a call.
func (s *Solver) reported(c *Call) []edge {
	if r := s.ledger.find(c.ID); r != nil {
		return r.edges
	}
	return nil
}

// forget drops what no call can refer to any more.
func (s *Solver) forget(now uint64) {
	keep := uint64(2*s.options.Hold + s.options.Grace)
	if now < keep {
		return
	}
	s.ledger.sweep(now, keep)
	s.requests.forget(now - keep)
	for _, d := range s.derivations {
		d.forget(now - keep)
	}
}
