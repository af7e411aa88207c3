package link

import (
	"math"
	"slices"
	"time"
)

// byRequestID is the request of its process that the call n was made for, or the call that the request n answers
// through what is not captured: first by the id of the request, then by that of the response.
func (o *oracle) byRequestID(n int) int {
	c := &o.spans[n]
	if !c.Raw || c.Role == Other || (c.Role == Client && (c.Host == 0 || c.Process == 0)) {
		return nobody
	}
	for _, id := range slices.Compact([]uint64{c.RequestID, c.ResponseID}) {
		if id == 0 {
			continue
		}
		if o.tooManyShare(c, id, c.Role) || o.tooManyShare(c, id, Client+Server-c.Role) {
			continue
		}
		best := o.bestOf(n, id)
		switch {
		case len(best) == 1:
			return best[0]
		case len(best) > 1:
			if p := o.innermostAlone(n, id, best); p != nobody {
				return p
			}
		}
	}
	return nobody
}

// tooManyShare: so many spans of one side carry the id that it is a constant; of calls and their requests in the process of c.
func (o *oracle) tooManyShare(c *seen, id uint64, side Role) bool {
	return o.exceeds(XRequestID, func(s *seen) bool {
		return s.Raw && s.Role == side && s.carries(id) && (c.Role == Server || sameProcesses(c, s))
	})
}

// carries says whether s has the id, on its request or its response.
func (s *seen) carries(id uint64) bool { return s.RequestID == id || s.ResponseID == id }

// sameProcesses: both are known.
func sameProcesses(a, b *seen) bool {
	return a.Host != 0 && a.Process != 0 && a.Host == b.Host && a.Process == b.Process
}

// bestOf are the best of the spans that may have caused n, as far as that id says it.
func (o *oracle) bestOf(n int, id uint64) (best []int) {
	top := 0
	for i := range o.spans {
		s := o.mayCause(n, id, &o.spans[i])
		if s == 0 || s < top || i == n || !o.admits(&o.spans[n], &o.spans[i], probable, 0) {
			continue
		}
		if s > top {
			top, best = s, nil
		}
		best = append(best, i)
	}
	return best
}

// mayCause says how well p fits as the parent of n by that id: an id that came back with the answer must have come back
// to p, too.
func (o *oracle) mayCause(n int, id uint64, p *seen) int {
	c := &o.spans[n]
	if !p.Raw || c.Role == Other || p.Role != Client+Server-c.Role || !p.carries(id) || (c.RequestID != id && p.ResponseID != id) {
		return 0
	}
	if c.Role == Server {
		return one(o.mayAnswer(c, p))
	}
	if !sameProcesses(c, p) || requestsDiffer(c, p) || p.Start > c.Start {
		return 0
	}
	// A response that names another id than the request was made by who answered.
	return 1 + every(c.RequestID == id, c.ResponseID != 0, c.ResponseID != id, c.ResponseID == p.ResponseID)
}

// mayAnswer: nothing says that server did not serve call.
func (o *oracle) mayAnswer(server, call *seen) bool {
	if sameProcesses(server, call) {
		return false
	}
	if server.ReqSeq != 0 && call.ReqSeq != 0 && server.ReqSeq != call.ReqSeq && anotherTry(server, call) {
		return false
	}
	if answered := call.RespSeq != 0 || call.ResponseID != 0; answered && !call.Pending && !server.Pending && server.End-server.Start > call.End-call.Start {
		return false
	}
	for i := range o.spans {
		if s := &o.spans[i]; s != server && wire(s, call) > 0 && (bothNumbers(s, call) || portsReversed(s, call)) && o.admits(s, call, probable, 0) {
			return false
		}
	}
	return true
}

// anotherTry: the call went to the very address that the request came in at, or to another one while the request came
// from the caller's own.
func anotherTry(server, call *seen) bool {
	known := call.Peer.Addr != 0 && server.Local.Addr != 0
	if known && call.Peer.Addr == server.Local.Addr && (call.Peer.Port == server.Local.Port || call.Peer.Port == 0 || server.Local.Port == 0) {
		return true
	}
	return call.Local.Addr != 0 && call.Local.Addr == server.Peer.Addr && call.Peer.Addr != 0 && call.Peer.Addr != server.Peer.Addr
}

