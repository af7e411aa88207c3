package link

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The oracle looks at every pair of spans, rule by rule. It is written from the README and design.md and shares no
// code with the index: no key, no order, no posting. Of the rules, x_request_id, those of SDK spans and what is known of time
// have files of their own.

// apart is more than the clocks of spans ever differ by whose test is not about clocks.
const apart = 10 * time.Second

// seeds is how many situations are compared.
const seeds = 2000

// nobody is no parent.
const nobody = -1

// finding is what is said of a span: its parent, and the rule that found it.
type finding struct {
	parent int
	rule   string
}

var orphan = finding{parent: nobody}

type oracle struct {
	spans []seen
	// tolerance is the configuration's.
	tolerance int64
	// limits are of rules, those of the configuration; the default ones are beyond what a situation has.
	limits map[string]int
	// refused counts the keys that too many spans have.
	refused map[string]int
	// found are the findings so far: the rules ask for those of other spans.
	found map[int]finding
	// offsets are those asked for so far.
	offsets map[[3]int64]offset
}

func newOracle(spans []seen, tolerance time.Duration) *oracle {
	return &oracle{spans: spans, tolerance: int64(tolerance), found: map[int]finding{}, refused: map[string]int{}, offsets: map[[3]int64]offset{}}
}

// finding of span n. It ends: that of a call asks for that of an SDK's span, that for that of a request, that for none.
func (o *oracle) finding(n int) finding {
	f, known := o.found[n]
	if !known {
		f = o.find(n)
		o.found[n] = f
	}
	return f
}

// find asks the rules, strongest first.
func (o *oracle) find(n int) finding {
	switch c := &o.spans[n]; {
	case !c.Raw:
		return first(
			o.by(AppContext, func() int { return o.requestRead(n) }),
			o.by(SDKSameCall, func() int { return o.requestStated(n) }),
			o.by(AppContext, func() int { return o.named(n, stated) }),
			o.by(AppContext, func() int { return o.requestBegun(n) }),
			o.by(SDKSameCall, func() int { return o.requestAlike(n) }),
		)
	case c.Role == Server:
		return first(
			o.by(TCPSeq, func() int { return o.overWire(n) }),
			o.by(AppContext, func() int { return o.named(n, exact) }),
			o.by(XRequestID, func() int { return o.byRequestID(n) }),
			o.by(SDKSameCall, func() int { return o.callerStated(n) }),
		)
	default:
		return first(
			o.by(AppContext, func() int { return o.caller(n) }),
			o.by(SDKSameCall, func() int { return o.callAlike(n) }),
			o.by(Systrace, func() int { return o.request(n) }),
			o.by(PseudoThread, func() int { return o.thread(n) }),
			o.by(XRequestID, func() int { return o.byRequestID(n) }),
		)
	}
}

func (o *oracle) by(rule string, find func() int) func() finding {
	return func() finding { return finding{find(), rule} }
}

func first(ways ...func() finding) finding {
	for _, way := range ways {
		if f := way(); f.parent != nobody {
			return f
		}
	}
	return orphan
}

// stated is beside the classes: what a span says itself no clock contradicts.
const stated class = 255

// only returns the one span that match calls best, and that time admits; nobody for none or several.
func (o *oracle) only(c int, cl class, match func(p *seen) int) int {
	admits := func(i int, cl class) bool { return cl == stated || o.admits(&o.spans[c], &o.spans[i], cl, 0) }
	best := 0
	var found []int
	for i := range o.spans {
		s := match(&o.spans[i])
		if i == c || s == 0 || s < best || !admits(i, cl) {
			continue
		}
		if s > best {
			best, found = s, nil
		}
		found = append(found, i)
	}
	if len(found) > 1 && cl == exact {
		// Of several that the tolerance leaves, one that alone agrees with the estimate.
		found = slices.DeleteFunc(found, func(i int) bool { return !admits(i, probable) })
	}
	if len(found) != 1 {
		return nobody
	}
	return found[0]
}

// exceeds says whether more spans than the rule allows are like that.
func (o *oracle) exceeds(rule string, like func(s *seen) bool) bool {
	limit, limited := o.limits[rule]
	if !limited {
		return false
	}
	n := 0
	for i := range o.spans {
		n += one(like(&o.spans[i]))
	}
	if n > limit {
		o.refused[rule]++
	}
	return n > limit
}

