package link

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

// MaxLosers is how many candidates that lost an explanation names, of each search; the nearest first.
const MaxLosers = 5

// Explanation is the search of one row, told so that its reader can check it.
type Explanation struct {
	Rule, Class string
	Outcome     Outcome
	// Withdrawn: the row had nothing to say of this child, whatever the candidates.
	Withdrawn bool
	// Key names what both sides must have in common.
	Key []string
	// Shared is how many spans have it, of those that are near in time, Known of all that are known.
	Shared, Known int
	// Parent is the span that was chosen, Facts how it compares with the child.
	Parent SpanID
	Linked bool
	Facts  []Compared
	Losers []Loser
	// Omitted is how many more have lost.
	Omitted int
}

// Compared is one fact of child and parent. Verdict is equal, absent (one side does not say), differs
// (which rules nothing out), conflict, estimated (clock_offset), or what time says: inside or a word of Loser.
type Compared struct{ Fact, Child, Parent, Verdict string }

// Loser is a candidate that was not chosen.
type Loser struct {
	Span SpanID
	// Why is a word that README.md explains.
	Why string
	// Rival is another span that is in the way, zero where none is.
	Rival SpanID
	// Fact is what ruled it out, without name where it was no single fact.
	Fact Compared
}

// Explain repeats the search for the parent of child and tells what each row found, until one linked. Spans are near that
// are open within window of the child, give or take the clocks.
func (x *Index) Explain(child ID, window time.Duration) []Explanation {
	var out []Explanation
	c := x.View(child)
	for i := range x.rows {
		r := &x.rows[i]
		k, ok := r.refers.key(x, c)
		if !ok {
			continue
		}
		e := x.explain(child, c, r, k, window)
		out = append(out, e)
		if e.Linked {
			break
		}
	}
	return out
}

func (x *Index) explain(child ID, c View, r *row, k Key, window time.Duration) Explanation {
	out := Explanation{Rule: r.rule, Class: r.class.String(), Outcome: NoCandidate}
	out.Shared, out.Known = x.sharing(c, r, k, window)
	for _, f := range r.compares.key {
		out.Key = append(out.Key, f.name)
	}
	if r.veto != nil && r.veto(x, c) {
		out.Withdrawn = true
		return out
	}
	t := r.tally()
	x.find(&t, child, c, r, k)
	found, not := t.Edge, objection{}
	if t.ties > 0 && r.judge != nil {
		found, not = r.judge(x, child, r, k, t.Edge)
	}
	out.Outcome, out.Linked = found.Outcome, found.Outcome == Linked
	if out.Linked {
		p := x.View(found.Parent)
		out.Parent = p.Span
		out.Facts = x.compare(r, child, c, p)
	}
	// What lost is judged against the best that time allows.
	top := unfit
	var lost []ID
	x.candidates(r, child, c, k, func(id ID) bool {
		p := x.View(id)
		if s := x.rate(r, c, p); s > top && x.admit(r, c.core, p.core) == admitted {
			top = s
		}
		if id != found.Parent {
			lost = append(lost, id)
		}
		return true
	})
	ranks := make(map[ID]rank, len(lost))
	for _, id := range lost {
		ranks[id] = x.rank(r, c, x.View(id), top)
	}
	slices.SortFunc(lost, func(a, b ID) int {
		p, q := x.core(a), x.core(b)
		return cmp.Or(cmp.Compare(ranks[a], ranks[b]), cmp.Compare(q.Start, p.Start), bytes.Compare(p.Span[:], q.Span[:]))
	})
	for _, id := range lost[:min(len(lost), MaxLosers)] {
		out.Losers = append(out.Losers, x.lose(r, child, c, x.View(id), ranks[id], found.Outcome, &not))
	}
	out.Omitted = len(lost) - len(out.Losers)
	return out
}

// sharing counts the spans that have k: those that are near c, and all that are known.
func (x *Index) sharing(c View, r *row, k Key, window time.Duration) (near, known int) {
	start, end := c.times()
	reach := int64(window) + x.reach(r, start)
	since, last := later(start, -reach), later(end, reach)
	count := func(ids []ID, many *crowd, counts func(View) bool) {
		for _, id := range ids {
			if v := x.View(id); counts(v) {
				known++
				near += int(bit(v.openIn(since, last)))
			}
		}
		if many != nil {
			known += many.n
			near += many.open(since, last)
		}
	}
	if r.places {
		for _, side := range []*postings{&x.defs, &x.refs} {
			known += x.sizeInPlace(side, c)
			x.inPlace(side, c, since, last, func(ID) bool { near++; return true })
		}
		return near, known
	}
	var one [1]ID
	ids, crowd := x.ids(&x.defs, k, c.core, &one)
	count(ids, crowd, func(View) bool { return true })
	ids, crowd = x.ids(&x.refs, k, c.core, &one)
	count(ids, crowd, func(v View) bool {
		// Of the places of capture of one call some define what they refer to. There are never as many of them as a crowd.
		own, ok := r.defines.key(x, v)
		return !ok || own != k
	})
	if k.domain() == domainSpan {
		ids, crowd = x.defs.get(rawSpanKey(c.CtxParent), &one)
		count(ids, crowd, func(v View) bool { return v.own == ownKey(c.CtxTrace) })
	}
	return near, known
}