// innermostAlone is the one of best that lies within all others, if nothing else that may come of it was at the same
// time.
func (o *oracle) innermostAlone(n int, id uint64, best []int) int {
	c := &o.spans[n]
	var above, below []int
	for i := range o.spans {
		f := &o.spans[i]
		if !f.Raw || !f.carries(id) || (c.Role == Client && !sameProcesses(c, f)) {
			continue
		}
		switch f.Role {
		case c.Role:
			below = append(below, i)
		case Client + Server - c.Role:
			above = append(above, i)
		}
	}
	// More are not told apart.
	if len(above) > 16 || len(below) > 16 {
		return nobody
	}
	innermost := func(best []int) int {
		found := nobody
		for _, p := range best {
			if slices.ContainsFunc(best, func(q int) bool { return q != p && !o.liesWithin(p, q, below) }) {
				continue
			}
			if found != nobody {
				return nobody // each within the other
			}
			found = p
		}
		return found
	}
	p := innermost(best)
	if p == nobody || (c.Role == Client && !likeProxy(&o.spans[p], c)) {
		return nobody
	}
	for _, i := range below {
		if i != n && o.atOnce(n, i) && innermost(o.bestOf(i, id)) == p {
			return nobody
		}
	}
	return p
}

// liesWithin: one of the spans between shows how the id got from q to p.
func (o *oracle) liesWithin(p, q int, between []int) bool {
	inner, outer := &o.spans[p], &o.spans[q]
	return slices.ContainsFunc(between, func(i int) bool {
		b := &o.spans[i]
		if inner.Role == Server {
			return around(outer, b) && around(b, inner) && o.fromElsewhere(outer, inner)
		}
		// Who waits for an answer waits for as long as it takes, by whatever clock.
		longer := !b.Pending && !outer.Pending && b.End-b.Start > outer.End-outer.Start
		return !sameProcesses(outer, inner) && sameProcesses(b, inner) && around(b, inner) && !longer && o.inTime(b, outer, probable, 0, true)
	})
}

// around: both are of one process.
func around(outer, inner *seen) bool {
	return outer.Start <= inner.Start && (outer.Pending || (!inner.Pending && inner.End <= outer.End))
}

// likeProxy: the call takes all of the request but a millisecond, of short ones a sixteenth, at either end.
func likeProxy(request, call *seen) bool {
	edge := min(int64(time.Millisecond), (request.End-request.Start)/16)
	return !request.Pending && !call.Pending && call.Start-request.Start <= edge && request.End-call.End <= edge &&
		call.End <= request.End+int64(time.Millisecond)
}

// fromElsewhere: the two requests came from different addresses, or from processes that are known to differ.
func (o *oracle) fromElsewhere(a, b *seen) bool {
	if a.Peer.Addr != 0 && b.Peer.Addr != 0 && a.Peer.Addr != b.Peer.Addr {
		return true
	}
	p, q := o.atOtherEnd(a), o.atOtherEnd(b)
	return p != nil && q != nil && p.Host != 0 && q.Host != 0 && p.Process != 0 && q.Process != 0 && !sameProcesses(p, q)
}

// atOtherEnd is the one call that shows the numbers of the request.
func (o *oracle) atOtherEnd(server *seen) *seen {
	found := o.lone(func(c *seen) bool {
		return c.Raw && c.Role == Client && server.ReqSeq != 0 && c.ReqSeq == server.ReqSeq && bothNumbers(server, c)
	})
	if found == nobody || wire(server, &o.spans[found]) == 0 {
		return nil
	}
	return &o.spans[found]
}

// atOnce: the two may have run at the same time, given or taken the clocks of two hosts.
func (o *oracle) atOnce(m, n int) bool {
	a, b := &o.spans[m], &o.spans[n]
	overlap := func(off offset, tol int64) bool {
		end := func(s *seen) int64 {
			if s.Pending {
				return math.MaxInt64 / 2
			}
			return max(s.Start, s.End)
		}
		return a.Start <= end(b)-off.lo+tol && b.Start-off.hi <= end(a)+tol
	}
	if a.Host == b.Host && a.Host != 0 {
		return overlap(offset{}, 0)
	}
	if off := o.offset(a.Host, b.Host, a.Start); off.known {
		return overlap(off, int64(10*time.Millisecond))
	}
	return overlap(offset{}, o.tolerance)
}
