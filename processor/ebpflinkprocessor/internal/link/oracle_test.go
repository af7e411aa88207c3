package link

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The oracle looks at every pair of spans, rule by rule. It is written from the table of ARCHITECTURE.md
// section 4 and of the README and shares no code with the index: no key, no order, no posting.

// apart is more than the clocks of the generated spans ever differ by: what the estimates of skew would
// allow does not matter.
const apart = 10 * time.Second

type oracle []Fact

func (o oracle) admissible(c, p *Fact) bool {
	tol := int64(apart)
	if c.Raw && p.Raw && c.Host == p.Host && c.Host != 0 {
		tol = int64(time.Millisecond)
	}
	if c.Start < p.Start-tol {
		return false
	}
	return p.Pending || c.Start <= p.Start+tol || c.Start <= p.End+tol
}

// only returns the one span that match calls best, and is admissible; -1 for none or several.
func (o oracle) only(c int, stated bool, match func(p *Fact) int) int {
	found, best, several := -1, 0, false
	for i := range o {
		p := &o[i]
		s := match(p)
		if i == c || s == 0 || (!stated && !o.admissible(&o[c], p)) {
			continue
		}
		switch {
		case s > best:
			found, best, several = i, s, false
		case s == best:
			several = true
		}
	}
	if several {
		return -1
	}
	return found
}

