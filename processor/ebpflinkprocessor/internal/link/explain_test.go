package link

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// explained is an explanation in a few words: each search, what it found, who lost and why.
func explained(es []Explanation) (out []string) {
	for _, e := range es {
		line := fmt.Sprintf("%s %s %s shared=%d", e.Rule, e.Class, e.Outcome, e.Shared)
		if e.Withdrawn {
			line = e.Rule + " withdrawn"
		}
		if e.Linked {
			line += fmt.Sprintf(" parent=%d", e.Parent[7])
		}
		for _, f := range e.Facts {
			line += fmt.Sprintf(" %s:%s", f.Fact, f.Verdict)
		}
		out = append(out, line)
		for _, l := range e.Losers {
			line := fmt.Sprintf("  not %d: %s", l.Span[7], l.Why)
			if l.Rival != (SpanID{}) {
				line += fmt.Sprintf(" rival=%d", l.Rival[7])
			}
			if l.Fact.Fact != "" {
				line += fmt.Sprintf(" %s [%s | %s]", l.Fact.Fact, l.Fact.Child, l.Fact.Parent)
			}
			out = append(out, line)
		}
		if e.Omitted > 0 {
			out = append(out, fmt.Sprintf("  and %d more", e.Omitted))
		}
	}
	return out
}

func TestExplain(t *testing.T) {
	day := func(f *Fact) { f.Start += int64(24 * time.Hour); f.End += int64(24 * time.Hour) }
	for _, tt := range []struct {
		name  string
		facts []Fact
		want  []string
	}{
		{"nothing to say", []Fact{client(1, 10)}, nil},
		{
			"a pair",
			[]Fact{server(1, 0, seq(10, 20)), client(2, 0, seq(10, 20))},
			[]string{"tcp_seq exact linked shared=2 parent=2 tcp.req_seq:equal tcp.resp_seq:equal ports:absent client_address:absent server_address:absent time:inside"},
		},
		{
			"the addresses decide",
			[]Fact{
				server(1, 0, seq(10, 20), addrs(5, 6), ports(80, 999)),
				client(2, 0, seq(10, 20), addrs(6, 5), ports(999, 80)),
				client(3, 0, seq(10, 20), addrs(7, 5), ports(999, 80), host(2)),
				client(4, 0, seq(10, 20), addrs(6, 5), ports(998, 80)),
				client(5, 102, seq(10, 20), addrs(6, 5), ports(999, 80)),
			},
			[]string{
				"tcp_seq exact linked shared=5 parent=2 tcp.req_seq:equal tcp.resp_seq:equal ports:equal client_address:equal server_address:equal time:inside",
				"  not 3: weaker client_address [00000006:999 | 00000007:999]",
				"  not 5: before_request time [1970-01-01T00:00:00.000000000Z/1970-01-01T00:00:00.100000000Z | 1970-01-01T00:00:00.102000000Z/1970-01-01T00:00:00.202000000Z]",
				"  not 4: conflict ports [999>80 | 998>80]",
			},
		},
		{
			"two equally good, then a weaker rule",
			[]Fact{client(1, 10, systrace(7), thread(9, .8), lasts(10)), server(2, 0, systrace(7)), server(3, 1, systrace(7)), server(4, 0, thread(9, 0))},
			[]string{
				"systrace exact ambiguous shared=3",
				"  not 3: equally_good",
				"  not 2: equally_good",
				"pseudo_thread probable linked shared=2 parent=4 host.id:equal ebpf.pseudo_thread.id:equal syscall.trace_id:absent time:inside",
			},
		},
		{
			"late, outliving and of another request",
			[]Fact{
				client(1, 110, systrace(7), thread(9, .8), lasts(50), day), server(2, 0, thread(9, 0), day), server(3, 50, thread(9, 0), day),
				server(4, 50, systrace(8), thread(9, 0), day),
			},
			[]string{
				"systrace exact no_candidate shared=1",
				"pseudo_thread probable inadmissible shared=4",
				"  not 3: outlives_parent time [1970-01-02T00:00:00.110000000Z/1970-01-02T00:00:00.160000000Z | 1970-01-02T00:00:00.050000000Z/1970-01-02T00:00:00.150000000Z]",
				"  not 2: after_response time [1970-01-02T00:00:00.110000000Z/1970-01-02T00:00:00.160000000Z | 1970-01-02T00:00:00.000000000Z/1970-01-02T00:00:00.100000000Z]",
				"  not 4: conflict syscall.trace_id [0000000000000007 | 0000000000000008]",
			},
		},
		{
			"a header that names an eBPF span",
			[]Fact{client(1, 10, carries(102, 2)), server(2, 0)},
			[]string{"app_context exact linked shared=2 parent=2 trace_context:equal time:inside"},
		},
		{
			"a proxy that passes the header on",
			[]Fact{client(1, 10, carries(1, 2), systrace(7)), sdk(2, Client, 0, 1, 0), server(3, 0, systrace(7), carries(1, 2))},
			[]string{
				"app_context withdrawn",
				"systrace exact linked shared=2 parent=3 host.id:equal syscall.trace_id:equal time:inside",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for shift := range tt.facts {
				x := New(RuleNames(), 500*time.Millisecond)
				var child ID
				for i := range tt.facts {
					id := x.Add(tt.facts[(i+shift)%len(tt.facts)])
					if (i+shift)%len(tt.facts) == 0 {
						child = id
					}
				}
				require.Equal(t, tt.want, explained(x.Explain(child, 20*time.Second)))
			}
		})
	}
}

