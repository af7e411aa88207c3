package link

import "math"

// Outcome says how the search for a parent ended.
type Outcome uint8

// Outcomes, from best to worst; a child's is the best that any of its rules reached.
const (
	// Linked: exactly one best admissible candidate.
	Linked Outcome = iota
	// Ambiguous: several equally good.
	Ambiguous
	// Inadmissible: candidates, but none that time or connection allows.
	Inadmissible
	// NoCandidate: nothing defines what the child refers to.
	NoCandidate
	// NoReference: the child refers to nothing.
	NoReference
	// Overrun: more candidates than a reference may look at.
	Overrun
)

// String is the reason as telemetry spells it.
func (o Outcome) String() string {
	return [...]string{"linked", "ambiguous", "inadmissible", "no_candidate", "no_reference", "candidate_limit"}[o]
}

// Edge is a parent and the evidence for it.
type Edge struct {
	Parent  ID
	Outcome Outcome
	// Rule made the link, or is the strongest of those that reached Outcome, "" for NoReference.
	Rule string
	// Row orders rules by strength, 0 the strongest.
	Row        uint8
	Confidence float32
	// Candidates is how many definitions of the key were looked at.
	Candidates uint32
	// Stated: the parent is the child's own statement.
	Stated bool
	// Displaces: the child states another parent, which gives way.
	Displaces bool
	// Ambiguous has bit n set when row n found several equally good candidates.
	Ambiguous uint64
}

// Resolve finds the parent of child. The result depends on the set of facts alone, not on the
// order in which they came.
func (x *Index) Resolve(child ID) Edge { return *x.Resolved(child) }

// Resolved is Resolve without a copy; what it returns holds until the next one.
func (x *Index) Resolved(child ID) *Edge {
	c := &x.edges[child%edgesCached]
	if c.id != child || c.gen != x.gen {
		edge := x.resolve(child)
		// Only now: resolving may have resolved others.
		c.id, c.gen, c.edge = child, x.gen, edge
	}
	return &c.edge
}

// Named is the one span that the header of id names, or an SDK span as its parent; None where there is none, or
// several. Of a request whose header was not seen, its SDK's span says what it named.
func (x *Index) Named(id ID) ID {
	c := x.View(id)
	t, parent, ok := c.CtxTrace, c.CtxParent, hasContext(c)
	if !ok {
		if t, parent, ok = x.Inherited(id); !ok {
			return None
		}
	}
	var one [1]ID
	found := None
	for _, k := range [...]Key{spanKey(ownKey(t), parent), rawSpanKey(parent)} {
		ids, _ := x.defs.get(k, &one)
		for _, p := range ids {
			if f := x.View(p); p == id || f.Span != parent || !f.Owns(t) {
				continue
			}
			if found != None {
				return None
			}
			found = p
		}
	}
	return found
}

func (x *Index) resolve(child ID) Edge {
	c := x.View(child)
	best := Edge{Parent: None, Outcome: NoReference}
	var ambiguous uint64
	// only has the stem of c, as long as that is not split.
	only, asked, divided := None, false, false
	for _, i := range x.planOf(c.core).rows {
		r := &x.rows[i]
		var e Edge
		if x.stemmed && r.numbered != 0 && !asked {
			only, divided = x.alone(c.core, defining)
			asked = true
		}
		if x.stemmed && r.numbered != 0 && !divided {
			if r.veto != nil && r.veto(x, c) {
				continue
			}
			e = x.searchOne(child, c, r, only)
		} else {
			k, ok := r.refers.key(x, c)
			if !ok || (r.veto != nil && r.veto(x, c)) {
				continue
			}
			e = x.search(child, c, r, k)
		}
		e.Row = i
		if e.Outcome == Ambiguous {
			ambiguous |= 1 << i
		}
		if e.Outcome == Linked {
			e.Ambiguous, e.Displaces = ambiguous, r.displaces
			return e
		}
		if best.Outcome == NoReference || (best.Outcome != Overrun && (e.Outcome == Overrun || e.Outcome < best.Outcome)) {
			best = e
		}
	}
	best.Ambiguous = ambiguous
	return best
}

// Stated is the edge of child by its own statement alone.
func (x *Index) Stated(child ID) Edge {
	c := x.View(child)
	for i := range x.rows {
		r := &x.rows[i]
		if k, ok := r.refers.key(x, c); ok && r.stated {
			e := x.search(child, c, r, k)
			e.Row = uint8(i)
			return e
		}
	}
	return Edge{Parent: None, Outcome: NoReference}
}

// AmbiguousRules calls fn with the rule of each bit of e.Ambiguous, each rule once.
func (x *Index) AmbiguousRules(e Edge, fn func(rule string)) {
	for i := range x.rows {
		if e.Ambiguous&(1<<i) == 0 {
			continue
		}
		first := true
		for j := range i {
			first = first && (e.Ambiguous&(1<<j) == 0 || x.rows[j].rule != x.rows[i].rule)
		}
		if first {
			fn(x.rows[i].rule)
		}
	}
}

// tally is what a search has found so far.
type tally struct {
	Edge
	// top is the best score, which ties candidates have; Parent is the first of them.
	top  score
	ties int
}

func (r *row) tally() tally {
	return tally{Edge: Edge{Parent: None, Outcome: NoCandidate, Rule: r.rule, Stated: r.stated}}
}

