package link

import "unsafe"

// Among millions of facts each look-up is a miss of the cache, and to wait for it costs more than what is done with
// what it finds. Who knows what will be looked up next says so here, for several spans at once: the processor then
// waits for all of them together. No result depends on it: what is not asked for comes when it is needed.

// AtOnce is for how many spans to look ahead: enough to hide the wait, and few enough to fit in the nearest cache.
const AtOnce = 16

// Ahead brings element i near, which exists.
func (p *Pages[T]) Ahead(i ID) {
	at := unsafe.Pointer(p.At(i))
	prefetch(at)
	var t T
	size := unsafe.Sizeof(t)
	if size > cacheLine/2 {
		// It may begin in one line and end in the next, or in that behind it.
		prefetch(unsafe.Add(at, size-1))
	}
	if size > cacheLine+8 {
		prefetch(unsafe.Add(at, cacheLine))
	}
}

// Ahead brings the element with that number near.
func (s *Stock[T]) Ahead(n uint32) { s.all.Ahead(ID(n - 1)) }

// Ahead brings near where k is, or would be.
func (t *Table[V]) Ahead(k Key) {
	if t.n != 0 {
		prefetch(unsafe.Pointer(t.directory[t.place(k)].at(home(k))))
	}
}

// Ahead brings id near.
func (x *Index) Ahead(id ID) { x.facts.Ahead(id) }

// usual are the keys that c is posted by nearly always, 0 for one that it has not.
type usual [3]Key

func (u *usual) of(x *Index, c *core, via domain) {
	u[0], u[1], u[2] = 0, 0, 0
	if !c.Raw {
		if c.own != 0 {
			u[0] = spanKey(c.own, c.Span)
		}
		return
	}
	if via != domainSeq {
		var stemmed bool
		if u[0], _, stemmed = x.stem(c); !stemmed {
			u[0] = rawSpanKey(c.Span)
		}
	}
	if c.Host == 0 {
		return
	}
	if via != domainSystrace && c.Systrace != 0 {
		u[1] = domainSystrace.key2(c.Host, c.Systrace)
	}
	if via != domainPseudo && c.Pseudo != 0 {
		u[2] = domainPseudo.key2(c.Host, c.Pseudo)
	}
}

// ahead brings near where the keys are.
func (x *Index) ahead(u *usual) {
	for _, k := range u {
		if k != 0 {
			x.keys.Ahead(k)
		}
	}
}

// Expect brings near what Find and Take look at for each of facts.
func (x *Index) Expect(facts []Fact) {
	var c core
	var u usual
	for i := range facts {
		f := &facts[i]
		c.Span, c.Host, c.Systrace, c.Pseudo, c.ReqSeq = f.Span, f.Host, f.Systrace, f.Pseudo, f.ReqSeq
		c.Role, c.Raw, c.Pending = f.Role, f.Raw, f.Pending
		if !f.Raw {
			c.own = ownKey(f.OwnTrace)
		}
		x.aheadOf(&c, &u)
	}
}

// part brings near what unpost looks at for each of ids, AtOnce at the most.
func (x *Index) part(ids []ID) {
	for _, id := range ids {
		x.Ahead(id)
	}
	var u usual
	for _, id := range ids {
		x.aheadOf(x.core(id), &u)
	}
}

// aheadOf brings near all places of c.
func (x *Index) aheadOf(c *core, u *usual) {
	if c.Raw && x.known(c) {
		x.keys.Ahead(rawSpanKey(c.Span))
	}
	u.of(x, c, 0)
	x.ahead(u)
}

// Step is a fact on the way from span to span that Ask and Follow go.
type Step struct {
	ID ID
	// via is by which key it was met: the way goes on by the others.
	via  domain
	keys usual
}

// Ask brings near what says where the way goes on from s, whose fact is near.
func (x *Index) Ask(s *Step) {
	s.keys.of(x, x.core(s.ID), s.via)
	x.ahead(&s.keys)
}

// mostFollowed is how many spans one key leads to on the way.
const mostFollowed = 8

// Follow appends whom s meets by the keys that Ask asked for.
func (x *Index) Follow(s *Step, to []Step) []Step {
	for _, k := range s.keys {
		if k == 0 {
			continue
		}
		sides := x.keys.Get(k)
		if sides == nil {
			continue
		}
		for side, v := range sides {
			switch {
			case v == 0:
			case v < isSome:
				if id := ID(v - 1); id != s.ID {
					to = append(to, Step{ID: id, via: k.domain()})
				}
			case v&kind == isSome:
				ids := x.sideOf(side).some.all[v&^kind]
				for _, id := range ids[:min(len(ids), mostFollowed)] {
					if id != s.ID {
						to = append(to, Step{ID: id, via: k.domain()})
					}
				}
			}
		}
	}
	return to
}

// sideOf is the postings of that side.
func (x *Index) sideOf(side int) *postings {
	if side == defining {
		return &x.defs
	}
	return &x.refs
}
