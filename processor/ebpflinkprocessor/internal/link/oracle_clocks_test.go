package link

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// What the oracle knows of time, by the chapter "Clocks" of design.md.

// offset of one clock against another: between lo and hi, if it is known.
type offset struct {
	lo, hi int64
	known  bool
}

func (o offset) negated() offset       { return offset{-o.hi, -o.lo, o.known} }
func (o offset) plus(p offset) offset  { return offset{o.lo + p.lo, o.hi + p.hi, o.known && p.known} }
func (o offset) narrow() bool          { return o.hi-o.lo <= int64(200*time.Millisecond) }
func (o offset) contains(p int64) bool { return o.lo <= p && p <= o.hi }

// admits says whether time allows p as the parent of c, by a rule of that class, with so much slack.
func (o *oracle) admits(c, p *seen, cl class, slack time.Duration) bool {
	return o.inTime(c, p, cl, slack, false)
}

// inTime is admits, and with whole the child must also end in time.
func (o *oracle) inTime(c, p *seen, cl class, slack time.Duration, whole bool) bool {
	within := func(off offset, tol int64) bool {
		tol += int64(slack)
		end := max(p.Start, p.End) + tol
		switch {
		case c.Start-off.lo < p.Start-tol:
			return false
		case p.Pending:
			return true
		case c.Start-off.hi > end:
			return false
		default:
			return !whole || c.Pending || c.End-off.hi <= end
		}
	}
	if c.Raw && p.Raw && c.Host == p.Host && c.Host != 0 {
		return within(offset{}, int64(time.Millisecond))
	}
	by := within(offset{}, o.tolerance)
	off := o.offset(p.Host, c.Host, c.Start)
	if !off.known || (by && cl == exact) {
		return by
	}
	tol := int64(10 * time.Millisecond)
	if !c.Raw || !p.Raw {
		tol = max(tol, o.tolerance)
	}
	return within(off, tol)
}

func epochAt(at int64) int64 { return int64(math.Floor(float64(at) / 1e10)) }

// offset of the clock of host b against that of a, at a time.
func (o *oracle) offset(a, b uint64, at int64) offset {
	if a == 0 || b == 0 || a == b {
		return offset{}
	}
	if a > b {
		return o.offset(b, a, at).negated()
	}
	asked := [3]int64{int64(a), int64(b), epochAt(at)}
	off, known := o.offsets[asked]
	if !known {
		off = o.estimate(a, b, epochAt(at))
		o.offsets[asked] = off
	}
	return off
}

// agreed is what the exchanges of two hosts, the smaller first, agree on.
type agreed struct {
	a, b uint64
	offset
	// sure: enough agree.
	sure bool
}

func (o *oracle) estimate(a, b uint64, epoch int64) offset {
	var pairs []agreed
	hosts := o.hosts()
	for i, x := range hosts {
		for _, y := range hosts[i+1:] {
			e := agreed{a: x, b: y}
			var n int
			e.offset, n = most(o.samples(x, y, epoch-1, epoch+1))
			e.sure = n >= 3
			if e.known && e.narrow() {
				pairs = append(pairs, e)
			}
			if x == a && y == b && e.sure && e.narrow() {
				return e.offset
			}
		}
	}
	return aroundCircles(pairs, a, b)
}

