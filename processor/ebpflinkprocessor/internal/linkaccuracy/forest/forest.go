// Package forest makes traffic of which the truth is known: requests that call other processes, the
// connections and threads that carry them, and the spans that a receiver would make of them.
package forest

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Kind of a span.
type Kind uint8

// Kinds.
const (
	Server Kind = iota + 1
	Client
	Internal
)

// Host has a clock that is Skew off.
type Host struct {
	Name string
	Addr netip.Addr
	Skew time.Duration

	ports uint16
}

// Process of a host. Those with an SDK make spans of their own, a Proxy hands requests on.
type Process struct {
	Host  *Host
	PID   uint32
	Port  uint16
	SDK   bool
	Proxy bool

	spans []*Span
}

// Context does one thing after the other: a thread or a goroutine. Lineage is the goroutine that it
// descends from, itself for a thread.
type Context struct{ ID, Lineage uint64 }

// Span is what one end of an exchange, or an SDK, shows. Times are true wall nanoseconds.
type Span struct {
	// N is its place in Forest.Spans.
	N       int
	ID      [8]byte
	Kind    Kind
	Process *Process
	// SDK spans were made by the application.
	SDK        bool
	Start, End int64
	// Parent is the truth.
	Parent *Span
	// Exact: an exact rule can find Parent.
	Exact bool

	// Conn is the connection's number, 0 for none; both ends have the same.
	Conn            int
	ReqSeq, RespSeq uint32
	// NoAnswer: a call that gave up, or a request whose answer nobody waits for.
	NoAnswer    bool
	Local, Peer netip.AddrPort
	// Begin and Finish are what sent and read, in the order of the exchange.
	Begin, Finish Context
	// Request is the systrace id: of a SERVER span its own, of a CLIENT span the one it belongs to.
	Request uint64
	// Known: the receiver found out Request of a CLIENT span.
	Known bool

	// Trace and CtxParent are an SDK span's own, or what the header of a raw span's exchange said.
	Trace     [16]byte
	CtxParent [8]byte

	// ReqID and RespID are the x-request-id of request and response.
	ReqID, RespID string

	// Missed: the header that the exchange carried was not captured.
	Missed bool
	// Bare: the call carried no header, as its protocol has no place for one.
	Bare bool
	// Path and System are what was called, a path or a database.
	Path, System string

	depth int
	// hidden: the call goes through a proxy that is not traced.
	hidden bool
	// mate is the SERVER span that answers a CLIENT span.
	mate *Span
	// twinned: the call of another host shows the same numbers.
	twinned bool
}

// Tree returns the root of the tree of s.
func (s *Span) Tree() *Span {
	for s.Parent != nil {
		s = s.Parent
	}
	return s
}

// Raw spans come without parent.
func (s *Span) Raw() bool { return !s.SDK }

// Stated: the span names its parent itself, and rightly.
func (s *Span) Stated() bool { return s.SDK && (s.Parent == nil || s.Parent.ID == s.CtxParent) }

// Twinned: another call shows the numbers of the one that s answers, so which of them it was shows in their times
// alone.
func (s *Span) Twinned() bool { return s.twinned }

// Seen is a time of s as its host's clock tells it.
func (s *Span) Seen(t int64) int64 { return t + int64(s.Process.Host.Skew) }

// Forest is the traffic of one scenario.
type Forest struct {
	Scenario Scenario
	Spans    []*Span
	// Delivery is what reaches the collector, in order of arrival.
	Delivery []Arriving

	// calls of each request: how many, negative where one is not known.
	calls     map[uint64]int
	rng       *rand.Rand
	hosts     []*Host
	processes []*Process
	outside   *Process
	// busy is where half of a burst goes.
	busy     *Process
	systrace uint64
	tree     int
}

// Arriving is a span on its way in.
type Arriving struct {
	Span *Span
	// At is the true time.
	At int64
	// Pending: the announcement of an exchange that is still open.
	Pending bool
}

// Epoch is when traffic begins.
var Epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// maxTree bounds the spans of one request.
const maxTree = 1500

// Grow makes the traffic of sc.
func Grow(sc Scenario, seed uint64) *Forest {
	f := &Forest{Scenario: sc, rng: rand.New(rand.NewPCG(seed, 0x5eed)), systrace: seed<<40 | 1<<60}
	f.settle()
	at := Epoch.UnixNano()
	for i := range sc.Traces {
		if sc.Burst < 2 || i%sc.Burst == 0 {
			at += f.rng.Int64N(2*int64(sc.Gap) + 1)
		}
		f.tree = 0
		f.entry(at)
	}
	f.timers(Epoch.UnixNano(), at+int64(sc.Lasts))
	f.miss()
	f.wire()
	f.contexts()
	f.mark()
	f.count()
	f.deliver()
	return f
}

func (f *Forest) count() {
	f.calls = map[uint64]int{}
	for _, s := range f.Spans {
		switch n := f.calls[s.Request]; {
		case s.SDK || s.Kind != Client || s.Request == 0:
		case n < 0 || !s.Known:
			f.calls[s.Request] = -1
		default:
			f.calls[s.Request]++
		}
	}
}

// Networks are where traced processes have their addresses, and what stands between them.
func (f *Forest) Networks() []string {
	var out []string
	for _, h := range f.hosts {
		if h != f.outside.Host {
			out = append(out, netip.PrefixFrom(h.Addr, 32).String())
		}
	}
	if f.Scenario.NAT {
		out = append(out, "172.20.0.0/16", "192.168.0.1/32")
	}
	return out
}

// settle makes hosts and processes.
func (f *Forest) settle() {
	for i := range f.Scenario.Hosts + 1 {
		h := &Host{Name: "host-" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Addr: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i + 1)})}
		if s := f.Scenario.Skew; s > 0 {
			h.Skew = time.Duration(f.rng.Int64N(2*int64(s)+1)) - s
		}
		f.hosts = append(f.hosts, h)
		for k := range 2 {
			p := &Process{Host: h, PID: uint32(1000 + 2*i + k), Port: uint16(8000 + k)}
			p.Proxy = f.chance(f.Scenario.Proxies)
			p.SDK = f.Scenario.App == SDK && f.rng.IntN(2) == 0
			if i == f.Scenario.Hosts {
				// The last host is where requests come from.
				p.SDK, f.outside = false, p
				break
			}
			f.processes = append(f.processes, p)
		}
	}
}

func (f *Forest) chance(p float64) bool { return p > 0 && f.rng.Float64() < p }

func (f *Forest) add(s *Span) *Span {
	s.N = len(f.Spans)
	f.Spans = append(f.Spans, s)
	s.Process.spans = append(s.Process.spans, s)
	f.tree++
	if s.Parent != nil {
		s.depth = s.Parent.depth + 1
	}
	return s
}

// byStart orders spans by when they began.
func byStart(a, b *Span) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.N, b.N)) }

// Exchanges are the raw spans of each process, in order of their start.
func (f *Forest) exchanges() (out [][]*Span) {
	for _, p := range append(slices.Clone(f.processes), f.outside) {
		raw := slices.DeleteFunc(slices.Clone(p.spans), func(s *Span) bool { return s.SDK })
		slices.SortFunc(raw, byStart)
		out = append(out, raw)
	}
	return out
}
