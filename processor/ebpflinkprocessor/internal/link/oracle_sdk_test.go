package link

import (
	"slices"
	"time"
)

// What the oracle knows of SDK spans that go under an eBPF span, or the other way round.

// tie is how two spans say that both are of one process, or may be.
type tie struct {
	same func(o *oracle, a, b *seen) bool
	// named: an SDK that names its process as the kernel's spans do is not looked for by this.
	named bool
}

// ties: each is judged by itself, the first one first.
var ties = []tie{{same: sayPID}, {same: sayInstance}, {same: (*oracle).runTogether, named: true}}

func sayPID(_ *oracle, a, b *seen) bool {
	return a.Host != 0 && a.Host == b.Host && a.Exchange.PID != 0 && a.Exchange.PID == b.Exchange.PID && !runApart(a, b)
}

func sayInstance(_ *oracle, a, b *seen) bool {
	return a.Service != 0 && a.Service == b.Service && a.Exchange.Instance != 0 && a.Exchange.Instance == b.Exchange.Instance && !runApart(a, b)
}

// runApart: they say to be in different containers, or in different pods.
func runApart(a, b *seen) bool {
	x, y := a.Exchange, b.Exchange
	return (x.Container != 0 && y.Container != 0 && x.Container != y.Container) || (x.Pod != 0 && y.Pod != 0 && x.Pod != y.Pod)
}

// runTogether: one of them is of an SDK, they run in one container or pod, and nothing says that there are two processes.
func (o *oracle) runTogether(a, b *seen) bool {
	x, y := a.Exchange, b.Exchange
	if a.Raw == b.Raw || runApart(a, b) || (a.Host != 0 && b.Host != 0 && a.Host != b.Host) {
		return false
	}
	if (x.Container == 0 || x.Container != y.Container) && (x.Pod == 0 || x.Pod != y.Pod) {
		return false
	}
	own := a
	if a.Raw {
		own = b
	}
	return ofOneProcess(a, b) || !o.processSeen(own)
}

// processSeen: some of the kernel's spans are of the process that the SDK's span names.
func (o *oracle) processSeen(own *seen) bool {
	return slices.ContainsFunc(o.spans, func(s seen) bool { return s.Raw && ofOneProcess(own, &s) })
}

// servedByAnother: the SDK's and the kernel's span are of two services, and another of the kernel's, where the SDK runs, is
// of the SDK's.
func (o *oracle) servedByAnother(a, b *seen) bool {
	own := a
	if a.Raw {
		own = b
	}
	return a.Service != 0 && b.Service != 0 && a.Service != b.Service && slices.ContainsFunc(o.spans, func(s seen) bool {
		x, y := s.Exchange, own.Exchange
		return s.Raw && s.Service == own.Service && ((x.Container != 0 && x.Container == y.Container) || (x.Pod != 0 && x.Pod == y.Pod))
	})
}

// ofOneProcess: both name it.
func ofOneProcess(a, b *seen) bool { return sayPID(nil, a, b) || sayInstance(nil, a, b) }

func sameService(a, b *seen) bool { return a.Service != 0 && a.Service == b.Service }

func isRequest(s *seen) bool { return s.Raw && s.Role == Server }

// requestRead is the request that the SDK's SERVER span n is of: it read the header that n names, or came by a call
// that shows it.
func (o *oracle) requestRead(n int) int {
	c := &o.spans[n]
	if c.Role != Server || !header(c) {
		return nobody
	}
	return o.only(n, exact, func(p *seen) int {
		const d = int64(10 * time.Millisecond)
		apart := c.Start < p.Start-d || (!p.Pending && c.Start > max(p.Start, p.End)+d)
		switch {
		case !isRequest(p) || (ofOneProcess(c, p) && apart):
			return 0
		case header(p):
			// One elsewhere may be a proxy, but no service that was called: that is done sooner.
			sooner := c.Service != 0 && p.Service != 0 && !p.Pending && c.End-c.Start > p.End-p.Start+int64(time.Millisecond)
			return one(sameHeader(c, p)) * max(2*one(sameService(c, p)), one(!sooner))
		default:
			call := o.finding(o.place(p)).parent
			return 2 * every(sameService(c, p) || ofOneProcess(c, p), call != nobody && o.isCallWith(call, c))
		}
	})
}

func (o *oracle) place(p *seen) int {
	for i := range o.spans {
		if &o.spans[i] == p {
			return i
		}
	}
	return nobody
}

