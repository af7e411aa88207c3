package link

import "slices"

// Finality of an edge, for those who want to know whether a trace is whole. Both look at rows, not at
// rules by name where they can: a rule that is added makes fewer traces provably whole, never more.

// Final says whether nothing that may still come changes the parent of child: the strongest row by which
// it refers to a parent has found the only candidate, and the key is one that two spans cannot both
// define. (Two exchanges can share 64 bits of sequence numbers; that is as improbable as two equal ids.)
func (x *Index) Final(child ID) (Edge, bool) {
	e := x.Resolve(child)
	if e.Outcome != Linked || e.Stated || e.Candidates != 1 || e.Ambiguous != 0 || (e.Rule != TCPSeq && e.Rule != Systrace) {
		return e, false
	}
	// What is known of the clocks changes with what comes; without it time must allow the link too.
	c, p := x.core(child), x.core(e.Parent)
	if c.Host != p.Host && x.rows[e.Row].within(c, p, bounds{}, x.clockTolerance) != admitted {
		return e, false
	}
	for i := range x.rows[:e.Row] {
		if x.refersBy(child, i) {
			return e, false
		}
	}
	return e, true
}

// Rootless says whether no parent of child can come: it refers to none, or only by the bytes of a
// connection to a peer that is not traced.
func (x *Index) Rootless(child ID) bool {
	f := x.View(child)
	for _, i := range x.planOf(f.core).rows {
		r := &x.rows[i]
		// By a row with a pair it refers to a parent only where the span of an SDK came, which proves nothing whole.
		if r.pair == nil && x.refersBy(child, int(i)) && (!f.untraced || r.rule != TCPSeq) {
			return false
		}
	}
	return true
}

// counted are the rules by which no call refers to a request that its count of calls does not include.
var counted = []string{AppContext, TCPSeq, Systrace, PseudoThread}

// Closed says whether the keys that id defines are ones for which it is known what may refer to them. By
// execution context nothing comes that the count of a request's calls does not include: whoever counts
// gives a call the context of a request only together with its systrace id.
func (x *Index) Closed(id ID) bool {
	f := x.View(id)
	for i := range x.rows {
		switch r := &x.rows[i]; {
		case f.has&r.defines.needs != r.defines.needs || r.pair != nil: // which is for parents that are of an SDK
		case slices.Contains(counted, r.rule):
		default:
			if k, ok := r.defines.key(x, f); ok && x.spokenFor(r, k, f, &x.refs) {
				return false
			}
		}
	}
	return true
}

func (x *Index) refersBy(child ID, row int) bool {
	f := x.View(child)
	k, ok := x.rows[row].refers.key(x, f)
	return ok && x.spokenFor(&x.rows[row], k, f, &x.defs)
}
