package link

import "math"

// The SERVER span of an SDK that names its parent, of a request whose header eBPF did not see: it was cut off, or
// compressed by a table of which the beginning was missed. As the spans of one call they find each other as those of a
// request without a header do (rule_sdk_same_call.go). What is more is that the SDK's span must not lose its parent:
// it gives way only where the way up from the request leads to that parent, or leads nowhere. In that case the
// request is taken to have come with the context that the SDK's span states.
var (
	statedOfProcess  = statedRequest(&requestOfProcess)
	statedOfInstance = statedRequest(&requestOfInstance)
	statedOfPlace    = statedRequest(&requestOfPlace)
	callerOfProcess  = callerOf(&requestOfProcess)
	callerOfInstance = callerOf(&requestOfInstance)
	callerOfPlace    = callerOf(&requestOfPlace)
)

// maxRelays is how many proxies between a call and its request are passed on the way up.
const maxRelays = 4

// statedRequest makes of pair, which is for roots, the row for SDK spans with a parent.
func statedRequest(pair *row) row {
	r := *pair
	r.with, r.displaces = AppContext, true
	r.veto = func(_ *Index, c View) bool { return !hasContext(c) }
	r.judge = func(x *Index, child ID, r *row, k Key, found Edge) (Edge, objection) {
		e, not := pair.judge(x, child, r, k, found)
		if e.Outcome == Linked {
			if not = x.leadsAway(e.Parent, child, pair); not.raised() {
				not.of = x.core(e.Parent)
				e.Parent, e.Outcome = None, Inadmissible
			}
		}
		return e, not
	}
	return r
}

// callerOf makes the row for requests that nothing else has a parent for: it is what their SDK's span names.
func callerOf(pair *row) row {
	return row{
		rule: SDKSameCall, class: probable, after: []string{TCPSeq, XRequestID}, pair: pair,
		refers: pair.defines, defines: byName,
		among: func(x *Index, request ID) ([]ID, bool) {
			own := x.mateOf(request, pair)
			if own == None {
				return nil, true
			}
			if p := x.Named(own); p != None {
				return []ID{p}, true
			}
			return nil, true
		},
		fits: func(*Index, View, View) score { return fit },
		objects: func(_ *Index, _, p View) objection {
			if p.Raw {
				return objection{fact: &fieldSource}
			}
			return objection{}
		},
		confidence: pair.confidence,
		compares: comparison{
			key: pair.compares.key, must: []field{fieldContext},
			mate: func(x *Index, request ID) ID { return x.mateOf(request, pair) },
		},
	}
}

// mateOf is the one SDK span with a parent that is of the same call as the request, None where there is none, or where
// another may be.
func (x *Index) mateOf(request ID, pair *row) ID {
	p := x.View(request)
	k, ok := pair.defines.key(x, p)
	if !ok || !x.stating {
		return None
	}
	found, others := None, 0
	looked := x.sameMoment(&x.refs, pair, k, p, func(id ID) bool {
		if c := x.View(id); !c.Raw && c.Role == Server && x.rate(pair, c, p) != unfit {
			if found != None {
				others++
			}
			found = id
		}
		return others == 0
	})
	if found == None || others > 0 || !looked || x.requestOf(found, pair) != request {
		return None
	}
	return found
}

// requestOf is the one request that the SDK span, which has a parent, is of, whatever else is known of it.
func (x *Index) requestOf(own ID, pair *row) ID {
	c := x.View(own)
	if !hasContext(c) {
		return None
	}
	if _, carried := x.carrier(c); carried {
		return None
	}
	k, ok := pair.refers.key(x, c)
	if !ok {
		return None
	}
	return x.search(own, c, pair, k).Parent
}

// carrier is a call that was seen with the header that c names, or there are too many spans to look for it. It says better
// which request that came to (sdkServerUnderWire).
func (x *Index) carrier(c View) (call *core, carried bool) {
	var one [1]ID
	refs, crowd := x.refs.get(contextKey(c), &one)
	for _, id := range refs {
		if f := x.View(id); carriesFor(f, c) {
			return f.core, true
		}
	}
	return nil, crowd != nil
}

// carriesFor: f is a call with the header that c names.
func carriesFor(f, c View) bool {
	return f.Raw && f.Role == Client && f.CtxTrace == c.CtxTrace && f.CtxParent == c.CtxParent
}

// leadsAway objects unless who goes up from the request comes to the parent that own states; or that is not here, and the
// request has none, so it inherits it.
func (x *Index) leadsAway(request, own ID, pair *row) objection {
	if call, carried := x.carrier(x.View(own)); carried {
		return objection{why: whyHeaderSeen, rival: call}
	}
	named := x.Named(own)
	if named == None {
		if parentless(x.Resolve(request)) && x.mateOf(request, pair) == own {
			return objection{}
		}
		return objection{why: whyLeadsElsewhere}
	}
	if x.leadsTo(request, named) {
		return objection{}
	}
	return objection{why: whyLeadsElsewhere, rival: x.core(named)}
}

