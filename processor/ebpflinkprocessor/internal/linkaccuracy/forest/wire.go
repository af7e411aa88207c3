package forest

import (
	"net/netip"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// ends are the two processes of a connection.
type ends struct{ from, to *Process }

// conn is one connection: both directions count their bytes from a random start.
type conn struct {
	n         int
	req, resp uint32
	// client is the calling end, natted what the server sees of it behind a gateway.
	client, natted netip.AddrPort
	// calls in order, and when those that may still be open end.
	calls      []*Span
	open       []int64
	lastAnswer int64
	closed     bool
}

// wire gives each call a connection, and both of its ends the numbers.
func (f *Forest) wire() {
	answer := map[*Span]*Span{}
	for _, s := range f.Spans {
		if s.Kind == Server && !s.SDK && s.Parent != nil {
			answer[s.Parent] = s
		}
	}
	conns := map[ends][]*conn{}
	total := 0
	for _, c := range f.inTime() {
		s := answer[c]
		if c.Kind == Server {
			// A request from outside: its other end is not traced.
			if c.Parent == nil {
				f.connect(&Span{Process: f.outside, Start: c.Start, End: c.End}, c, conns, &total)
			}
			continue
		}
		f.connect(c, s, conns, &total)
	}
	f.number(conns)
	for _, s := range f.Spans {
		if s.Kind == Client && !s.SDK {
			s.ID = rawspan.SpanID(rawspan.Host{ID: s.Process.Host.Name, Boot: "boot"}, "client", s.Local, s.Peer, s.ReqSeq, uint64(s.Start)+uint64(s.N))
		}
	}
	f.twins(answer)
}

func (f *Forest) inTime() []*Span {
	out := slices.DeleteFunc(slices.Clone(f.Spans), func(s *Span) bool { return s.SDK })
	slices.SortFunc(out, byStart)
	return out
}

// database stands for whatever is called and not traced.
var database = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, 9}), 5432)

// gateway is where the proxy runs that nobody traces.
var gateway = netip.AddrFrom4([4]byte{10, 9, 9, 8})

// connect finds a connection for call c, which s answers; s is nil where nobody traced does.
func (f *Forest) connect(c, s *Span, conns map[ends][]*conn, total *int) {
	e := ends{from: c.Process}
	server := database
	if s != nil {
		e.to = s.Process
		server = netip.AddrPortFrom(s.Process.Host.Addr, s.Process.Port)
	}
	var k *conn
	for _, have := range conns[e] {
		if have.takes(c, &f.Scenario) {
			k = have
			break
		}
	}
	if k == nil {
		*total++
		k = f.dial(*total, e)
		conns[e] = append(conns[e], k)
	}
	k.open = append(slices.DeleteFunc(k.open, func(end int64) bool { return end <= c.Start }), c.End)
	k.lastAnswer = max(k.lastAnswer, c.End)
	// An attempt that gave up closes its connection.
	k.closed = k.closed || c.NoAnswer
	c.Conn, c.Local, c.Peer = k.n, k.client, server
	k.calls = append(k.calls, c)
	if s == nil {
		return
	}
	s.Conn, s.Local, s.Peer = k.n, server, k.client
	s.NoAnswer = c.NoAnswer
	if f.Scenario.NAT {
		// The client calls a service address, the server sees a gateway.
		c.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 20, 0, byte(s.Process.Port)}), 80)
		s.Peer = k.natted
	}
	c.mate = s
	if c.hidden {
		// The other half of the way is a connection of its own.
		*total++
		k := f.dial(*total, e)
		s.Conn, s.Peer, s.ReqSeq, s.RespSeq = k.n, netip.AddrPortFrom(gateway, k.client.Port()), k.req, k.resp
		c.Peer = netip.AddrPortFrom(gateway, 80)
		c.mate = nil
	}
}

// pipeline is how many requests wait on one connection at once.
const pipeline = 4

func (k *conn) takes(c *Span, sc *Scenario) bool {
	if !sc.KeepAlive || k.closed {
		return false
	}
	open := 0
	for _, end := range k.open {
		if end > c.Start {
			open++
		}
	}
	// Answers come in the order of the requests.
	return open == 0 || (sc.Pipelining && open < pipeline && c.End > k.lastAnswer)
}

func (f *Forest) dial(n int, e ends) *conn {
	k := &conn{n: n, req: f.isn(e), resp: f.isn(e)}
	h := e.from.Host
	h.ports++
	span := uint16(28000)
	if f.Scenario.ReusedPorts {
		span = 64
	}
	k.client = netip.AddrPortFrom(h.Addr, 32768+h.ports%span)
	k.natted = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 0, 1}), uint16(1024+f.rng.IntN(60000)))
	return k
}

// isn is where a direction of a connection begins to count.
func (f *Forest) isn(e ends) uint32 {
	if f.Scenario.FewNumbers && e.from != f.outside && e.to != nil {
		return 1 + 1000*f.rng.Uint32N(4)
	}
	return f.rng.Uint32() | 1
}

// number goes through each connection: requests count in order of their sending, answers in the same
// order.
func (f *Forest) number(conns map[ends][]*conn) {
	var all []*conn
	for _, list := range conns {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b *conn) int { return a.n - b.n })
	for _, k := range all {
		for _, c := range k.calls {
			step, back := 100+f.rng.Uint32N(400), 200+f.rng.Uint32N(4000)
			if f.Scenario.FewNumbers {
				step, back = 100, 200
			}
			c.ReqSeq, c.RespSeq = k.req, k.resp
			k.req, k.resp = notZero(k.req+step), notZero(k.resp+back)
			if s := c.mate; s != nil {
				s.ReqSeq, s.RespSeq = c.ReqSeq, c.RespSeq
			}
			if c.NoAnswer {
				c.RespSeq = 0
			}
		}
	}
}

func notZero(n uint32) uint32 { return max(n, 1) }

// twins makes calls on other hosts show the numbers of calls that are answered.
func (f *Forest) twins(answer map[*Span]*Span) {
	if f.Scenario.Twins == 0 {
		return
	}
	var lonely []*Span
	for _, c := range f.inTime() {
		if c.Kind == Client && answer[c] == nil {
			lonely = append(lonely, c)
		}
	}
	for _, c := range f.inTime() {
		s := answer[c]
		if c.Kind != Client || s == nil || !f.chance(f.Scenario.Twins) {
			continue
		}
		for i, x := range lonely {
			if x.Process.Host != c.Process.Host && x.Process.Host != s.Process.Host && x.Start <= s.Start && s.Start <= x.End {
				x.ReqSeq, x.RespSeq = c.ReqSeq, c.RespSeq
				s.twinned = true
				lonely = slices.Delete(lonely, i, i+1)
				break
			}
		}
	}
}