// TestExplainNamesAFewLosers, however many there are.
func TestExplainNamesAFewLosers(t *testing.T) {
	x := New(RuleNames(), 0)
	c := x.Add(client(1, 50, thread(9, 0), lasts(1)))
	for i := range byte(100) {
		x.Add(server(2+i, int64(i)/2, thread(9, 0)))
	}
	got := x.Explain(c, 20*time.Second)
	require.Len(t, got, 1)
	require.Len(t, got[0].Losers, MaxLosers)
	require.Equal(t, 100-MaxLosers, got[0].Omitted)
	require.Equal(t, 101, got[0].Shared)
	for i, l := range got[0].Losers {
		require.Equal(t, "equally_good", l.Why)
		require.Equal(t, []byte{100, 101, 98, 99, 96}[i], l.Span[7], "the nearest first")
	}
}

// TestExplainShowsTheClocks of two hosts where they are known.
func TestExplainShowsTheClocks(t *testing.T) {
	x := New(RuleNames(), 500*time.Millisecond)
	var last ID
	for _, f := range new(world).calls(3, 1, 2, 0, 700).facts {
		last = x.Add(f)
	}
	got := x.Explain(last, 20*time.Second)
	require.Len(t, got, 1)
	facts := got[0].Facts
	require.Equal(t, Compared{Fact: "clock_offset", Verdict: "estimated", Child: "698ms to 702ms ahead"}, facts[len(facts)-1])
}

