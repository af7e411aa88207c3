package deepflow

import "slices"

// procSet is what one process does for one request (section 3.3).
type procSet struct {
	// server is the s-p, at most one; apps are SDK spans, calls the c-p.
	server *row
	apps   []*row
	calls  []*row
}

// root of the set: the s-p, else the SDK's first span, else a call alone.
func (s *procSet) root() *row {
	switch {
	case s.server != nil:
		return s.server
	case len(s.apps) > 0:
		return s.appRoot()
	default:
		return s.calls[0]
	}
}

func (s *procSet) appRoot() *row {
	for _, a := range s.apps {
		if a.parent == nil || !a.parent.app || a.parent.set != s {
			return a
		}
	}
	return s.apps[0]
}

// leaves are the calls, and the SDK's spans without children.
func (s *procSet) leaves() []*row {
	out := slices.Clone(s.calls)
	for _, a := range s.apps {
		if !slices.ContainsFunc(s.apps, func(b *row) bool { return b.parent == a }) {
			out = append(out, a)
		}
	}
	return out
}

func (s *procSet) take(r *row) {
	r.set = s
	switch {
	case r.app:
		s.apps = append(s.apps, r)
	case r.client:
		s.calls = append(s.calls, r)
	default:
		s.server = r
	}
}

// holds is whether c may belong to the set by process and time (P4).
func (s *procSet) holds(c *row) bool {
	p := s.server
	return p != nil && sameProcess(p, c) && p.start <= c.start && (!p.answered || p.end >= c.end)
}

func processSets(rows []*row) (sets []*procSet) {
	sets = appSets(rows)
	var left []*row
	for _, client := range []bool{true, false} {
		for _, r := range rows {
			if r.app || r.client != client {
				continue
			}
			if !underApp(sets, r) {
				left = append(left, r)
			}
		}
	}
	for _, r := range left { // P3
		if !r.client {
			s := &procSet{}
			s.take(r)
			sets = append(sets, s)
		}
	}
	with := map[any][]*procSet{}
	for _, s := range sets {
		p := s.root().span.Process
		with[p] = append(with[p], s)
	}
	var calls []*row
	for _, r := range left {
		if r.client {
			calls = append(calls, r)
		}
	}
	brothers := brotherhood(calls)
	for _, c := range calls { // P4 to P6
		if c.set != nil {
			continue
		}
		s := home(with[c.span.Process], c)
		if s == nil {
			continue
		}
		attach(s, c)
		for _, b := range brothers[c] {
			if b.set == nil && s.holds(b) {
				attach(s, b)
			}
		}
	}
	for _, c := range calls { // P7
		if c.set == nil {
			s := &procSet{}
			s.take(c)
			sets = append(sets, s)
		}
	}
	return sets
}

func attach(s *procSet, c *row) {
	s.take(c)
	c.parent = s.server
}

// appSets is P1: the SDK spans of one instance, a set for each parent that their roots name.
func appSets(rows []*row) (sets []*procSet) {
	type instance struct {
		p    any
		t    trace
		from none
	}
	byID := map[none]*row{}
	for _, r := range rows {
		if r.app {
			byID[r.spanID] = r
		}
	}
	local := func(r *row) *row {
		if p := byID[r.parentSpanID]; p != nil && sameProcess(p, r) && p != r {
			return p
		}
		return nil
	}
	of := map[instance]*procSet{}
	for _, r := range rows {
		if !r.app {
			continue
		}
		root := r
		for range len(rows) {
			p := local(root)
			if p == nil {
				break
			}
			root = p
		}
		r.parent = local(r)
		k := instance{r.span.Process, r.trace, root.parentSpanID}
		if of[k] == nil {
			of[k] = &procSet{}
			sets = append(sets, of[k])
		}
		of[k].take(r)
	}
	return sets
}

