package link

import (
	"math"
	"time"
)

// XRequestIDConfidence is given to a link by x-request-id: whoever reads the header may send it on in a
// call of its own that has nothing to do with the request, or twice.
const XRequestIDConfidence = 0.9

// NestedRequestIDConfidence is given where one id names several requests, one inside the other.
const NestedRequestIDConfidence = 0.7

// callWithRequestID: a proxy or a service sends the id that it got, or made, on in its calls.
var callWithRequestID = row{
	rule: XRequestID, class: probable, quota: requestIDQuota, local: true,
	refers: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = callsWithin(f) && f.RequestID != 0; ok {
			k = requestIDIn(f, f.RequestID)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = servesWithin(f) && f.RequestID != 0; ok {
			k = requestIDIn(f, f.RequestID)
		}
		return k, ok
	}},
	limits: afterRequest,
	fits: func(_ *Index, c, p View) score {
		if !mayCall(c, p) || (c.RequestID != p.RequestID && c.RequestID != p.ResponseID) {
			return unfit
		}
		// A response that names another id than the request did was made by who answered.
		if c.ResponseID != 0 && c.ResponseID == p.ResponseID && c.ResponseID != c.RequestID {
			return strong
		}
		return fit
	},
	confidence: requestIDConfidence,
	judge:      proxied.judge,
	compares:   comparison{key: []field{fieldHost, fieldProcess, fieldRequestID}, must: []field{fieldRequest}, also: []field{fieldResponseID}},
}

// callWithResponseID: the id came with the answer of the call and was handed back with the own one.
// Its definitions are those that callWithRequestID finds by the id of a response, too.
var callWithResponseID = row{
	rule: XRequestID, class: probable, quota: requestIDQuota, local: true,
	refers: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = callsWithin(f) && f.ResponseID != 0 && f.ResponseID != f.RequestID; ok {
			k = requestIDIn(f, f.ResponseID)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = servesWithin(f) && f.ResponseID != 0; ok {
			k = requestIDIn(f, f.ResponseID)
		}
		return k, ok
	}},
	limits: afterRequest,
	fits: func(_ *Index, c, p View) score {
		return when(mayCall(c, p) && c.ResponseID == p.ResponseID)
	},
	confidence: requestIDConfidence,
	judge:      proxied.judge,
	compares:   comparison{key: []field{fieldHost, fieldProcess, fieldResponseID}, must: []field{fieldRequest}},
}

// serverWithRequestID: between two processes, where sequence numbers do not join because something
// that is not captured stands between: it sent on the id it got, or made one and returned it.
var serverWithRequestID = row{
	rule: XRequestID, class: probable, quota: requestIDQuota,
	refers: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && f.RequestID != 0; ok {
			k = requestID(f.RequestID)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && f.RequestID != 0; ok {
			k = requestID(f.RequestID)
		}
		return k, ok
	}},
	limits: waited,
	fits: func(_ *Index, c, p View) score {
		return when(c.RequestID == p.RequestID || c.RequestID == p.ResponseID)
	},
	objects:    (*Index).noAnswer,
	confidence: requestIDConfidence,
	judge:      chained.judge,
	compares:   comparison{key: []field{fieldRequestID}},
}

// serverWithResponseID: who served the request made the id, and it was handed back to the caller.
var serverWithResponseID = row{
	rule: XRequestID, class: probable, quota: requestIDQuota,
	refers: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && f.ResponseID != 0 && f.ResponseID != f.RequestID; ok {
			k = requestID(f.ResponseID)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && f.ResponseID != 0; ok {
			k = requestID(f.ResponseID)
		}
		return k, ok
	}},
	limits: waited,
	fits: func(_ *Index, c, p View) score {
		return when(c.ResponseID == p.ResponseID)
	},
	objects:    (*Index).noAnswer,
	confidence: requestIDConfidence,
	judge:      chained.judge,
	compares:   comparison{key: []field{fieldResponseID}},
}

func requestIDConfidence(View) float32 { return XRequestIDConfidence }

func requestIDIn(f View, id uint64) Key { return domainRequestIDIn.key(f.Host, f.Process, id) }
func requestID(id uint64) Key           { return domainRequestID.key(id, 0, 0) }

func callsWithin(f View) bool  { return f.Raw && f.Role == Client && f.Host != 0 && f.Process != 0 }
func servesWithin(f View) bool { return f.Raw && f.Role == Server && f.Host != 0 && f.Process != 0 }

func sameProcess(a, b View) bool {
	return a.Host != 0 && a.Process != 0 && a.Host == b.Host && a.Process == b.Process
}

// afterRequest: one clock has call and request, and a request that comes back by way of others may follow the call by
// less than any allowance.
var afterRequest = []limit{{kind: notBefore}}