// TestExplainCountsWhatIsNear: of all that share a key those that are open within the window, or by how much clocks may
// differ beyond it, whatever the order of arrival and whatever has gone, in a crowd or not.
func TestExplainCountsWhatIsNear(t *testing.T) {
	const window = 20 * time.Second
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		n := []int{3, 30, 63, 64, 65, 66, 300}[rng.IntN(7)]
		c := in(1, client(1, 0, thread(7, .8)))
		c.RequestID = 9
		if rng.IntN(4) == 0 {
			pending(&c.Fact)
		}
		near := 1
		spans := []seen{c}
		for i := range n {
			s := c
			s.Pending, s.Span[0], s.Span[1], s.Role = false, byte(i), byte(1+i>>8), Role(1+rng.IntN(2))
			reach := int64(window + SameHostTolerance)
			// Many at the very edges, and some that began long before.
			s.End = c.Start - reach - []int64{0, 0, 1, rng.Int64N(int64(time.Minute)), -rng.Int64N(int64(time.Minute))}[rng.IntN(5)]
			if s.Start = s.End - []int64{0, ms, int64(time.Hour)}[rng.IntN(3)]; rng.IntN(3) == 0 {
				s.Start = c.Start + 100*ms + reach + []int64{0, 0, 1, rng.Int64N(int64(time.Minute))}[rng.IntN(4)]
				s.End = s.Start + ms
			}
			if rng.IntN(10) == 0 {
				s.Pending, s.End = true, 0
			}
			if (s.Start <= c.Start+100*ms+reach || c.Pending) && (s.Pending || s.End >= c.Start-reach) {
				near++
			}
			spans = append(spans, s)
		}
		x := New(RuleNames(), 500*time.Millisecond)
		child, gone := None, []ID(nil)
		for _, i := range rng.Perm(len(spans)) {
			guest := spans[i]
			guest.Span[2] = 1
			gone = append(gone, x.AddRare(guest.Fact, guest.Rare))
			if id := x.AddRare(spans[i].Fact, spans[i].Rare); i == 0 {
				child = id
			}
		}
		x.Remove(gone)
		all := x.Explain(child, window)
		require.NotEmpty(t, all)
		for _, e := range all {
			require.Equal(t, near, e.Shared, "seed %d, %d spans, %s", seed, n, e.Rule)
			require.Equal(t, n+1, e.Known)
		}
	}
}

// TestExplainOfAKeyThatAllShare costs no more than one of as many spans as a key keeps.
func TestExplainOfAKeyThatAllShare(t *testing.T) {
	x := New(RuleNames(), 0)
	child := None
	for i := range 2*maxDefs + 1 {
		f := sdk(1, Client, 0, 1, 2)
		f.Span[0], f.Span[1], f.Span[2] = byte(i), byte(i>>8), byte(i>>16)
		child = x.Add(f)
	}
	got := x.Explain(child, time.Second)
	require.Equal(t, 2*maxDefs+1, got[0].Known)
	require.InDelta(t, maxDefs, got[0].Shared, chunkSize)
}

// TestExplainCountsASpanOnce, also where it defines the key that it refers to.
func TestExplainCountsASpanOnce(t *testing.T) {
	x := New([]string{Compat}, 0)
	child := None
	for i, place := range []string{"c-p", "c", "c-nd", "s"} {
		s := in(0, client(byte(1+i), 0, seq(5, 6)), tap(place))
		child = x.AddRare(s.Fact, s.Rare)
	}
	got := x.Explain(child, time.Second)
	require.Equal(t, 4, got[len(got)-1].Shared)
	require.Equal(t, 4, got[len(got)-1].Known)
}

// TestEveryRowSaysWhatItCompares, or its links could not be explained.
func TestEveryRowSaysWhatItCompares(t *testing.T) {
	for i := range rows {
		require.NotEmpty(t, rows[i].compares.key, "row %d, %s", i, rows[i].rule)
	}
}

