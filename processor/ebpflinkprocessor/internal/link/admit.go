package link

import "time"

// SameHostTolerance absorbs the difference between two readings of one clock: the kernel's time of
// an event and its conversion to wall time.
const SameHostTolerance = time.Millisecond

// verdict is what time says about a candidate.
type verdict uint8

const (
	admitted verdict = iota
	// beforeRequest: the child starts before the parent's request arrived.
	beforeRequest
	// afterResponse: the child starts after the parent's response was sent.
	afterResponse
	// outlives: the child ends after the parent, in a row whose children must not.
	outlives
	// The others are of limits alone.

	// unended: one of the two is still open.
	unended
	// longer: the child takes longer than the parent.
	longer
	// unfilled: the child leaves too much of the parent.
	unfilled
)

// String is the verdict as an explanation spells it.
func (v verdict) String() string {
	return [...]string{
		"inside", "before_request", "after_response", "outlives_parent", "still_open", "longer_than_parent", "leaves_too_much",
	}[v]
}

// admit judges the times of a child and a candidate for every rule: a child starts no earlier than its
// parent's request arrived and not after the parent's response was sent. A row may ask that the
// child also ends within its parent. What a span states itself time cannot contradict. What a row asks of times
// besides are its limits.
//
// Spans of one host are compared by its clock. For other pairs clock_tolerance is allowed; where the
// difference of the clocks is known, a child may be placed by that too, however large it is. For
// rows that are not exact only that counts then, and where several candidates are equally good: the
// smaller the allowance, the fewer spans that are none look like a parent.
func (x *Index) admit(r *row, c, p *core) verdict { return x.admitBy(r, r.class, c, p) }

// admitBy judges as if the row were of that class.
func (x *Index) admitBy(r *row, as class, c, p *core) verdict {
	if r.stated {
		return admitted
	}
	if c.Raw && p.Raw && c.Host != 0 && c.Host == p.Host {
		return r.within(c, p, bounds{}, int64(SameHostTolerance))
	}
	v := r.within(c, p, bounds{}, x.clockTolerance)
	if v == admitted && as == exact {
		return v
	}
	off, known := x.clocks.between(p.Host, c.Host, c.Start)
	if !known {
		return v
	}
	tol := int64(SkewTolerance)
	if !c.Raw || !p.Raw {
		// An SDK reads a clock of its own even on the same host.
		tol = max(tol, x.clockTolerance)
	}
	return r.within(c, p, off, tol)
}

// admissible judges two spans outside of a search, as a probable row would.
func (x *Index) admissible(c, p *core) bool {
	return x.admitBy(&row{}, probable, c, p) == admitted
}

// contained asks more: the child also ends within its parent.
func (x *Index) contained(c, p *core) bool {
	return x.admitBy(&row{contains: true}, probable, c, p) == admitted
}

// within compares c with p, whose clock is behind that of c by off, give or take tol.
func (r *row) within(c, p *core, off bounds, tol int64) verdict {
	tol += int64(r.slack)
	if c.Start-off.lo < p.Start-tol {
		return beforeRequest
	}
	if p.Pending {
		return admitted
	}
	end := max(p.Start, p.End) + tol
	if c.Start-off.hi > end {
		return afterResponse
	}
	if r.contains && !c.Pending && c.End-off.hi > end {
		return outlives
	}
	return admitted
}

// reach is how much later than its child a parent may seem to start at the most, around that time.
func (x *Index) reach(r *row, at int64) int64 {
	if r.local {
		return int64(SameHostTolerance + r.slack)
	}
	return x.apart(at) + int64(r.slack)
}

// apart is how far any two clocks may differ at the most, around that time. Estimates count, and no single pair of
// spans: one false pair must not make searches reach far.
func (x *Index) apart(at int64) int64 {
	return max(x.clockTolerance, int64(SameHostTolerance), x.clocks.furthest(at)+int64(SkewTolerance))
}

// limit is one thing more that a row asks of the times of child and parent, that a candidate counts at all: of two spans
// whose clock is one, and of how long both took, which needs none.
type limit struct {
	kind limitKind
	// allow is by how much it may be exceeded, and one part in share of the parent besides, for nearlyAsLong.
	allow time.Duration
	share int64
	// of says which two it is asked of, nil for any.
	of func(x *Index, child, parent View) bool
}

type limitKind uint8

const (
	// notBefore: the child starts no earlier than the parent.
	notBefore limitKind = iota
	// notAfter: the child starts before the parent has ended.
	notAfter
	// endsInside: the child ends before the parent has.
	endsInside
	// notLonger: the child, which has ended, takes no longer than the parent.
	notLonger
	// nearlyAsLong: the child takes about as long as the parent, and neither is open.
	nearlyAsLong
)

// judge says what the limits, in their order, find about a candidate.
func (x *Index) judge(limits []limit, c, p View) verdict {
	for i := range limits {
		if l := &limits[i]; l.of == nil || l.of(x, c, p) {
			if v := l.judge(c.core, p.core); v != admitted {
				return v
			}
		}
	}
	return admitted
}

func (l *limit) judge(c, p *core) verdict {
	allow := int64(l.allow)
	end := max(p.Start, p.End) + allow
	switch l.kind {
	case notBefore:
		return unless(c.Start >= p.Start-allow, beforeRequest)
	case notAfter:
		return unless(p.Pending || c.Start <= end, afterResponse)
	case endsInside:
		return unless(p.Pending || c.Pending || c.End <= end, outlives)
	case notLonger:
		return unless(p.Pending || c.lasts() <= p.lasts()+allow, longer)
	default:
		if c.Pending || p.Pending {
			return unended
		}
		return unless(p.lasts() >= 0 && p.lasts()-c.lasts() <= allow+p.lasts()/l.share, unfilled)
	}
}

func unless(ok bool, v verdict) verdict {
	if ok {
		return admitted
	}
	return v
}

// lasts is how long c took.
func (c *core) lasts() int64 { return c.End - c.Start }