// mayCall: nothing says that the call was not made for request.
func mayCall(call, request View) bool {
	return sameProcess(call, request) && !differentRequests(call, request)
}

// waited: who waits for an answer waits for as long as it takes, by whatever clock.
var waited = []limit{{kind: notLonger, of: func(_ *Index, server, call View) bool {
	return !server.Pending && !call.Pending && (call.RespSeq != 0 || call.ResponseID != 0)
}}}

// noAnswer is what says that server did not serve call through something that is not captured.
func (x *Index) noAnswer(server, call View) objection {
	if sameProcess(server, call) {
		return objection{fact: &fieldProcess}
	}
	if server.ReqSeq != 0 && call.ReqSeq != 0 && server.ReqSeq != call.ReqSeq && elsewhere(server, call) {
		return objection{fact: &fieldReqSeq}
	}
	if by, yes := x.answered(call, server); yes {
		return objection{why: whyAnswered, rival: by}
	}
	return objection{}
}

// outlasts: the one took longer than the other, by whatever clock.
func outlasts(server, call View) bool {
	return !call.Pending && !server.Pending && server.lasts() > call.lasts()
}

// elsewhere: the two, which show other bytes, are of two exchanges, and what joins them by an id is a third: the call that
// server answers, which was tried again, by a proxy for one, and is not here. So it is where the call went to the very
// address that server has, on this connection or another one; and where server was called from the address of the caller,
// on another connection than that of the call, which went to another address: nobody stands between there. What
// stands between unseen has an address of its own, or is at one end with the address that the call went to.
func elsewhere(server, call View) bool {
	switch near := ends(call.Local(), server.Peer()); {
	case ends(call.Peer(), server.Local()) == endsSame:
		return true
	case near == endsSame, near == endsPortDiffers:
		return ends(call.Peer(), server.Peer()) == endsDiffer
	default:
		return false
	}
}

// answered: the wire shows another SERVER span at the other end of the connection of call, by, or too many to look at.
func (x *Index) answered(call, but View) (by *core, yes bool) {
	var one [1]ID
	for _, r := range [...]*row{&seqByPair, &seqByPorts} {
		k, ok := r.defines.key(x, call)
		if !ok {
			continue
		}
		list, crowd := x.ids(&x.refs, k, call.core, &one)
		if crowd != nil {
			return nil, true
		}
		for _, id := range list {
			if s := x.View(id); s.core != but.core && x.rate(r, s, call) != unfit && x.admissible(s.core, call.core) {
				return s.core, true
			}
		}
	}
	return nil, false
}

// maxNested bounds the comparisons of nested: the spans of either side that share an id.
const maxNested = 16

// nesting is how one way of this rule decides between candidates that lie within one another.
type nesting struct {
	// below: inner was caused by outer, as the span between them shows.
	below func(x *Index, outer, inner, between View) bool
	// surely: child is what comes of inner, and did not only happen to be at the same time.
	surely func(inner, child View) bool
}

// judge decides between candidates of one id. An id stays the same from service to service, so a
// request and what it leads to may carry it: where each candidate lies within the other, with a span
// between them that shows how the id got from one to the other, the innermost is the parent. Candidates
// side by side, retries or parallel calls, remain equally good. A proxy makes one call at a time and a call
// goes to one service, so where several at once would be the child of the innermost, none is.
func (n nesting) judge(x *Index, child ID, r *row, k Key, found Edge) (Edge, objection) {
	var oneDef, oneRef [1]ID
	if most := x.rations[r.quota].most; x.defs.size(k) > most || x.refs.size(k) > most {
		return Edge{Parent: None, Outcome: Overrun, Rule: r.rule, Candidates: found.Candidates}, objection{}
	}
	defs, defCrowd := x.defs.get(k, &oneDef)
	refs, refCrowd := x.refs.get(k, &oneRef)
	if found.Outcome != Ambiguous || defCrowd != nil || refCrowd != nil || len(defs) > maxNested || len(refs) > maxNested {
		return found, objection{}
	}
	// under has bit q of p set where defs[p] is below defs[q].
	var under [maxNested]uint32
	for p := range defs {
		for q := range defs {
			for _, between := range refs {
				if p != q && n.below(x, x.View(defs[q]), x.View(defs[p]), x.View(between)) {
					under[p] |= 1 << q
					break
				}
			}
		}
	}
	innermost := func(child ID) int {
		c, top := x.View(child), unfit
		r := x.rowOf(r.rule, c, k)
		if r == nil {
			return -1
		}
		var open uint32
		for p, id := range defs {
			v := x.View(id)
			if id == child || x.admit(r, c.core, v.core) != admitted {
				continue
			}
			switch s := x.rate(r, c, v); {
			case s == unfit || s < top:
			case s > top:
				top, open = s, 1<<p
			default:
				open |= 1 << p
			}
		}
		found := -1
		for p := range defs {
			if open&(1<<p) == 0 || open&^(1<<p)&^under[p] != 0 {
				continue
			}
			if found >= 0 {
				return -1 // by coarse clocks each lies within the other
			}
			found = p
		}
		return found
	}
	p := innermost(child)
	if p < 0 || !n.surely(x.View(defs[p]), x.View(child)) {
		return found, objection{}
	}
	for _, other := range refs {
		if other != child && x.atOnce(child, other) && innermost(other) == p {
			return found, objection{why: whyEquallyGood, rival: x.core(other), of: x.core(defs[p])}
		}
	}
	found.Parent, found.Outcome, found.Confidence = defs[p], Linked, NestedRequestIDConfidence
	return found, objection{}
}

