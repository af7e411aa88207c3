package causality

// lateFor is how long after its response a request's own contexts still tell where a call comes from. Their
// first call only: a context that goes on is one that works for whoever comes, and was made when the first
// did.
const lateFor = uint64(30e9)

// vote is an edge that names a request in a way that may be used.
type vote struct {
	*served
	of      sort
	source  *trial // see kind
	trusted bool
}

// edgeVerdict is what kind of evidence an edge is, and why it is not admitted, 0 where it is or was not asked: that of the
// kind next is asked with its chain.
type edgeVerdict struct {
	of     sort
	why    Refusal
	source *trial // see kind
}

// verdict is what the evidence of one call says by itself. It is kept for as long as the call is.
type verdict struct {
	request, turn uint64
	// hint is the request that forward evidence names which is not used alone, hintBack the one that
	// unsure backward evidence names; 0: none, or several.
	hint, hintBack uint64
	hintBackTurn   uint64
	confidence     float64
	hints          uint32 // bit n: the kind with the number n
	outcome        Outcome
	class          Class
	rank           rank // of the evidence, where class is Exact
	ways           way  // in which the request is known
	overruled      uint8
}

func (v *verdict) answer() Answer {
	a := Answer{
		Outcome: v.outcome, Request: v.request, Class: v.class, Confidence: v.confidence, Overruled: int(v.overruled),
	}
	for i := range kinds {
		if v.hints&(1<<i) != 0 {
			a.Hints = append(a.Hints, kinds[i].hint)
		}
	}
	return a
}

// exactly: it is linked by evidence that is no guess.
func (v *verdict) exactly() bool { return v.outcome == Linked && v.class == Exact }

// weigh weighs the evidence of one call: the strongest rank that is admissible decides, unless it
// names several requests. The order in which evidence came does not matter. settle: the call is about
// to be answered; what its evidence tells of each other is remembered.
func (s *Solver) weigh(c *Call, p *process, settle bool, depth int) verdict {
	var room [maxEdges]vote
	votes := room[:0]
	best, refused := unranked, NoEvidence
	late, hinted, hintedBack := requestSet{}, requestSet{}, requestSet{}
	var hintBackTurn uint64
	var asked [maxEdges]edgeVerdict
	verdicts := asked[:0]
	edges := s.edges(c)
	for i := range edges {
		e := &edges[i]
		of := s.sort(e, c)
		if e.kind == next {
			verdicts = append(verdicts, edgeVerdict{of: of})
			refused = max(refused, Untrusted)
			continue
		}
		r, why, refusal := s.admit(e, c, depth)
		source := s.source(p, e, c)
		verdicts = append(verdicts, edgeVerdict{of, refusal, source})
		if why == Late && of.kind().descends && c.Start <= r.end+lateFor && s.writers.of(c.Writer).first == c.Start &&
			!s.lostSince(r.start) {
			late.add(r.request)
		}
		if why != Linked {
			refused = max(refused, why)
			continue
		}
		v := vote{served: r, of: of, source: source, trusted: p.trusts(of, source)}
		votes = append(votes, v)
		switch {
		case v.trusted:
			best = min(best, of.rank())
			continue
		case of.trust() == unproven: // it is learned whether it is a guess
		case of.kind().way == back:
			hintedBack.add(r.request)
			hintBackTurn = r.turn
		case of.trust() == hint:
			hinted.add(r.request)
		}
		refused = max(refused, Untrusted)
	}
	if settle {
		s.verdicts = append(s.verdicts[:0], verdicts...)
	}
	out := verdict{outcome: refused, hint: hinted.only(), hintBack: hintedBack.only(), hintBackTurn: hintBackTurn}
	if best == unranked {
		if late.only() != 0 && len(votes) == 0 {
			out.outcome, out.request = Late, late.only()
		}
		return out
	}
	named := requestSet{}
	for _, v := range votes {
		if v.trusted && v.of.rank() == best {
			named.add(v.request)
		}
	}
	if named.only() == 0 {
		if settle {
			s.contradicted(p, votes, best, 0)
		}
		out.outcome = Conflict
		return out
	}
	out.outcome, out.request, out.class, out.rank = Linked, named.only(), classOf(best), best
	for _, v := range votes {
		switch {
		case !v.trusted:
		case v.request != out.request:
			out.overruled++
		default:
			out.hints |= 1 << (v.of >> 1)
			out.confidence = max(out.confidence, p.confidence(v.of))
			if v.of.rank() == best {
				out.turn = v.turn
				out.ways |= v.of.kind().way
			}
		}
	}
	if settle {
		s.contradicted(p, votes, best, out.request)
		learn(p, votes, best, &out)
		if best < inherited {
			s.writers.worked(c.Writer, out.request)
		}
	}
	return out
}