// underApp is P2.
func underApp(sets []*procSet, r *row) bool {
	var best *procSet
	for _, s := range sets {
		if len(s.apps) == 0 || !sameProcess(s.apps[0], r) {
			continue
		}
		if r.client {
			for _, a := range s.leaves() {
				if a.app && r.spanID == a.spanID && a.spanID != (none{}) {
					s.take(r)
					r.parent = a
					return true
				}
			}
			continue
		}
		if s.server != nil || !serves(s, r) {
			continue
		}
		if best == nil || fits(s.appRoot(), r) < fits(best.appRoot(), r) {
			best = s
		}
	}
	if best == nil {
		return false
	}
	best.take(r)
	best.appRoot().parent = r
	return true
}

// serves is whether the s-p r is the request that the SDK spans of s are about.
func serves(s *procSet, r *row) bool {
	root := s.appRoot()
	if root.parentSpanID != (none{}) {
		return r.spanID == root.parentSpanID
	}
	for _, c := range s.calls {
		if c.reqSys == r.reqSys || c.respSys == r.respSys {
			return true
		}
		if covers(r, c) && ((r.x0 != "" && r.x0 == c.x0) || (r.x1 != "" && r.x1 == c.x1)) {
			return true
		}
	}
	return false
}

func covers(p, c *row) bool { return p.start <= c.start && p.end >= c.end }

// fits is how far apart they are, nothing when r covers root.
func fits(root, r *row) int64 {
	if covers(r, root) {
		return 0
	}
	return min(max(root.start-r.start, r.start-root.start), max(root.end-r.end, r.end-root.end))
}

// home is the set that the call c belongs to: P4, else P5. Of several the latest request wins.
func home(sets []*procSet, c *row) *procSet {
	var best *procSet
	better := func(s *procSet) bool { return best == nil || s.server.start > best.server.start }
	for _, s := range sets {
		if s.holds(c) && belongs(s, c) && better(s) {
			best = s
		}
	}
	if best != nil {
		return best
	}
	for _, s := range sets {
		p := s.server
		if p != nil && sameProcess(p, c) && p.start < c.start && p.end < c.end && sameTrace(p, c) && better(s) {
			best = s
		}
	}
	return best
}

// belongs are the four tests of P4.
func belongs(s *procSet, c *row) bool {
	for _, d := range s.calls {
		if (c.reqSys != 0 && c.reqSys == d.respSys) || (c.respSys != 0 && c.respSys == d.reqSys) {
			return true
		}
	}
	p := s.server
	if equalSys(p, c) {
		return true
	}
	if (p.x0 != "" && p.x0 == c.x0) || (p.x1 != "" && p.x1 == c.x1) || (p.x1 != "" && p.x1 == c.x0) {
		return true
	}
	return sameTrace(p, c)
}

// brotherhood is the union of P6: calls that follow one another on a thread, or share a trace id.
func brotherhood(calls []*row) map[*row][]*row {
	type link struct {
		p   any
		sys uint64
		t   trace
	}
	by := map[link][]*row{}
	for _, c := range calls {
		if c.respSys != 0 {
			by[link{p: c.span.Process, sys: c.respSys}] = append(by[link{p: c.span.Process, sys: c.respSys}], c)
		}
		if c.reqSys != 0 {
			by[link{p: c.span.Process, sys: c.reqSys}] = append(by[link{p: c.span.Process, sys: c.reqSys}], c)
		}
		if hasTrace(c) {
			by[link{p: c.span.Process, t: c.trace}] = append(by[link{p: c.span.Process, t: c.trace}], c)
		}
	}
	group := map[*row]int{}
	members := map[int][]*row{}
	for i, c := range calls {
		group[c], members[i] = i, []*row{c}
	}
	for _, list := range by {
		for _, c := range list[1:] {
			a, b := group[list[0]], group[c]
			if a == b {
				continue
			}
			for _, m := range members[b] {
				group[m] = a
			}
			members[a] = append(members[a], members[b]...)
			delete(members, b)
		}
	}
	out := map[*row][]*row{}
	for _, c := range calls {
		out[c] = members[group[c]]
	}
	return out
}