// weigh takes in a candidate.
func (x *Index) weigh(t *tally, r *row, c View, id ID) {
	p := x.View(id)
	s := x.rate(r, c, p)
	if s != unfit {
		t.Candidates++
	}
	switch {
	case s == unfit || x.admit(r, c.core, p.core) != admitted:
		if t.Outcome == NoCandidate {
			t.Outcome = Inadmissible
		}
	case s > t.top:
		t.top, t.ties, t.Parent = s, 1, id
	case s == t.top:
		t.ties++
	}
}

// conclude says what has come of the search.
func (t *tally) conclude(r *row, c View) {
	switch {
	case t.ties == 1:
		t.Outcome, t.Confidence = Linked, 1
		if r.confidence != nil {
			t.Confidence = r.confidence(c)
		}
	case t.ties > 1:
		t.Parent, t.Outcome = None, Ambiguous
	}
}

// search looks for the parent of child among what defines k.
func (x *Index) search(child ID, c View, r *row, k Key) Edge {
	t := r.tally()
	x.find(&t, child, c, r, k)
	if t.ties > 0 && r.judge != nil {
		e, _ := r.judge(x, child, r, k, t.Edge)
		return e
	}
	return t.Edge
}

// find is search but for the judge.
func (x *Index) find(t *tally, child ID, c View, r *row, k Key) {
	whole := x.candidates(r, child, c, k, func(id ID) bool {
		x.weigh(t, r, c, id)
		// Two that nothing can beat decide it.
		return t.ties < 2 || !r.flat
	})
	if !whole {
		*t = tally{Edge: Edge{Parent: None, Outcome: Overrun, Rule: r.rule, Candidates: uint32(x.maxCandidates)}}
		return
	}
	if t.ties > 1 && r.class == exact && !r.stated && int(t.Candidates) <= x.rations[r.quota].told {
		// The clocks may tell candidates apart that the tolerance does not.
		t.ties, t.Parent = x.timeliest(r, child, c, k, t.top)
	}
	t.conclude(r, c)
}

// searchOne is search by a stem that is not split: only, which may be None, is all that can have the key. Of rows with
// such a key all that have the traits have it, and no judge doubts what is alone.
func (x *Index) searchOne(child ID, c View, r *row, only ID) Edge {
	t := r.tally()
	if only != None && agree(r.numbered, c.core, x.core(only)) {
		if x.looks++; only != child {
			x.weigh(&t, r, c, only)
			t.conclude(r, c)
		}
	}
	return t.Edge
}

// timeliest counts the candidates of that score that the clocks allow, as far as they are known, and
// returns the last of them.
func (x *Index) timeliest(r *row, child ID, c View, k Key, best score) (n int, parent ID) {
	x.candidates(r, child, c, k, func(id ID) bool {
		p := x.View(id)
		if x.rate(r, c, p) == best && x.admitBy(r, probable, c.core, p.core) == admitted {
			n++
			parent = id
		}
		return n < 2
	})
	if n != 1 {
		// None at all: the clocks are not what they were, so they tell nothing.
		return 2, None
	}
	return n, parent
}

// candidates calls fn for what defines k and could be the parent of child, of a crowd only for what
// time allows and until fn returns false. It returns false where that is more than one reference may look at.
func (x *Index) candidates(r *row, child ID, c View, k Key, fn func(ID) bool) bool {
	may := &x.rations[r.quota]
	if r.places {
		n := 0
		since, last := x.around(r, c)
		all := x.inPlace(&x.defs, c, since, last, func(id ID) bool {
			if n++; n > may.few {
				return false
			}
			x.looks++
			return id == child || fn(id)
		})
		return all && n <= may.few
	}
	var one [1]ID
	some, crowd := x.ids(&x.defs, k, c.core, &one)
	if r.among != nil {
		var all bool
		if some, all = r.among(x, child); !all {
			return false
		}
		crowd = nil
	}
	if k.domain() == domainSpan && !x.named(r, child, c, fn) {
		return false
	}
	if r.beside != nil {
		also, all := r.beside(x, c)
		for _, id := range also {
			fn(id)
		}
		if !all {
			return false
		}
	}
	if crowd != nil && crowd.n > may.most {
		return false
	}
	if len(some) > may.least && (len(some) > may.most || x.timely(r, c, some) > may.few) {
		return false
	}
	for _, id := range some {
		if x.looks++; id != child {
			fn(id)
		}
	}
	if crowd == nil {
		return true
	}
	since, last := x.around(r, c)
	// Those that are over before are only near in the crowd, so how many come along is no measure of the key.
	n, over := 0, 0
	crowd.backwards(last, since, func(id ID) bool {
		if _, end := x.times(id); end < since {
			over++
		} else {
			n++
		}
		if n > may.few || over > x.passed {
			return false
		}
		x.looks++
		return id == child || fn(id)
	})
	return n <= may.few && over <= x.passed
}

// around is the time in which whatever may be the parent of c is open.
func (x *Index) around(r *row, c View) (since, last int64) {
	if r.stated {
		return math.MinInt64, math.MaxInt64
	}
	reach := x.reach(r, c.Start)
	return c.Start - reach, c.Start + reach
}

// timely is how many of ids are open around the start of c.
func (x *Index) timely(r *row, c View, ids []ID) (n int) {
	since, last := x.around(r, c)
	for _, id := range ids {
		n += int(bit(x.core(id).openIn(since, last)))
	}
	return n
}