// isCallWith: call is a call with the header that c names.
func (o *oracle) isCallWith(call int, c *seen) bool {
	f := &o.spans[call]
	return f.Raw && f.Role == Client && sameHeader(c, f)
}

// callSeen: some call shows the header that c names.
func (o *oracle) callSeen(c *seen) bool {
	for i := range o.spans {
		if o.isCallWith(i, c) {
			return true
		}
	}
	return false
}

// isRoot: of an SDK's trace, where it is a SERVER span.
func isRoot(s *seen) bool {
	return !s.Raw && s.Role == Server && s.OwnTrace != TraceID{} && s.CtxParent == SpanID{}
}

// leads: a call of a known request, with the header of the trace.
func leads(call *seen, t TraceID) bool {
	return call.Raw && call.Role == Client && call.Host != 0 && call.Systrace != 0 && header(call) && call.CtxTrace == t
}

// requestBegun is the request in which the SDK began the trace of its root n: the one that the calls with the trace's
// header, of the same service, name.
func (o *oracle) requestBegun(n int) int {
	c := &o.spans[n]
	if !isRoot(c) || c.Service == 0 {
		return nobody
	}
	var in []int
	for i := range o.spans {
		f := &o.spans[i]
		if i != n && isRoot(f) && f.OwnTrace == c.OwnTrace {
			return nobody // whose are the calls?
		}
		if !leads(f, c.OwnTrace) || !sameService(f, c) {
			continue
		}
		r := o.servedBy(f)
		if r == nobody {
			return nobody
		}
		if o.spans[r].CtxTrace == (TraceID{}) && !slices.Contains(in, r) {
			in = append(in, r)
		}
	}
	if len(in) != 1 {
		return nobody
	}
	r := &o.spans[in[0]]
	for i := range o.spans {
		if f := &o.spans[i]; ofSystrace(f, r) && header(f) && leads(f, f.CtxTrace) && f.CtxTrace != c.OwnTrace {
			return nobody // a queue that is emptied by whoever comes by
		}
	}
	return o.only(n, probable, func(p *seen) int {
		const d = int64(10 * time.Millisecond)
		return every(p == r, sameService(c, p), c.Start >= p.Start-d, p.Pending || c.Start <= p.End+d)
	})
}

// servedBy is the one request whose systrace id the call carries.
func (o *oracle) servedBy(call *seen) int {
	return o.lone(func(p *seen) bool { return ofSystrace(call, p) })
}

// lone is the one span that matches, nobody for none or several.
func (o *oracle) lone(match func(p *seen) bool) int {
	found := nobody
	for i := range o.spans {
		if match(&o.spans[i]) {
			if found != nobody {
				return nobody
			}
			found = i
		}
	}
	return found
}

// alike counts what both say alike of their exchange, and is -1 where they contradict each other.
func alike(a, b *seen) (n int) {
	x, y := a.Exchange, b.Exchange
	for _, say := range [][2]uint8{{x.Method, y.Method}, {x.System, y.System}, {x.Path, y.Path}, {x.Status, y.Status}} {
		if say[0] != 0 && say[1] != 0 {
			if say[0] != say[1] {
				return -1
			}
			n++
		}
	}
	return n
}

// inside: but for so much, where neither is open but by what is known.
func inside(inner, outer *seen, slack time.Duration) bool {
	switch {
	case inner.Start < outer.Start-int64(slack):
		return false
	case outer.Pending:
		return true
	case inner.Pending:
		return inner.Start <= outer.End+int64(slack)
	default:
		return max(inner.Start, inner.End) <= max(outer.Start, outer.End)+int64(slack)
	}
}

const doubtful = 10 * time.Millisecond

// fillsMost is what a link takes: within to 2 ms, a handler 10 ms after its response, and no shorter by more than
// 10 ms and an eighth.
func fillsMost(inner, outer *seen) bool {
	after := 2 * time.Millisecond
	if inner.Role == Server {
		after = 10 * time.Millisecond
	}
	long := outer.End - outer.Start
	return !inner.Pending && !outer.Pending && long >= 0 && inner.Start >= outer.Start-int64(2*time.Millisecond) && inner.Start <= outer.End &&
		inner.End <= outer.End+int64(after) && long-(inner.End-inner.Start) <= int64(10*time.Millisecond)+long/8
}