// TestExplainRefusals: where a rule has refused the only candidate it says by what, and which span is in the way.
func TestExplainRefusals(t *testing.T) {
	situation := func(m spans, child string, changes ...func(spans)) []seen {
		all(changes...)(m)
		out := []seen{{m[child].Fact, Rare{Exchange: m[child].Exchange}}}
		for _, n := range slices.Sorted(maps.Keys(m)) {
			if n != child {
				out = append(out, seen{m[n].Fact, Rare{Exchange: m[n].Exchange}})
			}
		}
		return out
	}
	sameCall := func(child string, changes ...func(spans)) []seen { return situation(sameCalls(), child, changes...) }
	led := func(changes ...func(spans)) []seen {
		m := spans{}
		for n, f := range ledTrace() {
			m[n] = said{Fact: f}
		}
		return situation(m, "root", changes...)
	}
	numbered := func(n byte) func(*said) { return func(s *said) { s.Span = span(n) } }
	unknown := change("call", func(s *said) { s.Systrace = 0 })
	const a = 0xa
	call := func(more ...func(*Fact)) seen { return in(1, client(1, 10, append(more, lasts(20))...)) }
	for _, tt := range []struct {
		name  string
		facts []seen
		rule  string
		want  []string
	}{
		{"a span that is too short", sameCall("root", change("root", func(s *said) { s.End -= 50 * ms })), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 1: leaves_too_much time [1970-01-01T00:00:00.101000000Z/1970-01-01T00:00:00.149000000Z | 1970-01-01T00:00:00.100000000Z/1970-01-01T00:00:00.200000000Z]",
		}},
		{"a request that is still open", sameCall("root", change("wire", func(s *said) { pending(&s.Fact) })), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 1: still_open time [1970-01-01T00:00:00.101000000Z/1970-01-01T00:00:00.199000000Z | 1970-01-01T00:00:00.100000000Z/..]",
		}},
		{"a request of another time", sameCall("root", change("root", move(-50))), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 1: before_request time [1970-01-01T00:00:00.051000000Z/1970-01-01T00:00:00.149000000Z | 1970-01-01T00:00:00.100000000Z/1970-01-01T00:00:00.200000000Z]",
		}},
		{"two children of one request", sameCall("root", add("root", "root2", numbered(9))), SDKSameCall, []string{
			"sdk_same_call probable ambiguous shared=3",
			"  not 1: rival_child rival=9",
		}},
		{"two requests", sameCall("root", add("wire", "wire2", numbered(9))), SDKSameCall, []string{
			"sdk_same_call probable ambiguous shared=3",
			"  not 1: equally_good",
			"  not 9: equally_good",
		}},
		{"a request that a header was read of", sameCall("root",
			change("root", func(s *said) { s.CtxParent = span(8) }),
			add("wire", "reader", all(numbered(9), move(-5000), func(s *said) { s.CtxTrace, s.CtxParent, s.PID = trace(1), span(8), 70 }))), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 1: header_seen rival=9",
		}},
		{"they say nothing alike", sameCall("root", change("root", func(s *said) { s.Exchange = Exchange{PID: 7} })), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			fmt.Sprintf("  not 1: absent http.request.method [ | %d]", WordKey("GET")),
		}},
		{"a call whose SDK's span leads to no request", sameCall("call", without("root")), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 4: absent syscall.trace_id [0000000000000009 | ]",
		}},
		{"a call of another request", sameCall("call", add("wire", "wire2", all(numbered(9), move(500), func(s *said) { s.Systrace = 8 })),
			change("call", func(s *said) { s.Systrace = 8 })), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 4: other_request rival=1",
		}},
		{"a call to another port", sameCall("call", change("call", func(s *said) { s.Peer.Port = 6379 }), change("sdk", func(s *said) { s.Peer.Port = 6380 })), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 4: conflict server.port [6379 | 6380]",
		}},
		{"a call whose SDK's span has a header", sameCall("call", unknown, add("call", "seen", all(numbered(9), func(s *said) { s.CtxTrace, s.CtxParent = trace(1), span(4) }))), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 4: header_seen rival=9",
		}},
		{"a call that came to a request of another's", sameCall("call", change("call", func(s *said) { s.ReqSeq, s.RespSeq = 5, 6 }), answeredFor(8)), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 4: answers_another rival=40",
		}},
		{"an SDK's span whose parent is elsewhere", sameCall("root", change("root", func(s *said) { s.CtxParent = span(8) }),
			add("sdk", "named", all(numbered(8), move(-500), func(s *said) { s.CtxParent = SpanID{} })),
			change("wire", func(s *said) { s.ReqSeq, s.RespSeq = 5, 6 }), add("call", "caller", all(numbered(9), func(s *said) {
				s.ReqSeq, s.RespSeq, s.Start, s.End, s.Host, s.PID, s.Systrace = 5, 6, 99*ms, 201*ms, 3, 3, 0
			}))), SDKSameCall, []string{
			"sdk_same_call probable inadmissible shared=2",
			"  not 1: leads_elsewhere rival=8",
		}},
		{"a root that began before the request", led(change("root", func(s *said) { s.Start = 89 * ms })), AppContext, []string{
			"app_context probable inadmissible shared=3",
			"  not 1: before_request time [1970-01-01T00:00:00.089000000Z/1970-01-01T00:00:00.199000000Z | 1970-01-01T00:00:00.100000000Z/1970-01-01T00:00:00.200000000Z]",
		}},
		{"a root in a request of no known service", led(change("wire", func(s *said) { s.Service = 0 })), AppContext, []string{
			"app_context probable inadmissible shared=3",
			fmt.Sprintf("  not 1: absent service.name [%016x | ]", ServiceKey("shop")),
		}},
		{"a call just before the request with its id", []seen{in(1, client(1, 10), ids(a, 0)), in(1, server(2, 11), ids(a, 0))}, XRequestID, []string{
			"x_request_id probable inadmissible shared=2",
			"  not 2: before_request time [1970-01-01T00:00:00.010000000Z/1970-01-01T00:00:00.110000000Z | 1970-01-01T00:00:00.011000000Z/1970-01-01T00:00:00.111000000Z]",
		}},
		{"a call that took less than the request", []seen{in(2, server(1, 0, host(2)), ids(a, 0)), in(1, client(2, 0, lasts(99), seq(3, 4)), ids(a, 0))}, XRequestID, []string{
			"x_request_id probable inadmissible shared=2",
			"  not 2: longer_than_parent time [1970-01-01T00:00:00.000000000Z/1970-01-01T00:00:00.100000000Z | 1970-01-01T00:00:00.000000000Z/1970-01-01T00:00:00.099000000Z]",
		}},
		{"a call of the request's own process", []seen{in(1, server(1, 10), ids(a, 0)), in(1, client(2, 0), ids(a, 0))}, XRequestID, []string{
			"x_request_id probable inadmissible shared=2",
			"  not 2: unfit process.pid [1 | 1]",
		}},
		{"another try", []seen{
			in(2, server(1, 10, seq(5, 6), addrs(5, 6), ports(80, 999)), ids(a, 0)), in(1, client(2, 0, seq(3, 4), addrs(6, 5), ports(999, 80)), ids(a, 0)),
		}, XRequestID, []string{
			"x_request_id probable inadmissible shared=2",
			"  not 2: conflict tcp.req_seq [5 | 3]",
		}},
		{"a call that another answered", []seen{
			in(2, server(1, 10, host(2), seq(5, 6)), ids(a, 0)), in(1, client(2, 0, seq(3, 4)), ids(a, 0)), in(3, server(3, 5, host(3), seq(3, 4)), ids(a, 0)),
		}, XRequestID, []string{
			"x_request_id probable inadmissible shared=3",
			"  not 2: answered rival=3",
		}},
		{"two calls of a proxy at once", []seen{
			in(1, client(1, 16, lasts(20)), ids(a, 0)), in(1, server(2, 0, addrs(9, 8), ports(80, 999)), ids(a, 0)), in(1, client(3, 5, lasts(90)), ids(a, 0)),
			in(1, server(4, 15, lasts(22), addrs(9, 7), ports(80, 888)), ids(a, 0)), in(1, client(5, 16, lasts(20)), ids(a, 0)),
		}, XRequestID, []string{
			"x_request_id probable ambiguous shared=5",
			"  not 4: equally_good rival=5",
			"  not 2: equally_good",
		}},
		{"another request begins during the call", []seen{call(), in(1, server(2, 0)), in(1, server(3, 29))}, Timing, []string{
			"timing statistical ambiguous shared=3",
			"  not 2: rival_parent rival=3",
			"  not 3: before_request time [1970-01-01T00:00:00.010000000Z/1970-01-01T00:00:00.030000000Z | 1970-01-01T00:00:00.029000000Z/1970-01-01T00:00:00.129000000Z]",
		}},
		{"another ends during the call", []seen{call(), in(1, server(2, 0)), in(1, server(3, -90, lasts(101)))}, Timing, []string{
			"timing statistical ambiguous shared=3",
			"  not 2: rival_parent rival=3",
			"  not 3: outlives_parent time [1970-01-01T00:00:00.010000000Z/1970-01-01T00:00:00.030000000Z | 1969-12-31T23:59:59.910000000Z/1970-01-01T00:00:00.011000000Z]",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for shift := range tt.facts {
				x := New(append(RuleNames(), Timing), 500*time.Millisecond)
				var child ID
				for i := range tt.facts {
					n := (i + shift) % len(tt.facts)
					if id := x.AddRare(tt.facts[n].Fact, tt.facts[n].Rare); n == 0 {
						child = id
					}
				}
				var of []Explanation
				for _, e := range x.Explain(child, 20*time.Second) {
					if e.Rule == tt.rule && len(e.Losers) > 0 {
						of = append(of, e)
					}
				}
				require.Equal(t, tt.want, explained(of))
			}
		})
	}
}

