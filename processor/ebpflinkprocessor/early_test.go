package ebpflinkprocessor

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

var (
	inside  = netip.MustParseAddrPort("10.0.0.1:1234")
	outside = netip.MustParseAddrPort("203.0.113.9:443")
)

func tracedHere(c *Config) { c.TracedNetworks = []string{"10.0.0.0/8"} }

// answers says how many calls a request made.
func answers(s spanSpec, calls int) spanSpec {
	s.link.Calls, s.link.HasCalls = calls, true
	return s
}

func at(s spanSpec, peer netip.AddrPort) spanSpec {
	s.link.Peer = peer
	return s
}

// wholeTrace: a request from outside, a call to another host, and one to a database outside.
func wholeTrace() map[string]spanSpec {
	_, in := call(0, 1, "", "a", 0, 100, 10, 0, 7)
	c, s := call(2, 3, "a", "b", 10, 50, 20, 7, 8)
	db, _ := call(4, 0, "b", "", 20, 10, 30, 8, 0)
	return map[string]spanSpec{
		"in": at(answers(in, 1), outside), "call": at(c, inside), "server": at(answers(s, 1), inside), "db": at(db, outside),
	}
}

func TestWholeTracesLeaveEarly(t *testing.T) {
	type trace = map[string]spanSpec
	change := func(name string, fn func(*spanSpec)) func(trace) {
		return func(m trace) {
			s := m[name]
			fn(&s)
			m[name] = s
		}
	}
	for name, tt := range map[string]struct {
		change func(trace)
		config func(*Config)
		whole  bool
	}{
		"whole": {whole: true},
		"a root that calls": {change: func(m trace) {
			m["in"], _ = call(1, 0, "a", "", 0, 100, 10, 0, 0)
			m["call"], m["in2"] = m["in"], m["call"]
			delete(m, "in")
		}},
		"not asked for":     {config: func(c *Config) { c.EarlyRelease = false }},
		"nothing known":     {config: func(c *Config) { c.TracedNetworks = nil }},
		"database traced":   {change: change("db", func(s *spanSpec) { *s = at(*s, inside) })},
		"caller traced":     {change: change("in", func(s *spanSpec) { *s = at(*s, inside) })},
		"caller unknown":    {change: change("in", func(s *spanSpec) { s.link.Peer = netip.AddrPort{} })},
		"calls not counted": {change: change("server", func(s *spanSpec) { s.link.HasCalls = false })},
		"root not counted":  {change: change("in", func(s *spanSpec) { s.link.HasCalls = false })},
		"a call missing":    {change: change("server", func(s *spanSpec) { s.link.Calls = 2 })},
		"one call too many": {change: change("server", func(s *spanSpec) { s.link.Calls = 0 })},
		"too many to count": {change: change("server", func(s *spanSpec) { s.link.Calls = 255 })},
		"server missing":    {change: func(m trace) { delete(m, "server"); delete(m, "db") }},
		"call missing":      {change: func(m trace) { delete(m, "call") }},
		"in a header":       {change: change("db", func(s *spanSpec) { s.link.AppTraceID, s.link.AppParentID = traceID(5), spanID(50) })},
		"half a header":     {change: change("in", func(s *spanSpec) { s.link.AppTraceID = traceID(5) })},
		"still open":        {change: change("server", func(s *spanSpec) { s.link.Pending = true })},
		"by context only":   {change: change("db", func(s *spanSpec) { s.link.Systrace, s.link.PseudoThread = 0, 5 })},
		"two ends":          {change: func(m trace) { s := m["server"]; s.id, s.link.Systrace = 9, 99; m["twin"] = s }},
		"two callers":       {change: func(m trace) { s := m["call"]; s.id, s.host, s.link.Systrace = 9, "z", 99; m["twin"] = s }},
		"late of another":   {change: change("db", func(s *spanSpec) { s.link.LateOf = 5 })},
		"an SDK's span below": {change: func(m trace) {
			m["sdk"] = spanSpec{id: 9, kind: ptrace.SpanKindInternal, trace: 5, parent: 4, duration: 1}
		}, whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			config := tt.config
			if config == nil {
				config = func(*Config) {}
			}
			r := newRig(t, tracedHere, config)
			m := wholeTrace()
			if tt.change != nil {
				tt.change(m)
			}
			for _, s := range m {
				r.consume(s)
			}
			r.pass(3 * time.Second)
			left := len(r.sink.spans())
			if tt.whole {
				require.Equal(t, 4, left)
				require.EqualValues(t, 1, r.metric("traces_whole", ""))
			} else {
				require.Zero(t, left)
				require.Zero(t, r.metric("traces_whole", ""))
			}
			r.pass(30 * time.Second)
			require.Zero(t, r.held.Load())
			require.Zero(t, r.metric("spans_late", ""))
		})
	}
}

// TestCallerAsRootLeavesEarly: a program that calls and serves nothing refers to no parent at all.
func TestCallerAsRootLeavesEarly(t *testing.T) {
	r := newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(answers(s, 0))
	r.consume(c)
	r.consume(c)
	r.pass(3 * time.Second)
	require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
	r.pass(30 * time.Second)
	require.Zero(t, r.held.Load())
}

// traffic makes random traces with the times at which their spans arrive. Of some something is missing, or
// not said, so that they are not provably whole.
type traffic struct {
	*rand.Rand
	spans []arriving
	next  uint64
	seq   uint32
}

type arriving struct {
	spanSpec
	after time.Duration
}