func classOf(r rank) Class {
	if r < proven {
		return Exact
	}
	return Probable
}

// contradicted counts the edges that named something else; request 0: those of the rank that disagree.
func (s *Solver) contradicted(p *process, votes []vote, best rank, request uint64) {
	for _, v := range votes {
		if v.request != request && (request != 0 || v.of.rank() == best) {
			p.counts.Contradicted[v.of>>1].Add(1)
		}
	}
}

// learn compares guesses with evidence of a higher rank that saw the call from the other side.
func learn(p *process, votes []vote, best rank, known *verdict) {
	for _, v := range votes {
		if v.of.rank() > best && known.ways&^v.of.kind().way != 0 {
			p.tried(v.of, v.request == known.request)
			if v.source != nil {
				v.source.add(v.request == known.request)
			}
		}
	}
}

// admit checks one edge: it keeps the rules of its kind, and its request was being served when the call
// was sent. The request is given where it is Linked or Late, and otherwise why it is neither.
func (s *Solver) admit(e *edge, c *Call, depth int) (*served, Outcome, Refusal) {
	k := &kinds[e.kind]
	for i := range k.rules {
		if of := &k.rules[i]; !of.keeps(s, e, c) {
			return nil, Untrusted, of.refusal
		}
	}
	r := s.request(e, c, depth)
	switch {
	case r == nil:
		return nil, UnknownRequest, RequestUnknown
	case c.Start < r.start, r.reader.Tgid != c.Writer.Tgid:
		return nil, Untrusted, BeforeRequest
	case r.end != 0 && (c.Start > r.end || s.leavesLate(c, r)):
		return r, Late, AfterResponse
	case c.Start-r.start > uint64(s.options.MaxAge):
		return nil, Aged, RequestTooOld
	}
	for i := range k.service {
		if of := &k.service[i]; !of.keeps(s, c, r) {
			return nil, Untrusted, of.refusal
		}
	}
	if s.unseen(e, c, r) {
		return nil, Untrusted, InGap
	}
	return r, Linked, 0
}

// sentInOne bounds, in nanoseconds, how long a loop takes to send what was written in a round: one system call after the
// other, for a thousand connections some milliseconds, and longer where the processors are busy with others.
const sentInOne = uint64(100e6)

// leavesLate: the call may have been written after the response, though it left before: a loop sends what was written in a
// round when that is over. What the response had waited for has come before it, or was given up later than that.
func (s *Solver) leavesLate(c *Call, r *served) bool {
	return c.End > r.end && r.end-c.Start <= sentInOne && c.Writer.Tid == r.answerer.Tid && s.habits(c.Writer.Tgid).Defers
}

// maxDepth bounds how many calls lie between a call and the request that its edges lead to.
const maxDepth = 8

// request is what an edge leads to.
func (s *Solver) request(e *edge, c *Call, depth int) *served {
	if !e.toCall {
		return s.requests.at(e.to, c.Start)
	}
	other := s.ledger.find(e.to)
	if other == nil || other.several || depth >= maxDepth {
		return nil
	}
	v := s.verdictOf(other, depth+1)
	if !v.exactly() {
		return nil
	}
	return s.requests.named(v.turn, v.request)
}

// verdictOf is what the evidence of a call says by itself.
func (s *Solver) verdictOf(r *record, depth int) verdict {
	switch {
	case r.decided:
		return r.verdict
	case r.done == nil: // it has not ended, or its protocol is not parsed
		return verdict{outcome: NoEvidence}
	}
	return s.weigh(&r.done.call, r.done.process, false, depth)
}

// requestSet tells one from many.
type requestSet struct {
	first uint64
	many  bool
}

func (q *requestSet) add(request uint64) {
	switch {
	case q.first == 0:
		q.first = request
	case q.first != request:
		q.many = true
	}
}

// only is the one in it, or 0.
func (q *requestSet) only() uint64 {
	if q.many {
		return 0
	}
	return q.first
}
