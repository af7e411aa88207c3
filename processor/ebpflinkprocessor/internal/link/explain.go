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
	// Key names what both sides must have in common, Shared how many spans are known that have it.
	Key    []string
	Shared int
	// Parent is the span that was chosen, Facts how it compares with the child.
	Parent SpanID
	Linked bool
	Facts  []Compared
	Losers []Loser
	// Omitted is how many more have lost.
	Omitted int
}

// Compared is one fact of child and parent. Verdict is equal, absent (one side does not say), differs
// (which rules nothing out), conflict, or what time says: inside, before_request, after_response,
// outlives_parent.
type Compared struct{ Fact, Child, Parent, Verdict string }

// Loser is a candidate that was not chosen.
type Loser struct {
	Span SpanID
	// Why is conflict, before_request, after_response, outlives_parent, unfit, weaker, equally_good or outranked.
	Why string
	// Fact is what ruled it out, without name where it was no single fact.
	Fact Compared
}

// Explain repeats the search for the parent of child and tells what each row found, until one linked.
func (x *Index) Explain(child ID) []Explanation {
	var out []Explanation
	c := x.View(child)
	for i := range x.rows {
		r := &x.rows[i]
		k, ok := r.refers.key(c)
		if !ok {
			continue
		}
		e := x.explain(child, c, r, k)
		out = append(out, e)
		if e.Linked {
			break
		}
	}
	return out
}

func (x *Index) explain(child ID, c View, r *row, k Key) Explanation {
	out := Explanation{Rule: r.rule, Class: r.class.String(), Shared: x.definitions(c, k) + x.count(&x.refs, k, c.core), Outcome: NoCandidate}
	for _, f := range r.compares.key {
		out.Key = append(out.Key, f.name)
	}
	if r.veto != nil && r.veto(x, c) {
		out.Withdrawn = true
		return out
	}
	found := x.search(child, c, r, k)
	out.Outcome, out.Linked = found.Outcome, found.Outcome == Linked
	if out.Linked {
		p := x.View(found.Parent)
		out.Parent = p.Span
		out.Facts = x.compare(r, c, p)
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
		out.Losers = append(out.Losers, x.lose(r, c, x.View(id), ranks[id], out.Linked))
	}
	out.Omitted = len(lost) - len(out.Losers)
	return out
}

// rank is how near a candidate was to winning, the nearest first.
type rank uint8

const (
	asGood rank = iota
	weaker
	untimely
	unlike
)

func (x *Index) rank(r *row, c, p View, top score) rank {
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

// lose says why p lost and by which fact.
func (x *Index) lose(r *row, c, p View, by rank, linked bool) Loser {
	l := Loser{Span: p.Span}
	switch by {
	case unlike:
		l.Why = "unfit"
		if l.Fact = x.conflict(r, c, p); l.Fact.Fact != "" {
			l.Why = "conflict"
		}
	case untimely:
		l.Fact = x.timed(r, c, p)
		l.Why = l.Fact.Verdict
	case weaker:
		l.Why = "weaker"
		for _, f := range r.compares.also {
			if got := f.compare(c, p, "differs"); got.Verdict != "equal" {
				l.Fact = got
				break
			}
		}
	case asGood:
		l.Why = "equally_good"
		if linked {
			l.Why = "outranked"
		}
	}
	return l
}

// conflict is the first fact that contradicts, without name where no single one does.
func (x *Index) conflict(r *row, c, p View) Compared {
	for _, fields := range [][]field{r.compares.key, r.compares.must, r.compares.also} {
		for _, f := range fields {
			if got := f.compare(c, p, "conflict"); got.Verdict == "conflict" {
				return got
			}
		}
	}
	return Compared{}
}

// compare lists all that the row compares, and time.
func (x *Index) compare(r *row, c, p View) []Compared {
	var out []Compared
	for _, f := range r.compares.key {
		out = append(out, f.compare(c, p, "conflict"))
	}
	for _, f := range r.compares.must {
		out = append(out, f.compare(c, p, "conflict"))
	}
	for _, f := range r.compares.also {
		out = append(out, f.compare(c, p, "differs"))
	}
	out = append(out, x.timed(r, c, p))
	if off, known := x.clocks.between(p.Host, c.Host, c.Start); known {
		out = append(out, Compared{
			Fact: "clock_offset", Verdict: "estimated",
			Child: fmt.Sprintf("%s to %s ahead", time.Duration(off.lo), time.Duration(off.hi)),
		})
	}
	return out
}

func (f *field) compare(c, p View, other string) Compared {
	out := Compared{Fact: f.name, Verdict: "equal"}
	out.Child, out.Parent = f.of(c, p)
	switch {
	case out.Child == "" || out.Parent == "":
		out.Verdict = "absent"
	case out.Child != out.Parent:
		out.Verdict = other
	}
	return out
}

func (x *Index) timed(r *row, c, p View) Compared {
	return Compared{Fact: "time", Child: c.period(), Parent: p.period(), Verdict: x.admit(r, c.core, p.core).String()}
}