// mayBeOneRequest: nothing says that the two are not of one request, the SDK's SERVER span c and the request p without a header.
func (o *oracle) mayBeOneRequest(c, p *seen) bool {
	if c.Raw || c.Role != Server || c.OwnTrace == (TraceID{}) || !isRequest(p) || p.CtxTrace != (TraceID{}) {
		return false
	}
	for i := range o.spans {
		if r := &o.spans[i]; isRequest(r) && sameHeader(c, r) {
			return false // it is of that one
		}
	}
	return inside(c, p, doubtful) && alike(c, p) > 0
}

// mayBeOneCall: nothing says that the two are not of one call, the call c without a header and the SDK's CLIENT span p.
func (o *oracle) mayBeOneCall(c, p *seen) bool {
	if !bareCall(c) || p.Raw || p.Role != Client || p.OwnTrace == (TraceID{}) || !inside(c, p, doubtful) {
		return false
	}
	bothPorts := c.Peer.Port != 0 && p.Peer.Port != 0
	if same := alike(c, p); same < 0 || (same == 0 && !bothPorts) || (bothPorts && c.Peer.Port != p.Peer.Port) {
		return false
	}
	for i := range o.spans {
		f := &o.spans[i]
		if !names(f, p) {
			continue
		}
		switch {
		case f.Raw:
			return false // its header was seen
		case f.Role == Server && !o.cameBy(i, c):
			return false // it was at the other end of another call
		case f.Role == Client && inside(c, f, doubtful) && alike(c, f) >= 0:
			return false // it is not the innermost
		}
	}
	r := o.madeIn(p)
	switch {
	case r == nobody:
		return true
	case c.Systrace != 0:
		return c.Systrace == o.spans[r].Systrace && c.Host == o.spans[r].Host
	default:
		return inside(c, &o.spans[r], doubtful)
	}
}

func bareCall(c *seen) bool {
	return c.Raw && c.Role == Client && c.CtxTrace == TraceID{} && c.LateOf == 0
}

// madeIn is the request that the SDK made p in, by what SDK spans say themselves; nobody where that is not known.
func (o *oracle) madeIn(p *seen) int {
	for range o.spans {
		up := o.lone(func(q *seen) bool { return names(p, q) })
		if up == nobody || o.spans[up].Raw {
			return nobody
		}
		if p = &o.spans[up]; p.Role == Server {
			if r := o.finding(up).parent; r != nobody && isRequest(&o.spans[r]) {
				return r
			}
			return nobody
		}
	}
	return nobody // it goes round
}

// partner is the one span of those that may be the same as n, if n is the only one for it, too, and fills it.
func (o *oracle) partner(n int, w tie, may func(c, p *seen) bool) int {
	c := &o.spans[n]
	var found []int
	for i := range o.spans {
		if p := &o.spans[i]; w.same(o, c, p) && may(c, p) && o.admits(c, p, probable, doubtful) {
			found = append(found, i)
		}
	}
	if len(found) != 1 || !fillsMost(c, &o.spans[found[0]]) {
		return nobody
	}
	own := c
	if c.Raw {
		own = &o.spans[found[0]]
	}
	if w.named && (o.processSeen(own) || o.servedByAnother(c, &o.spans[found[0]])) {
		return nobody
	}
	for i := range o.spans {
		if f := &o.spans[i]; i != n && w.same(o, f, &o.spans[found[0]]) && may(f, &o.spans[found[0]]) {
			return nobody
		}
	}
	return found[0]
}

// requestAlike is the request of the SDK's root n, by process and time, where no call says it.
func (o *oracle) requestAlike(n int) int {
	c := &o.spans[n]
	if !isRoot(c) {
		return nobody
	}
	for i := range o.spans {
		if f := &o.spans[i]; leads(f, c.OwnTrace) && f.Service == c.Service {
			return nobody
		}
	}
	for _, w := range ties {
		if p := o.partner(n, w, o.mayBeOneRequest); p != nobody {
			return p
		}
	}
	return nobody
}

// requestOf is that of the SDK's SERVER span n, which names a parent by a header that no call shows.
func (o *oracle) requestOf(n int, w tie) int {
	if c := &o.spans[n]; !header(c) || o.callSeen(c) {
		return nobody
	}
	return o.partner(n, w, o.mayBeOneRequest)
}

// mateOf is the one SDK SERVER span that may be of the request n, and is.
func (o *oracle) mateOf(n int, w tie) int {
	found := nobody
	for i := range o.spans {
		if c, p := &o.spans[i], &o.spans[n]; w.same(o, c, p) && o.mayBeOneRequest(c, p) {
			if found != nobody {
				return nobody
			}
			found = i
		}
	}
	if found == nobody || o.requestOf(found, w) != n {
		return nobody
	}
	return found
}