// one is 1 for true.
func one(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

// wire says whether the ends of a call show one connection: 2 when the addresses say so, too.
func wire(server, client *Fact) int {
	if !server.Raw || !client.Raw || client.Role != Client || server.ReqSeq == 0 || server.ReqSeq != client.ReqSeq {
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

func sameContext(a, b *Fact) bool {
	return a.CtxTrace == b.CtxTrace && a.CtxParent == b.CtxParent && a.CtxTrace != TraceID{} && a.CtxParent != SpanID{}
}

// received says how well p fits as the request that the SDK's SERVER span c is of: it read the header that c names, or
// came by a call that shows it and is of the same service.
func (o oracle) received(c, p *Fact) int {
	same := c.Service != 0 && c.Service == p.Service
	switch {
	case !p.Raw || p.Role != Server:
		return 0
	case sameContext(c, p) && same:
		return 2
	case sameContext(c, p):
		longer := c.End-c.Start > p.End-p.Start+int64(time.Millisecond)
		return one(c.Service == 0 || p.Service == 0 || p.Pending || !longer)
	case !same || (p.CtxTrace != TraceID{} && p.CtxParent != SpanID{}):
		return 0
	}
	for n := range o {
		if &o[n] == p {
			if call := o.parent(n); call >= 0 && o[call].Raw && o[call].Role == Client && sameContext(c, &o[call]) {
				return 2
			}
		}
	}
	return 0
}

func (o oracle) parent(n int) int {
	c := &o[n]
	named := func(p *Fact) int {
		return one(c.CtxTrace != TraceID{} && c.CtxParent != SpanID{} && p.OwnTrace == c.CtxTrace && p.Span == c.CtxParent)
	}
	if !c.Raw {
		if c.Role == Server {
			if p := o.only(n, false, func(p *Fact) int { return o.received(c, p) }); p >= 0 {
				return p
			}
		}
		return o.only(n, true, named)
	}
	if c.Role == Server {
		for _, found := range []int{
			o.only(n, false, func(p *Fact) int {
				return wire(c, p) * one(c.RespSeq != 0 && p.RespSeq != 0)
			}),
			o.only(n, false, func(p *Fact) int {
				return wire(c, p) * one(c.Local.Port != 0 && c.Peer.Port != 0 && c.Local.Port == p.Peer.Port && c.Peer.Port == p.Local.Port)
			}),
			o.only(n, false, func(p *Fact) int { return wire(c, p) * one(sameContext(c, p)) }),
			o.only(n, false, named),
		} {
			if found >= 0 {
				return found
			}
		}
		return -1
	}
	mine := func(p *Fact) bool { return p.Raw && p.Role == Server && p.Host == c.Host && c.Host != 0 }
	ofRequest := func(p *Fact) bool { return mine(p) && c.Systrace != 0 && p.Systrace == c.Systrace }
	passedOn := false
	for i := range o {
		passedOn = passedOn || (ofRequest(&o[i]) && sameContext(c, &o[i]))
	}
	if !passedOn {
		if p := o.only(n, false, named); p >= 0 {
			return p
		}
	}
	if c.Role != Client {
		return -1
	}
	if p := o.only(n, false, func(p *Fact) int { return one(ofRequest(p)) }); p >= 0 {
		return p
	}
	return o.only(n, false, func(p *Fact) int {
		if !mine(p) || c.Pseudo == 0 || p.Pseudo != c.Pseudo || (c.Systrace != 0 && p.Systrace != 0 && c.Systrace != p.Systrace) {
			return 0
		}
		return one(c.Pending || p.Pending || c.End <= p.End+int64(time.Millisecond))
	})
}

// confusion makes spans of few values for everything, so that keys collide, contradict and close cycles.
func confusion(rng *rand.Rand, n int) oracle {
	var o oracle
	hosts := 1 + rng.Uint64N(3)
	for i := range n {
		start := rng.Int64N(int64(300 * time.Millisecond))
		f := Fact{
			Span: SpanID{7: byte(i + 1)}, OwnTrace: TraceID{0: 9, 15: byte(i % 3)}, Role: Role(1 + rng.IntN(2)), Raw: rng.IntN(5) > 0,
			Service: rng.Uint32N(3),
			Host:    rng.Uint64N(hosts + 1), Start: start, End: start + rng.Int64N(int64(300*time.Millisecond)),
		}
		if rng.IntN(10) == 0 {
			f.Role = Other
		}
		if rng.IntN(2) == 0 {
			// Most headers name a span that is here.
			to := byte(1 + rng.IntN(n))
			f.CtxTrace, f.CtxParent = TraceID{0: 9, 15: (to - 1) % 3}, SpanID{7: 1 + (to-1)%12}
		}
		if !f.Raw {
			f.OwnTrace = f.CtxTrace
			if f.CtxTrace == (TraceID{}) {
				f.OwnTrace = TraceID{0: 9, 15: byte(i % 3)}
				f.CtxTrace = f.OwnTrace
			}
			o = append(o, f)
			continue
		}
		f.ReqSeq, f.RespSeq = rng.Uint32N(6), rng.Uint32N(4)
		f.Systrace, f.Pseudo = rng.Uint64N(12), rng.Uint64N(8)
		client := Endpoint{Addr: rng.Uint32N(3), Port: uint16(rng.IntN(3))}
		server := Endpoint{Addr: rng.Uint32N(3), Port: uint16(rng.IntN(3))}
		f.Local, f.Peer = client, server
		if f.Role == Server {
			f.Local, f.Peer = server, client
		}
		if rng.IntN(6) == 0 {
			f.Pending, f.End, f.RespSeq = true, 0, 0
		}
		o = append(o, f)
	}
	return o
}

// TestOracle: the index finds what looking at every pair finds, in any order of arrival, also where facts
// came and went in between.
func TestOracle(t *testing.T) {
	rules := map[string]int{}
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 11))
		o := confusion(rng, 10+rng.IntN(50))
		x := New([]string{AppContext, TCPSeq, Systrace, PseudoThread}, apart)
		ids := make([]ID, len(o))
		var guests []ID
		for _, i := range rng.Perm(len(o)) {
			if rng.IntN(3) == 0 {
				guests = append(guests, x.Add(confusion(rng, 1)[0]))
			}
			ids[i] = x.Add(o[i])
		}
		for i := range ids {
			x.Resolve(ids[i]) // with guests: what is remembered of it must not last
		}
		x.Remove(guests)
		for i := range o {
			e := x.Resolve(ids[i])
			want := o.parent(i)
			got := -1
			for j := range ids {
				if e.Parent == ids[j] {
					got = j
				}
			}
			require.Equal(t, want, got, fmt.Sprintf("seed %d: parent of %+v: %s by %s", seed, o[i], e.Outcome, e.Rule))
			if got >= 0 {
				rules[e.Rule]++
				if c, p := &o[i], &o[got]; !c.Raw && c.Role == Server && p.Raw && p.Role == Server && !sameContext(c, p) {
					rules["by its call"]++
				}
			}
		}
	}
	for _, r := range []string{AppContext, TCPSeq, Systrace, PseudoThread, "by its call"} {
		require.Greater(t, rules[r], 30, r)
	}
}