func (o *oracle) hosts() (hosts []uint64) {
	for i := range o.spans {
		if h := o.spans[i].Host; h != 0 && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// busy: two hosts exchange so much within an epoch that only a sample of it speaks.
func (o *oracle) busy() bool {
	hosts := o.hosts()
	for i, x := range hosts {
		for _, y := range hosts[i+1:] {
			for epoch := int64(-3); epoch <= 5; epoch++ {
				if len(o.samples(x, y, epoch, epoch)) > 16 {
					return true
				}
			}
		}
	}
	return false
}

// samples are what the exchanges of two hosts within some epochs say, each of which exactly one span claims at either end.
func (o *oracle) samples(a, b uint64, from, to int64) (offs []offset) {
	for i := range o.spans {
		for j := range o.spans {
			c, s := &o.spans[i], &o.spans[j]
			if c.Role != Client || s.Role != Server || !bothNumbers(s, c) || wire(s, c) == 0 || c.Pending || s.Pending ||
				min(c.Host, s.Host) != a || max(c.Host, s.Host) != b || epochAt(s.Start) < from || epochAt(s.Start) > to {
				continue
			}
			claims := 0
			for k := range o.spans {
				if f := &o.spans[k]; f.Raw && f.Role != Other && f.ReqSeq == c.ReqSeq && f.RespSeq == c.RespSeq {
					claims++
				}
			}
			const reading = int64(time.Millisecond)
			off := offset{s.End - c.End - reading, s.Start - c.Start + reading, true}
			if claims > 2 || off.lo > off.hi || off.lo < -int64(time.Hour) || off.hi > int64(time.Hour) {
				continue
			}
			if c.Host > s.Host {
				off = off.negated()
			}
			offs = append(offs, off)
		}
	}
	return offs
}

// most is what more than half of offs contain, and how many those are.
func most(offs []offset) (best offset, agree int) {
	depth := func(at int64) (n int) {
		for _, o := range offs {
			n += one(o.contains(at))
		}
		return n
	}
	for _, o := range offs {
		agree = max(agree, depth(o.lo))
	}
	if 2*agree <= len(offs) {
		return offset{}, 0
	}
	best = offset{math.MaxInt64, math.MinInt64, true}
	for _, o := range offs {
		if depth(o.lo) == agree {
			best.lo = min(best.lo, o.lo)
		}
		if depth(o.hi) == agree {
			best.hi = max(best.hi, o.hi)
		}
	}
	return best, agree
}

// aroundCircles is the offset of b against a by way of other hosts: of a forest of the surest and narrowest pairs
// those count that are sure or are on a circle that another pair closes and around which all adds up.
func aroundCircles(pairs []agreed, a, b uint64) offset {
	slices.SortFunc(pairs, func(x, y agreed) int {
		return cmp.Or(one(y.sure)-one(x.sure), cmp.Compare(x.hi-x.lo, y.hi-y.lo), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	var forest, rest, closing []agreed
	for _, e := range pairs {
		if pathFrom(forest, e.a, e.b, 0) == nil {
			forest = append(forest, e)
		} else {
			rest = append(rest, e)
		}
	}
	confirmed := map[[2]uint64]bool{}
	for _, e := range forest {
		confirmed[[2]uint64{e.a, e.b}] = e.sure
	}
	for _, e := range rest {
		around := pathFrom(forest, e.a, e.b, 0)
		sum := total(around)
		if !sum.narrow() || sum.lo > e.hi || e.lo > sum.hi {
			continue
		}
		closing = append(closing, e)
		for _, w := range around {
			confirmed[[2]uint64{min(w.a, w.b), max(w.a, w.b)}] = true
		}
	}
	for _, e := range closing {
		if e.a == a && e.b == b {
			return e.offset
		}
	}
	forest = slices.DeleteFunc(forest, func(e agreed) bool { return !confirmed[[2]uint64{e.a, e.b}] })
	if w := pathFrom(forest, a, b, 0); w != nil && total(w).narrow() {
		return total(w)
	}
	return offset{}
}

// pathFrom goes from a to b through a forest, without going back to from; nil where there is none.
func pathFrom(forest []agreed, a, b, from uint64) []agreed {
	for _, e := range forest {
		if e.b == a {
			e = agreed{e.b, e.a, e.negated(), e.sure}
		}
		if e.a != a || e.b == from {
			continue
		}
		if e.b == b {
			return []agreed{e}
		}
		if rest := pathFrom(forest, e.b, b, a); rest != nil {
			return append([]agreed{e}, rest...)
		}
	}
	return nil
}

func total(way []agreed) (sum offset) {
	sum.known = true
	for _, e := range way {
		sum = sum.plus(e.offset)
	}
	return sum
}