func (g *traffic) put(s spanSpec, spread time.Duration) {
	if g.IntN(50) == 0 { // lost
		return
	}
	a := arriving{s, time.Duration(s.start+s.duration)*time.Millisecond + time.Duration(g.Int64N(int64(spread)))}
	g.spans = append(g.spans, a)
	if g.IntN(20) == 0 { // sent again
		a.after += time.Duration(g.Int64N(int64(spread)))
		g.spans = append(g.spans, a)
	}
	if s.kind == ptrace.SpanKindServer && g.IntN(20) == 0 { // announced
		a.link.Pending, a.link.RespSeq, a.link.HasCalls, a.link.Calls = true, 0, false, 0
		a.after = time.Duration(s.start) * time.Millisecond
		g.spans = append(g.spans, a)
	}
}

// serve makes the request that caller makes, and what it leads to.
func (g *traffic) serve(host, from, to, depth int, seq uint32, peer netip.AddrPort, spread time.Duration) {
	g.next++
	systrace := g.next
	s := spanSpec{
		id: g.next<<8 | 1, host: fmt.Sprint("h", host), kind: ptrace.SpanKindServer, start: from, duration: to - from,
		link: rawspan.Link{ReqSeq: seq, RespSeq: seq + 1, Systrace: systrace, Peer: peer, HasCalls: g.IntN(15) > 0},
	}
	calls := 0
	if depth < 4 {
		calls = g.IntN(4)
	}
	for i := range calls {
		a := from + 1 + i*(to-from)/calls
		b := a + max(2, (to-from)/calls-2)
		if g.IntN(10) == 0 { // nobody waits for its answer
			b += 3000
		}
		g.seq += 10
		c := spanSpec{
			id: g.next<<8 | uint64(16+i), host: s.host, kind: ptrace.SpanKindClient, start: a, duration: b - a,
			link: rawspan.Link{ReqSeq: g.seq, RespSeq: g.seq + 1, Systrace: systrace, Peer: outside},
		}
		c.id = systrace<<8 | uint64(16+i)
		if g.IntN(3) > 0 {
			c.link.Peer = inside
			g.serve(g.IntN(6), a, b, depth+1, g.seq, inside, spread)
		}
		if g.IntN(40) == 0 {
			c.link.AppTraceID, c.link.AppParentID = traceID(systrace), spanID(5)
		}
		g.put(c, spread)
	}
	s.link.Calls = calls
	if !s.link.HasCalls {
		s.link.Calls = 0
	}
	g.put(s, spread)
}

// TestEarlyReleaseGivesTheSameTraces: whatever arrives when, ids and parents are those of the full window;
// only the time differs, and a trace that left early left whole.
func TestEarlyReleaseGivesTheSameTraces(t *testing.T) {
	for seed := range uint64(12) {
		g := &traffic{Rand: rand.New(rand.NewPCG(seed, 7)), seq: 1000}
		spread := []time.Duration{300 * time.Millisecond, 3 * time.Second, 9 * time.Second}[seed%3]
		for i := range 60 {
			g.seq += 10
			if from := 200 * i; g.IntN(3) == 0 {
				g.next++
				c := spanSpec{
					id: g.next << 8, host: "caller", kind: ptrace.SpanKindClient, start: from, duration: 400,
					link: rawspan.Link{ReqSeq: g.seq, RespSeq: g.seq + 1, Peer: inside},
				}
				g.put(c, spread)
				g.serve(g.IntN(6), from+1, from+399, 0, g.seq, inside, spread)
			} else {
				g.serve(g.IntN(6), from, from+400, 0, g.seq, outside, spread)
			}
		}
		slices.SortStableFunc(g.spans, func(a, b arriving) int { return cmp.Compare(a.after, b.after) })
		type place struct {
			trace  pcommon.TraceID
			parent uint64
		}
		run := func(early bool) (map[uint64]place, *rig) {
			r := newRig(t, tracedHere, func(c *Config) { c.EarlyRelease = early })
			now := time.Duration(0)
			for _, a := range g.spans {
				if d := a.after - now; d > 0 {
					r.clock.advance(d)
					now = a.after
					for r.round(t.Context(), false) {
					}
				}
				r.consume(a.spanSpec)
			}
			r.pass(45 * time.Second)
			out := map[uint64]place{}
			for id, spans := range r.sink.spans() {
				require.Len(t, spans, 1)
				out[id] = place{spans[0].TraceID(), parentOf(spans[0])}
			}
			require.Zero(t, r.held.Load())
			return out, r
		}
		full, _ := run(false)
		got, r := run(true)
		require.Equal(t, full, got, "seed %d", seed)
		require.Greater(t, r.metric("traces_whole", ""), int64(10), "seed %d", seed)
		// What left as a whole was it: no trace is in two deliveries of which the first was early.
		require.Zero(t, r.metric("spans_late", ""), "seed %d", seed)
	}
}

func TestNetworks(t *testing.T) {
	ns, err := parseNetworks([]string{"10.0.0.0/8", "fd00::/8"})
	require.NoError(t, err)
	for addr, want := range map[string]bool{
		"10.1.2.3": false, "::ffff:10.1.2.3": false, "fd00::1": false, "11.0.0.1": true, "2001:db8::1": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "fe80::1%eth0": false, "169.254.1.1": false, "0.0.0.0": false,
	} {
		require.Equal(t, want, ns.exclude(netip.MustParseAddr(addr)), addr)
	}
	require.False(t, ns.exclude(netip.Addr{}))
	require.False(t, networks(nil).exclude(netip.MustParseAddr("11.0.0.1")))
	_, err = parseNetworks([]string{"10.0.0.1/8", "ten"})
	require.ErrorContains(t, err, "write 10.0.0.0/8")
	require.ErrorContains(t, err, `traced_networks[1]: "ten" is no network`)
}