// rowOf is the row of the rule by which c refers to k: the id may be that of its request or that of its response.
func (x *Index) rowOf(rule string, c View, k Key) *row {
	for i := range x.rows {
		if r := &x.rows[i]; r.rule == rule {
			if own, ok := r.refers.key(x, c); ok && own == k {
				return r
			}
		}
	}
	return nil
}

// proxied: a proxy sees a request come in, its call to the service, the request that comes of it, and its
// call for that, all with one id. The second request came from somewhere else; a retry would not.
var proxied = nesting{below: func(x *Index, outer, inner, call View) bool {
	return sameProcess(outer, call) && encloses(outer, call) && encloses(call, inner) && x.fromElsewhere(outer, inner)
}, surely: func(inner, call View) bool { return fills(inner.core, call.core) }}

// chained: the inner call was made by a process while it served the outer one. Where what is not
// captured sends an id to several services, more than one of them seems to answer the innermost call.
var chained = nesting{below: func(x *Index, outer, inner, server View) bool {
	return !sameProcess(outer, inner) && sameProcess(server, inner) && encloses(server, inner) && !outlasts(server, outer) &&
		x.admissible(server.core, outer.core) && x.contained(server.core, outer.core)
}, surely: func(View, View) bool { return true }}

// maxHandedOn is how long a proxy may take to hand a request on, or its response back; of short requests a
// sixteenth.
const maxHandedOn = int64(time.Millisecond)

// fills: the call takes about all of the request, as a proxy's does. A service that is called back while it makes
// a call of its own, with the same id, looks like a proxy but for that.
func fills(request, call *core) bool {
	if request.Pending || call.Pending {
		return false
	}
	most := min(maxHandedOn, request.lasts()/16)
	return call.Start-request.Start <= most && request.End-call.End <= most && call.End <= request.End+int64(SameHostTolerance)
}

// fromElsewhere: two requests came from different addresses, or from processes that are known to differ.
func (x *Index) fromElsewhere(a, b View) bool {
	if ends(a.Peer(), b.Peer()) == endsDiffer {
		return true
	}
	p, q := x.caller(a), x.caller(b)
	return p.Process != 0 && q.Process != 0 && p.Host != 0 && q.Host != 0 && !sameProcess(p, q)
}

// caller is the one CLIENT span that the sequence numbers of server name, empty where there is no such.
func (x *Index) caller(server View) View {
	found := View{&core{}, &nowhere, &nothing, &silent}
	k, ok := seqByPair.refers.key(x, server)
	if !ok {
		return found
	}
	var one [1]ID
	clients, crowd := x.ids(&x.defs, k, server.core, &one)
	if crowd != nil || len(clients) != 1 {
		return found
	}
	if c := x.View(clients[0]); connected(server.core, c.core) != unfit {
		return c
	}
	return found
}

// atOnce: the two may have run at the same time, given or taken the clocks of two hosts, as far as they are known. Hosts
// that are not known are not one.
func (x *Index) atOnce(a, b ID) bool {
	f, g := x.core(a), x.core(b)
	var off bounds
	allowed := int64(0)
	if f.Host == 0 || f.Host != g.Host {
		allowed = x.clockTolerance
		if known, ok := x.clocks.between(f.Host, g.Host, f.Start); ok {
			off, allowed = known, int64(SkewTolerance)
		}
	}
	startA, endA := x.times(a)
	startB, endB := x.times(b)
	return startA <= later(endB, allowed-off.lo) && startB <= later(endA, allowed+off.hi)
}

// later is t and by, as far as there is time.
func later(t, by int64) int64 {
	if by < 0 {
		return max(t, math.MinInt64-by) + by
	}
	return min(t, math.MaxInt64-by) + by
}

// encloses compares two spans of one process, whose clock is one.
func encloses(outer, inner View) bool {
	if outer.Start > inner.Start {
		return false
	}
	return outer.Pending || (!inner.Pending && inner.End <= outer.End)
}