// one is 1 for true.
func one(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

// every is 1 where all hold.
func every(oks ...bool) int { return one(!slices.Contains(oks, false)) }

// wire says whether the ends of a call show one connection: 2 when the addresses say so, too.
func wire(server, client *seen) int {
	if !server.Raw || !client.Raw || server.Role != Server || client.Role != Client || server.ReqSeq == 0 || server.ReqSeq != client.ReqSeq {
		return 0
	}
	if server.RespSeq != 0 && client.RespSeq != 0 && server.RespSeq != client.RespSeq {
		return 0
	}
	if client.Local.Addr == 0 || client.Peer.Addr == 0 || server.Local.Addr == 0 || server.Peer.Addr == 0 {
		return 1
	}
	if client.Local.Addr != server.Peer.Addr || client.Peer.Addr != server.Local.Addr {
		return 1 // a gateway may be between
	}
	equal := func(a, b uint16) bool { return a == b || a == 0 || b == 0 }
	if equal(client.Local.Port, server.Peer.Port) && equal(client.Peer.Port, server.Local.Port) {
		return 2
	}
	return 0
}

// bothNumbers and portsReversed say that the two show it by request and response, or by request and ports.
func bothNumbers(server, client *seen) bool {
	return server.RespSeq != 0 && server.RespSeq == client.RespSeq
}

func portsReversed(server, client *seen) bool {
	return server.Local.Port != 0 && server.Peer.Port != 0 && server.Local.Port == client.Peer.Port && server.Peer.Port == client.Local.Port
}

// overWire is the call that the request n came by.
func (o *oracle) overWire(n int) int {
	c := &o.spans[n]
	for _, alike := range []func(server, client *seen) bool{bothNumbers, portsReversed, sameHeader} {
		if o.exceeds(TCPSeq, func(s *seen) bool {
			return c.Raw && s.Raw && s.Role == Client && s.ReqSeq != 0 && s.ReqSeq == c.ReqSeq && alike(c, s)
		}) {
			continue
		}
		if p := o.only(n, exact, func(p *seen) int { return wire(c, p) * one(alike(c, p)) }); p != nobody {
			return p
		}
	}
	return nobody
}

func header(a *seen) bool { return a.CtxTrace != TraceID{} && a.CtxParent != SpanID{} }

func sameHeader(a, b *seen) bool {
	return header(a) && a.CtxTrace == b.CtxTrace && a.CtxParent == b.CtxParent
}

// names says whether the header of c, or its own statement, is p.
func names(c, p *seen) bool {
	return header(c) && p.OwnTrace == c.CtxTrace && p.Span == c.CtxParent
}

// named is the span that the header of n names, or n itself as its parent.
func (o *oracle) named(n int, cl class) int {
	return o.only(n, cl, func(p *seen) int { return one(names(&o.spans[n], p)) })
}

// ofSystrace says whether p is the request that c, a call, or a header's reader, carries the systrace id of.
func ofSystrace(c, p *seen) bool {
	return p.Raw && p.Role == Server && p.Host == c.Host && c.Host != 0 && c.Systrace != 0 && p.Systrace == c.Systrace
}

// caller is the span whose header the call n carries, unless the request passed it on.
func (o *oracle) caller(n int) int {
	c := &o.spans[n]
	for i := range o.spans {
		if p := &o.spans[i]; ofSystrace(c, p) && p.CtxTrace == c.CtxTrace && p.CtxParent == c.CtxParent {
			return nobody
		}
	}
	return o.named(n, exact)
}

func (o *oracle) request(n int) int {
	c := &o.spans[n]
	if o.exceeds(Systrace, func(s *seen) bool { return ofSystrace(c, s) }) {
		return nobody
	}
	return o.only(n, exact, func(p *seen) int { return every(c.Role == Client, ofSystrace(c, p)) })
}

// requestsDiffer: both are known, and differ.
func requestsDiffer(c, p *seen) bool {
	return c.Systrace != 0 && p.Systrace != 0 && c.Systrace != p.Systrace
}

func (o *oracle) thread(n int) int {
	c := &o.spans[n]
	// Many requests have a thread one after the other, so those count that are open about then.
	if o.exceeds(PseudoThread, func(s *seen) bool {
		then := s.Start <= c.Start+ms && (s.Pending || max(s.Start, s.End) >= c.Start-ms)
		return s.Raw && s.Role == Server && s.Host == c.Host && c.Host != 0 && c.Pseudo != 0 && s.Pseudo == c.Pseudo && then
	}) {
		return nobody
	}
	return o.only(n, probable, func(p *seen) int {
		return every(c.Role == Client, p.Raw, p.Role == Server, p.Host == c.Host, c.Host != 0, c.Pseudo != 0, p.Pseudo == c.Pseudo,
			!requestsDiffer(c, p), o.inTime(c, p, probable, 0, true))
	})
}

// in is the index's opinion, in that order of arrival, where guests come, if any, and have gone.
func (o *oracle) in(t *testing.T, order []int, guests []seen) (edges []Edge, found []finding) {
	x := NewLimited(RuleNames(), time.Duration(o.tolerance), Limits{Candidates: DefaultMaxCandidates, Rules: o.limits})
	ids := make([]ID, len(o.spans))
	at := map[ID]int{None: nobody}
	add := func(s seen) ID { return x.AddRare(s.Fact, s.Rare) }
	var gone []ID
	for n, i := range order {
		for len(gone) < len(guests)*n/len(order) {
			gone = append(gone, add(guests[len(gone)]))
		}
		ids[i] = add(o.spans[i])
		at[ids[i]] = i
	}
	for i := range ids {
		x.Resolve(ids[i]) // with guests: what is remembered of it must not last
	}
	x.Remove(gone)
	for i := range ids {
		e := x.Resolve(ids[i])
		edges = append(edges, e)
		f := orphan
		if e.Parent != None {
			f = finding{at[e.Parent], e.Rule}
			met := false
			x.Referrers(e.Parent, func(id ID) bool { met = id == ids[i]; return !met })
			require.True(t, met, "the way down finds what the way up does: %s", e.Rule)
		}
		found = append(found, f)
	}
	return edges, found
}

// differs returns the first span that the index and the oracle have different opinions of, nobody if none.
func (o *oracle) differs(found []finding) int {
	for i := range o.spans {
		if o.finding(i) != found[i] {
			return i
		}
	}
	return nobody
}

// fewest leaves spans out as long as index and oracle differ, and tells what they say of those left.
func (o *oracle) fewest(t *testing.T) string {
	var say string
	try := func(spans []seen) bool {
		order := make([]int, len(spans))
		for i := range order {
			order[i] = i
		}
		for range 2 {
			p := newOracle(spans, time.Duration(o.tolerance))
			p.limits = o.limits
			edges, found := p.in(t, order, nil)
			if i := p.differs(found); i != nobody {
				var b strings.Builder
				for n, s := range spans {
					fmt.Fprintf(&b, "%d: %+v\n", n, s)
				}
				say = fmt.Sprintf("%s%d, in the order %v: oracle %+v, index %+v: %s by %s", &b, i, order, p.finding(i), found[i], edges[i].Outcome, edges[i].Rule)
				return true
			}
			slices.Reverse(order)
		}
		return false
	}
	spans := o.spans
	if !try(spans) {
		return "not without guests, or in the order of the spans"
	}
	for again := true; again; {
		again = false
		for i := 0; i < len(spans); i++ {
			if less := slices.Delete(slices.Clone(spans), i, i+1); try(less) {
				spans, again = less, true
				i--
			}
		}
	}
	try(spans)
	return say
}

// kinds of links that situations must have many of.
var kinds = []string{
	AppContext, TCPSeq, Systrace, PseudoThread, "by its call", "root by its calls", "clocks",
	"call by id", "call by id, nested", "request by id", "request by id, nested",
	"root", "stated", "caller stated", "call", "root by place", "stated by place", "call by place",
}

// tally counts links by kind.
func (o *oracle) tally(edges []Edge, found []finding, by map[string]int) {
	for i, f := range found {
		if f.parent == nobody {
			continue
		}
		c, p := &o.spans[i], &o.spans[f.parent]
		by[f.rule]++
		nested := ""
		if edges[i].Confidence == NestedRequestIDConfidence {
			nested = ", nested"
		}
		switch {
		case f.rule == XRequestID && c.Role == Client:
			by["call by id"+nested]++
		case f.rule == XRequestID:
			by["request by id"+nested]++
		case f.rule == SDKSameCall && c.Raw && c.Role == Server:
			by["caller stated"]++
		case f.rule == SDKSameCall:
			pair := "root"
			if c.Raw {
				pair = "call"
			} else if header(c) {
				pair = "stated"
			}
			by[pair]++
			if !ofOneProcess(c, p) {
				by[pair+" by place"]++
			}
		case f.rule == AppContext && isRoot(c):
			by["root by its calls"]++
		case f.rule == AppContext && !edges[i].Stated && !c.Raw && isRequest(p) && !header(p) && edges[i].Confidence == 1:
			by["by its call"]++
		}
		if !edges[i].Stated && o.tolerance < int64(apart) && !newOracle([]seen{*c, *p}, time.Duration(o.tolerance)).admits(&seen{Fact: c.Fact}, p, probable, 0) {
			by["clocks"]++
		}
	}
}

// TestOracle: the index finds what looking at every pair finds, in any order of arrival, also where facts
// came and went in between.
func TestOracle(t *testing.T) {
	compare(t, seeds, kinds, func(rng *rand.Rand) *situation {
		s := newSituation(rng)
		s.fill(10 + rng.IntN(40))
		return s
	})
}

// TestOracleOfLimits: so it does where rules have limits that some keys exceed.
func TestOracleOfLimits(t *testing.T) {
	limited := []string{"limit of tcp_seq", "limit of systrace", "limit of x_request_id", TCPSeq, Systrace, XRequestID}
	compare(t, seeds/2, limited, func(rng *rand.Rand) *situation {
		s := newSituation(rng)
		if s.of10(5) { // each story has ids of its own
			s.few, s.shared, s.stories = 4, 4, 0
		}
		s.fill(10 + rng.IntN(40))
		s.limit()
		return s
	})
	compare(t, seeds/100, []string{"limit of pseudo_thread", PseudoThread}, func(rng *rand.Rand) *situation {
		s := newCrowd(rng)
		s.fill(4 * chunkSize)
		s.limits = map[string]int{PseudoThread: 1 + rng.IntN(3)}
		return s
	})
}

// TestOracleOfCrowds: so it does where a key has so many spans that not all of them are looked at.
func TestOracleOfCrowds(t *testing.T) {
	compare(t, seeds/100, []string{PseudoThread, "call by id", "request by id", "root", "stated", "call"}, func(rng *rand.Rand) *situation {
		s := newCrowd(rng)
		s.fill(4 * chunkSize)
		return s
	})
}

// compare asks index and oracle about many situations, in which there must be links of each kind.
func compare(t *testing.T, seeds uint64, kinds []string, next func(*rand.Rand) *situation) {
	t.Helper()
	rules := map[string]int{}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 11))
		s := next(rng)
		o := newOracle(s.spans, s.tolerance)
		o.limits = s.limits
		if o.busy() {
			rules["busy"]++
			continue
		}
		var guests []seen
		for range len(s.spans) / 3 {
			g := s.fresh()
			g.RespSeq = 0 // or what it said of clocks would stay
			guests = append(guests, g)
		}
		edges, found := o.in(t, rng.Perm(len(s.spans)), guests)
		if i := o.differs(found); i != nobody {
			require.Fail(t, "the oracle differs", "seed %d: of %+v\noracle %+v, index %+v: %s by %s\n\n%s", seed, s.spans[i], o.finding(i), found[i], edges[i].Outcome, edges[i].Rule, o.fewest(t))
		}
		o.tally(edges, found, rules)
		for rule, n := range o.refused {
			rules["limit of "+rule] += n
		}
	}
	for _, r := range slices.Sorted(maps.Keys(rules)) {
		t.Log(r, rules[r])
	}
	for _, r := range kinds {
		require.Greater(t, rules[r], 30, r)
	}
	require.Less(t, uint64(rules["busy"]), seeds/8)
}