// cameBy: the SDK's SERVER span n is of a request that came by the call.
func (o *oracle) cameBy(n int, call *seen) bool {
	return slices.ContainsFunc(ties, func(w tie) bool {
		r := o.requestOf(n, w)
		return r != nobody && o.finding(r).parent != nobody && &o.spans[o.finding(r).parent] == call
	})
}

// parentNamed is the one span that n names.
func (o *oracle) parentNamed(n int) int { return o.named(n, stated) }

// requestStated is the request of the SDK's SERVER span n, which names a parent, where that loses nothing by it.
func (o *oracle) requestStated(n int) int {
	for _, w := range ties {
		if r := o.requestOf(n, w); r != nobody && o.leadsToParent(r, n, w) {
			return r
		}
	}
	return nobody
}

// leadsToParent: the way up from the request leads to the parent that n names; or that is not here, and nothing is known
// above the request, which is no other's.
func (o *oracle) leadsToParent(request, n int, w tie) bool {
	parent := o.parentNamed(n)
	if parent == nobody {
		return o.nothingAbove(request) && o.mateOf(request, w) == n
	}
	for range 4 { // proxies
		up := o.finding(request).parent
		if up == parent || up == nobody {
			return up == parent
		}
		c, p := &o.spans[up], &o.spans[parent]
		if !bareCall(c) {
			return false
		}
		if ports := c.Peer.Port == 0 || p.Peer.Port == 0 || c.Peer.Port == p.Peer.Port; ofOneProcess(c, p) || (o.runTogether(c, p) && !o.servedByAnother(c, p)) {
			if ports && !p.Raw && p.Role == Client && p.OwnTrace != (TraceID{}) && alike(c, p) >= 0 && fillsMost(c, p) {
				return true
			}
			if ofOneProcess(c, p) {
				return false
			}
		}
		if request = o.servedBy(c); request == nobody {
			return false
		}
	}
	return false
}

// nothingAbove: no call shows a number or an id of the request, and no SDK's span says whose it is.
func (o *oracle) nothingAbove(request int) bool {
	s := &o.spans[request]
	for i := range o.spans {
		c := &o.spans[i]
		if !c.Raw || c.Role != Client {
			continue
		}
		if s.ReqSeq != 0 && c.ReqSeq == s.ReqSeq && (bothNumbers(s, c) || portsReversed(s, c)) {
			return false
		}
		if (s.RequestID != 0 && c.carries(s.RequestID)) || (s.ResponseID != 0 && c.carries(s.ResponseID)) {
			return false
		}
	}
	return !slices.ContainsFunc(ties, func(w tie) bool {
		own := o.mateOf(request, w)
		return own != nobody && o.parentNamed(own) != nobody
	})
}

// callerStated is what the SDK's span of the request n names as its parent.
func (o *oracle) callerStated(n int) int {
	c := &o.spans[n]
	for _, w := range ties {
		own := o.mateOf(n, w)
		if own == nobody {
			continue
		}
		if p := o.parentNamed(own); p != nobody && !o.spans[p].Raw && o.admits(c, &o.spans[p], probable, 0) {
			return p
		}
	}
	return nobody
}

// callAlike is the SDK's CLIENT span of the call n, by process and time.
func (o *oracle) callAlike(n int) int {
	c := &o.spans[n]
	for _, w := range ties {
		p := o.partner(n, w, o.mayBeOneCall)
		if p == nobody || (c.Systrace != 0 && o.madeIn(&o.spans[p]) == nobody) || o.answersAnother(n, p) {
			continue
		}
		return p
	}
	return nobody
}

// tied: by any way.
func (o *oracle) tied(a, b *seen) bool {
	return slices.ContainsFunc(ties, func(w tie) bool { return w.same(o, a, b) })
}

// answersAnother: of a request that the call came to, SDK spans may be, and none of them names p.
func (o *oracle) answersAnother(call, p int) bool {
	for r := range o.spans {
		if !isRequest(&o.spans[r]) || o.spans[r].CtxTrace != (TraceID{}) || o.finding(r).parent != call {
			continue
		}
		some, mine := false, false
		for i := range o.spans {
			if c := &o.spans[i]; header(c) && o.tied(c, &o.spans[r]) && o.mayBeOneRequest(c, &o.spans[r]) {
				some, mine = true, mine || names(c, &o.spans[p])
			}
		}
		if some && !mine {
			return true
		}
	}
	return false
}