// TestExplainTheCallerOfARequest compares the spans that share the process, and what the SDK's one of them names.
func TestExplainTheCallerOfARequest(t *testing.T) {
	m := sameCalls()
	change("root", func(s *said) { s.CtxParent = span(8) })(m)
	add("sdk", "named", func(s *said) {
		s.Span, s.CtxParent, s.PID, s.Service, s.Start, s.End = span(8), SpanID{}, 70, 6, 98*ms, 202*ms
	})(m)
	x := New(RuleNames(), 500*time.Millisecond)
	added := map[string]ID{}
	for n, s := range m {
		added[n] = x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
	}
	require.Equal(t, []string{
		"sdk_same_call probable linked shared=2 parent=8 host.id,process.pid:equal service.name:equal trace_context:equal time:inside",
	}, explained(x.Explain(added["wire"], 20*time.Second)))
}

// TestExplainTellsByTheClocks which of two calls is too early, where the tolerance allows both.
func TestExplainTellsByTheClocks(t *testing.T) {
	x := New(RuleNames(), 500*time.Millisecond)
	for _, f := range new(world).calls(3, 1, 2, 0, 0).facts {
		x.Add(f)
	}
	x.Add(client(100, 0, seq(5000, 6000), host(1)))
	x.Add(client(101, 200, seq(5000, 6000), host(1)))
	got := explained(x.Explain(x.Add(server(102, 10, seq(5000, 6000), host(2))), 20*time.Second))
	require.Len(t, got, 2)
	require.Contains(t, got[0], "linked shared=3 parent=100")
	require.Contains(t, got[1], "not 101: before_request time")
}

// TestExplainAConstant: the only request with an id that too many calls carry is not as good as another.
func TestExplainAConstant(t *testing.T) {
	x := New(RuleNames(), 0)
	for range maxSharers {
		x.AddRare(client(2, 1000), Rare{Process: 1, RequestID: 7})
	}
	x.AddRare(server(3, 0), Rare{Process: 1, RequestID: 7})
	child := x.AddRare(client(1, 10), Rare{Process: 1, RequestID: 7})
	require.Equal(t, []string{
		fmt.Sprintf("x_request_id probable candidate_limit shared=%d", maxSharers+2),
		"  not 3: candidate_limit",
	}, explained(x.Explain(child, 20*time.Second)))
}
