package deepflow

import "slices"

// netSet is one exchange as seen in several places (section 3.4): here at most at its two ends.
type netSet struct{ rows []*row }

func (n *netSet) root() *row { return n.rows[0] }
func (n *netSet) leaf() *row { return n.rows[len(n.rows)-1] }

// networkSets puts the rows of one exchange together and each s-p under the c-p before it. That goes
// before what a systrace id said.
func networkSets(rows []*row) (sets []*netSet) {
	bySeq := map[uint32][]*row{}
	for _, r := range rows {
		if !r.app {
			bySeq[r.reqSeq] = append(bySeq[r.reqSeq], r)
		}
	}
	for _, r := range rows {
		if r.app || r.net != nil {
			continue
		}
		n := &netSet{}
		sets = append(sets, n)
		for _, o := range bySeq[r.reqSeq] {
			if o.net == nil && (o == r || sameExchange(r, o)) {
				o.net = n
				n.rows = append(n.rows, o)
			}
		}
		slices.SortStableFunc(n.rows, func(a, b *row) int {
			switch {
			case a.client == b.client:
				return 0
			case a.client:
				return -1
			default:
				return 1
			}
		})
		for i := 1; i < len(n.rows); i++ {
			p, c := n.rows[i-1], n.rows[i]
			if p.client && !c.client && (sameAgent(p, c) || overlap(p, c)) {
				c.parent = p
			}
		}
	}
	return sets
}

func overlap(a, b *row) bool {
	const by = networkDelay + clockOffset
	return a.start <= b.end+by && b.start <= a.end+by
}

// joinSets is section 3.5, without the rules for protocols that no scenario has.
func joinSets(sets []*procSet, nets []*netSet) {
	var leaves []*row
	apps := map[none]*row{}
	for _, s := range sets {
		leaves = append(leaves, s.leaves()...)
		for _, a := range s.apps {
			apps[a.spanID] = a
		}
	}
	child := map[*row]bool{}
	for _, s := range sets {
		for _, r := range append(slices.Clone(s.calls), s.root()) {
			if r.parent != nil {
				child[r.parent] = true
			}
		}
	}
	for _, n := range nets {
		for _, r := range n.rows {
			if r.parent != nil {
				child[r.parent] = true
			}
		}
	}
	adopt := func(c, p *row) {
		c.parent = p
		child[p] = true
	}
	byID := map[none][]*row{}
	for _, l := range leaves {
		byID[l.spanID] = append(byID[l.spanID], l)
	}
	delete(byID, none{})
	for _, n := range nets { // 1
		c := n.root()
		if c.parent != nil {
			continue
		}
		for _, p := range byID[c.spanID] {
			if p.net == n || p.set == c.set || (!p.app && (child[p] || !mayHold(p, c))) || cyclic(p, c) {
				continue
			}
			adopt(c, p)
			break
		}
	}
	for _, s := range sets { // 2
		c := s.root()
		if c.parent != nil {
			continue
		}
		for _, n := range nets {
			p := n.leaf()
			if p.client || child[p] || p.set == s || !nestedIDs(p, c) || cyclic(p, c) {
				continue
			}
			adopt(c, p)
			break
		}
	}
	for _, s := range sets { // 3 and 4
		c := s.root()
		if c.parent != nil {
			continue
		}
		for _, p := range append(byID[c.spanID], byID[c.parentSpanID]...) {
			if p.set == s || !nestedIDs(p, c) || (!p.app && !c.app && !mayHold(p, c)) || cyclic(p, c) {
				continue
			}
			adopt(c, p)
			break
		}
		if p := apps[c.parentSpanID]; c.parent == nil && p != nil && p.set != s && covers(p, c) && !cyclic(p, c) {
			adopt(c, p)
		}
	}
	for _, n := range nets { // 5
		c := n.root()
		if c.parent != nil {
			continue
		}
		var best *row
		for _, m := range nets {
			p := m.leaf()
			if m == n || !sameChain(p, c) || (sameAgent(p, c) && p.start > c.start) || p.end-p.start < c.end-c.start || cyclic(p, c) {
				continue
			}
			if best == nil || p.end-p.start < best.end-best.start {
				best = p
			}
		}
		if best != nil {
			adopt(c, best)
		}
	}
}

// nestedIDs: the header that both saw, or the parent that the SDK names.
func nestedIDs(p, c *row) bool {
	if c.app {
		return c.parentSpanID != none{} && c.parentSpanID == p.spanID
	}
	return c.spanID != none{} && c.spanID == p.spanID
}

// mayHold are the tests by time between two rows that are not an SDK's.
func mayHold(p, c *row) bool {
	return (!sameAgent(p, c) || covers(p, c)) && c.end-c.start <= p.end-p.start
}

// sameChain: an id that a gateway hands on.
func sameChain(p, c *row) bool {
	return (p.x1 != "" && p.x1 == c.x0) || (p.x0 != "" && p.x0 == c.x0) || (p.x1 != "" && p.x1 == c.x1) ||
		(p.spanID != none{} && p.spanID == c.spanID)
}

// cyclic: c is above p already.
func cyclic(p, c *row) bool {
	for i := 0; p != nil && i < 10_000; i++ {
		if p == c {
			return true
		}
		p = p.parent
	}
	return false
}
