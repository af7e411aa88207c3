package link

import "time"

// SameHostTolerance absorbs the difference between two readings of one clock: the kernel's time of
// an event and its conversion to wall time.
const SameHostTolerance = time.Millisecond

// tolerance is how far the clocks of two spans may differ. Two raw spans of one host share a clock;
// an SDK's clock is its own even on the same host.
func (x *Index) tolerance(child, parent *Fact) int64 {
	if child.Raw && parent.Raw && child.Host != 0 && child.Host == parent.Host {
		return int64(SameHostTolerance)
	}
	return x.clockTolerance
}

// admissible: a child starts no earlier than its parent's request arrived and not after the
// parent's response was sent. The upper bound of a pending parent is not known yet.
func (x *Index) admissible(child, parent *Fact) bool {
	tol := x.tolerance(child, parent)
	if child.Start < parent.Start-tol {
		return false
	}
	return parent.Pending || child.Start <= max(parent.Start, parent.End)+tol
}

// contained asks more: the child also ends within its parent.
func (x *Index) contained(child, parent *Fact) bool {
	if child.Pending || parent.Pending {
		return true
	}
	return child.End <= parent.End+x.tolerance(child, parent)
}