// leadsTo: who goes up from the request comes to named.
func (x *Index) leadsTo(request, named ID) bool {
	for range maxRelays {
		e := x.Resolve(request)
		switch {
		case e.Outcome != Linked:
			return false
		case e.Parent == named:
			return true
		}
		up := x.View(e.Parent)
		if !innerCall(up) {
			return false
		}
		p := x.View(named)
		same := x.sameProcess(up, p)
		if same || (!p.Raw && x.elsewhere(up, p) == nil && !x.otherService(up, p)) {
			if outerCall(p) && up.said.agree(p.said.words) >= 0 && !portsDiffer(up, p) && x.judge(surelyWithin(Client), up, p) == admitted {
				return true
			}
			// Beside it may be a proxy.
			if same {
				return false
			}
		}
		if request = x.Request(up.Host, up.Systrace); request == None {
			return false
		}
	}
	return false
}

// answerOfAnother is a request that call came to and that may be the same call as some spans of the callee's SDK, none of
// which names p; nil where there is none.
func (x *Index) answerOfAnother(call, p ID) *core {
	if !x.stating {
		return nil
	}
	var found *core
	looked := 0
	x.Referrers(call, func(request ID) bool {
		looked++
		if s := x.View(request); outerRequest(s) && s.said.owner != 0 && x.Resolve(request).Parent == call && x.namesAnother(s, p) {
			found = s.core
		}
		return found == nil && looked <= maxAnswers
	})
	return found
}

// cameBy: the request of the SDK's SERVER span, which has a parent, came by the call c, whose header nobody saw.
func (x *Index) cameBy(own ID, c View) bool {
	for _, i := range x.callers {
		if r := x.requestOf(own, x.rows[i].pair); r != None {
			if e := x.Resolve(r); e.Outcome == Linked && x.core(e.Parent) == c.core {
				return true
			}
		}
	}
	return false
}

// namesAnother: SDK spans that may be of the request s name parents, and none of them p.
func (x *Index) namesAnother(s View, p ID) bool {
	named := x.View(p)
	some := false
	for _, i := range x.callers {
		pair := x.rows[i].pair
		k, ok := pair.defines.key(x, s)
		if !ok {
			continue
		}
		mine := false
		if !x.sameMoment(&x.refs, pair, k, s, func(id ID) bool {
			if c := x.View(id); !c.Raw && c.Role == Server && hasContext(c) && x.rate(pair, c, s) != unfit {
				some = true
				mine = mine || (c.CtxParent == named.Span && c.CtxTrace == named.OwnTrace)
			}
			return !mine
		}) || mine {
			return false
		}
	}
	return some
}

// sameMoment calls fn, until it returns false, for what has the key k of r, which c has, on that side at the time of c;
// false where that is more than is compared.
func (x *Index) sameMoment(side *postings, r *row, k Key, c View, fn func(ID) bool) bool {
	since, last := x.moment(c.core)
	looked, over, few := 0, 0, x.rations[r.quota].few
	look := func(id ID) bool {
		if !x.core(id).openIn(since, last) {
			over++
			return over <= x.passed
		}
		looked++
		return looked <= few && fn(id)
	}
	if r.places {
		return x.inPlace(side, c, since, last, look) && looked <= few
	}
	var one [1]ID
	some, crowd := side.get(k, &one)
	for _, id := range some {
		if !look(id) {
			break
		}
	}
	if crowd != nil {
		crowd.backwards(last, since, look)
	}
	return looked <= few && over <= x.passed
}

// moment is when what may be of the same call as c is there.
func (x *Index) moment(c *core) (since, last int64) {
	const d = int64(sameCallApart)
	_, end := c.times()
	return c.Start - d, min(end, math.MaxInt64-d) + d
}

// parentless: nothing is known that could be the parent.
func parentless(e Edge) bool {
	return e.Ambiguous == 0 && (e.Outcome == NoCandidate || e.Outcome == NoReference)
}

// sameProcess: both name it, by either of the two ways.
func (x *Index) sameProcess(a, b View) bool {
	p, q := x.of(a), x.of(b)
	return p.sameProcess(&q.who) && !p.otherPlace(&q.who)
}

// sameOwner: of one service, or process.
func (x *Index) sameOwner(a, b View) bool {
	return (a.Service != 0 && a.Service == b.Service) || x.sameProcess(a, b)
}

// Inherited is the context of a request that eBPF did not see, as the SDK's span of that request states it; false where
// there is none, or where the request has a parent of its own.
func (x *Index) Inherited(id ID) (t TraceID, parent SpanID, ok bool) {
	if len(x.callers) == 0 || !x.stating {
		return t, parent, false
	}
	v := x.View(id)
	if !outerRequest(v) || v.said.owner == 0 {
		return t, parent, false
	}
	if !parentless(x.Resolve(id)) {
		return t, parent, false
	}
	for _, i := range x.callers {
		if own := x.mateOf(id, x.rows[i].pair); own != None {
			c := x.View(own)
			return c.CtxTrace, c.CtxParent, true
		}
	}
	return t, parent, false
}

// heard calls visit for the requests that came to SDK spans which name f as their parent.
func (x *Index) heard(f View, visit func(ID) bool) {
	if f.own == 0 || f.Span == (SpanID{}) {
		return
	}
	var one [1]ID
	refs, _ := x.refs.get(spanKey(f.own, f.Span), &one)
	for _, id := range refs {
		c := x.View(id)
		if c.Raw || c.Role != Server || c.said.owner == 0 {
			continue
		}
		for _, i := range x.callers {
			if r := x.requestOf(id, x.rows[i].pair); r != None && !visit(r) {
				return
			}
		}
	}
}