// rank is how near a candidate was to winning, the nearest first.
type rank uint8

const (
	asGood rank = iota
	weaker
	untimely
	unlike
	// beyond the limits of the row; of a process these are all that it has done at other times.
	beyond
)

func (x *Index) rank(r *row, c, p View, top score) rank {
	if x.judge(r.limits, c, p) != admitted {
		return beyond
	}
	switch s := x.rate(r, c, p); {
	case s == unfit:
		return unlike
	case x.admit(r, c.core, p.core) != admitted:
		return untimely
	case s < top:
		return weaker
	default:
		return asGood
	}
}

// lose says why p lost and by which fact; not is what the judge of the row has against a candidate.
func (x *Index) lose(r *row, child ID, c, p View, by rank, found Outcome, not *objection) Loser {
	l := Loser{Span: p.Span}
	switch by {
	case beyond:
		l.untimely(c, p, x.judge(r.limits, c, p))
	case unlike:
		x.exclude(&l, r, child, c, p)
	case untimely:
		l.untimely(c, p, x.admit(r, c.core, p.core))
	case weaker:
		l.Why = whyWeaker
		for _, f := range r.compares.also {
			if got := f.compare(x, c, p, "differs"); got.Verdict != "equal" {
				l.Fact = got
				break
			}
		}
	case asGood:
		switch v := x.admitBy(r, probable, c.core, p.core); {
		case not.of == p.core:
			l.take(x, not, c, p)
		case found == Overrun:
			l.Why = whyLimit
		case found != Linked:
			l.Why = whyEquallyGood
		case r.class == exact && v != admitted:
			// Of several the clocks have told which (see timeliest).
			l.untimely(c, p, v)
		default:
			l.Why = whyOutranked
		}
	}
	return l
}

// exclude says what makes p no candidate at all.
func (x *Index) exclude(l *Loser, r *row, child ID, c, p View) {
	if r.objects != nil {
		if o := r.objects(x, c, p); o.raised() && (o.why != whyConflict || o.fact != nil) {
			l.take(x, &o, c, p)
			return
		}
	}
	l.Why = whyUnfit
	compared := x.fields(r, child, c, p, whyConflict)
	if i := slices.IndexFunc(compared, func(f Compared) bool { return f.Verdict == whyConflict }); i >= 0 {
		l.Why, l.Fact = whyConflict, compared[i]
		return
	}
	// Of the others only what the key is made of has to be there.
	if i := slices.IndexFunc(compared[:len(r.compares.key)], func(f Compared) bool { return f.Verdict == whyAbsent }); i >= 0 {
		l.Why, l.Fact = whyAbsent, compared[i]
	}
}

// take makes o the reason.
func (l *Loser) take(x *Index, o *objection, c, p View) {
	l.Why = o.why
	if o.rival != nil {
		l.Rival = o.rival.Span
	}
	switch {
	case o.time != admitted:
		l.untimely(c, p, o.time)
	case o.fact != nil:
		l.Fact = o.fact.compare(x, c, p, whyConflict)
		if l.Why = l.Fact.Verdict; l.Why == "equal" {
			l.Why = whyUnfit
		}
	}
}

func (l *Loser) untimely(c, p View, v verdict) {
	l.Why, l.Fact = v.String(), timed(c, p, v)
}

// compare lists all that the row compares, and time.
func (x *Index) compare(r *row, child ID, c, p View) []Compared {
	out := append(x.fields(r, child, c, p, "differs"), timed(c, p, x.admit(r, c.core, p.core)))
	if off, known := x.clocks.between(p.Host, c.Host, c.Start); known {
		out = append(out, Compared{
			Fact: "clock_offset", Verdict: "estimated",
			Child: fmt.Sprintf("%s to %s ahead", time.Duration(off.lo), time.Duration(off.hi)),
		})
	}
	return out
}

// fields lists the fields that the row compares; also is the verdict where those differ that may be translated.
func (x *Index) fields(r *row, child ID, c, p View, also string) []Compared {
	near, far := c, p
	if r.compares.mate != nil {
		if m := r.compares.mate(x, child); m != None {
			near, far = x.View(m), x.View(m)
		}
	}
	var out []Compared
	for _, f := range r.compares.key {
		out = append(out, f.compare(x, c, far, whyConflict))
	}
	for _, f := range r.compares.must {
		out = append(out, f.compare(x, near, p, whyConflict))
	}
	for _, f := range r.compares.also {
		out = append(out, f.compare(x, near, p, also))
	}
	return out
}

func (f *field) compare(x *Index, c, p View, other string) Compared {
	out := Compared{Fact: f.name, Verdict: "equal"}
	out.Child, out.Parent = f.of(x, c, p)
	switch {
	case out.Child == "" || out.Parent == "":
		out.Verdict = "absent"
	case out.Child != out.Parent:
		out.Verdict = other
	}
	return out
}

func timed(c, p View, v verdict) Compared {
	return Compared{Fact: "time", Child: c.period(), Parent: p.period(), Verdict: v.String()}
}
