package deepflow

import "time"

// Tolerances of the configuration (section 3).
const (
	networkDelay = int64(50 * time.Millisecond)
	clockOffset  = int64(10 * time.Millisecond)
)

type (
	none  [8]byte
	trace [16]byte
)

func hasTrace(r *row) bool { return r.trace != trace{} }

// traces intersect; two without one do not.
func sameTrace(a, b *row) bool { return hasTrace(a) && a.trace == b.trace }

func sameProcess(a, b *row) bool { return a.span.Process == b.span.Process }
func sameAgent(a, b *row) bool   { return a.span.Process.Host == b.span.Process.Host }

func near(a, b, by int64) bool { return max(a-b, b-a) <= by }

// sameExchange is the strict test by TCP sequence (section 3.1).
func sameExchange(a, b *row) bool {
	if a.app || b.app {
		return false
	}
	dev := networkDelay
	if !sameAgent(a, b) {
		dev += clockOffset
	}
	if !near(a.start, b.start, dev) || a.reqSeq != b.reqSeq {
		return false
	}
	if a.answered && b.answered && (!near(a.end, b.end, dev) || a.respSeq != b.respSeq) {
		return false
	}
	// Fields that contradict.
	if hasTrace(a) && hasTrace(b) && (a.trace != b.trace || a.spanID != b.spanID) {
		return false
	}
	return (a.x0 == "" || b.x0 == "" || a.x0 == b.x0) && (a.x1 == "" || b.x1 == "" || a.x1 == b.x1)
}

// sameSpan is the test by span id of the search.
func sameSpan(a, b *row) bool {
	if !sameTrace(a, b) || a.spanID == (none{}) {
		return false
	}
	return a.spanID == b.spanID || a.spanID == b.parentSpanID || (a.parentSpanID != none{} && a.parentSpanID == b.spanID)
}

// sameRequestID is the test by x-request-id of the search.
func sameRequestID(a, b *row) bool {
	return (a.x0 != "" && a.x0 == b.x1) || (a.x1 != "" && a.x1 == b.x0)
}

// equalSys are the four equalities of systrace ids, zeros included.
func equalSys(a, b *row) bool {
	return a.reqSys == b.reqSys || a.reqSys == b.respSys || a.respSys == b.reqSys || a.respSys == b.respSys
}

// sameSys is the test by systrace id of the search.
func sameSys(a, b *row) bool {
	if a.app || b.app || !sameAgent(a, b) || (!a.client && !b.client) ||
		a.reqSys == a.respSys || b.reqSys == b.respSys {
		return false
	}
	return equalSys(a, b)
}

// search finds what one look at any of its rows shows: the rows that relations join, however many
// steps that takes. The limits of the real search, 30 rounds of 1000 rows within two minutes, are left
// out. Zero is never searched for.
func search(rows []*row) [][]*row {
	head := map[*row]*row{}
	var find func(*row) *row
	find = func(r *row) *row {
		if p := head[r]; p != nil && p != r {
			p = find(p)
			head[r] = p
			return p
		}
		return r
	}
	type key struct {
		what  byte
		agent string
		n     uint64
		s     string
	}
	by := map[key][]*row{}
	for _, r := range rows {
		put := func(what byte, agent string, n uint64, s string) {
			if n != 0 || s != "" {
				k := key{what, agent, n, s}
				by[k] = append(by[k], r)
			}
		}
		agent := r.span.Process.Host.Name
		put('q', "", uint64(r.reqSeq), "")
		put('p', "", uint64(r.respSeq), "")
		put('s', agent, r.reqSys, "")
		if r.respSys != r.reqSys {
			put('s', agent, r.respSys, "")
		}
		put('x', "", 0, r.x0)
		if r.x1 != r.x0 {
			put('x', "", 0, r.x1)
		}
		if hasTrace(r) {
			put('t', "", 0, string(r.trace[:]))
		}
	}
	for _, list := range by {
		for i, a := range list {
			for _, b := range list[:i] {
				if find(a) != find(b) && (sameExchange(a, b) || sameSpan(a, b) || sameRequestID(a, b) || sameSys(a, b)) {
					head[find(a)] = find(b)
				}
			}
		}
	}
	groups := map[*row][]*row{}
	var order []*row
	for _, r := range rows {
		h := find(r)
		if groups[h] == nil {
			order = append(order, h)
		}
		groups[h] = append(groups[h], r)
	}
	var out [][]*row
	for _, h := range order {
		out = append(out, groups[h])
	}
	return out
}
