package forest

import (
	"fmt"
	"time"
)

// delays on the way between two ends, or between a request and its first call: a share of the room
// that there is, so that chains of any depth fit.
const (
	maxDelay   = 100_000 // ns
	delayShare = 25
)

func (f *Forest) delay(room int64) int64 {
	d := min(maxDelay, room/delayShare)
	return d/2 + f.rng.Int64N(d/2+1) + 1
}

// entry is a request from outside.
func (f *Forest) entry(at int64) {
	lasts := int64(f.Scenario.Lasts)
	p := f.processes[f.rng.IntN(len(f.processes))]
	if f.Scenario.Burst > 1 {
		// Those of a burst reach it within a millisecond, and take between half as long and as long.
		if f.busy == nil || f.rng.IntN(f.Scenario.Burst) == 0 {
			f.busy = p
		}
		if f.rng.IntN(2) == 0 {
			p = f.busy
		}
		at += f.rng.Int64N(int64(time.Millisecond))
		lasts -= f.rng.Int64N(lasts/2 + 1)
	}
	f.server(p, at, at+lasts, nil, 0, nil)
}

// server makes the SERVER span of a request to p in [from, to], and all that it leads to. call is the
// CLIENT span, nil when nobody traces the caller.
func (f *Forest) server(p *Process, from, to int64, call *Span, depth int, ctx *Span) *Span {
	f.systrace++
	s := f.add(&Span{Kind: Server, Process: p, Start: from, End: to, Parent: call, Request: f.systrace})
	f.serverID(s)
	if f.carry(s, ctx); ctx == nil {
		ctx = f.header(s)
	}
	if s.Path = f.path(call); call != nil {
		s.System = call.System
	}
	f.takeID(s)
	// What runs in the process: with an SDK its own SERVER span is between the request and the calls.
	inside := s
	if p.SDK {
		d := f.delay(to - from)
		inside = f.sdk(p, Server, from+d, to-d, s, ctx)
		inside.Path, inside.System = s.Path, s.System
		from, to = from+d, to-d
	}
	sc := &f.Scenario
	if depth >= sc.Depth || f.tree > maxTree {
		return s
	}
	if p.Proxy {
		d := f.delay(to - from)
		f.attempts(s, inside, from+d, to-d, depth)
		return s
	}
	if f.chance(sc.CalledBack) {
		f.calledBack(s, from, to)
		return s
	}
	n := sc.FanMin + f.rng.IntN(sc.FanMax-sc.FanMin+1)
	if n == 0 {
		return s
	}
	d := f.delay(to - from)
	from, to = from+d, to-d
	slot := (to - from) / int64(n)
	for i := range int64(n) {
		a, b := from+i*slot, from+(i+1)*slot
		if sc.Parallel {
			a, b = from+i, to-f.rng.Int64N((to-from)/2+1)
		}
		if b-a < 100 {
			continue
		}
		d := f.delay(b - a)
		f.attempts(s, inside, a+d, b-d, depth)
	}
	return s
}

// attempts is one call, once more when the first attempt gets no answer.
func (f *Forest) attempts(request, inside *Span, from, to int64, depth int) {
	if f.chance(f.Scenario.Retry) && to-from > 1000 {
		mid := from + (to-from)/3
		first := f.client(request, inside, from, mid, false)
		first.NoAnswer = true
		// Half of them are lost on the way there, half on the way back.
		if f.rng.IntN(2) == 0 {
			d := f.delay(first.End - first.Start)
			f.server(f.other(request.Process), first.Start+d, first.End+d, first, f.Scenario.Depth, f.header(first))
		}
		from = mid + f.delay(to-mid)
	}
	bare := f.Scenario.Words && f.chance(f.Scenario.Untraced)
	c := f.client(request, inside, from, to, bare)
	if bare || (!f.Scenario.Words && f.chance(f.Scenario.Untraced)) {
		return
	}
	f.hide(c)
	lasts := c.End - c.Start
	d, e := f.delay(lasts), f.delay(lasts)
	f.server(f.other(request.Process), c.Start+d, c.End-e, c, depth+1, f.header(c))
}

func (f *Forest) other(p *Process) *Process {
	for {
		q := f.processes[f.rng.IntN(len(f.processes))]
		if q != p && (!p.Proxy || !q.Proxy || f.Scenario.Chained) {
			return q
		}
	}
}

// path is that of a call, which the caller may have chosen.
func (f *Forest) path(call *Span) string {
	switch {
	case call != nil:
		return call.Path
	case f.Scenario.Words && f.Scenario.OnePath:
		return "/0"
	case f.Scenario.Words:
		return fmt.Sprintf("/%d", f.rng.IntN(4))
	default:
		return ""
	}
}

// client makes the CLIENT span of a call that belongs to request, bare if it carries no header.
func (f *Forest) client(request, inside *Span, from, to int64, bare bool) *Span {
	p := request.Process
	parent := request
	var ctx *Span
	if p.SDK {
		d := f.delay(to - from)
		parent = f.sdk(p, Client, from, to, inside, inside)
		ctx, from, to = parent, from+d, to-d
	} else if f.Scenario.App == Headers {
		ctx = request
	}
	c := f.add(&Span{Kind: Client, Process: p, Start: from, End: to, Parent: parent, Request: request.Request})
	c.Known = f.Scenario.Keys&Systrace != 0 && !p.Proxy && !f.chance(f.Scenario.Unknown)
	if c.Bare = bare; bare {
		if c.System = "redis"; !f.Scenario.OnePath && f.rng.IntN(2) == 1 {
			c.System = "postgresql"
		}
	} else {
		c.Path = f.path(nil)
		f.carry(c, ctx)
	}
	if p.SDK {
		parent.Path, parent.System = c.Path, c.System
	}
	f.passID(request, c)
	return c
}
