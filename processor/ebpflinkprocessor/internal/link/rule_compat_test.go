package link

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func foreign(s *seen) { s.Foreign = true }

// chain sets the ids that a thread had before and after.
func chain(before, after uint64) func(*seen) {
	return func(s *seen) { s.Foreign, s.ReqChain, s.RespChain = true, before, after }
}

// tap sets the place of capture.
func tap(name string) func(*seen) {
	return func(s *seen) {
		if s.Foreign, s.Tap = true, Tap(name); OnTheWire(s.Tap) {
			s.Role = Other
		}
	}
}

func TestCompat(t *testing.T) {
	linked := func(parent byte, confidence float32, candidates uint32) wanted {
		return wanted{parent, Compat, Linked, confidence, candidates}
	}
	failed := func(o Outcome, candidates uint32) wanted { return wanted{0, Compat, o, 0, candidates} }
	nothing := wanted{outcome: NoReference}
	const a, b, c, d = 0xa, 0xb, 0xc, 0xd

	for _, tt := range []struct {
		name  string
		facts []seen
		want  wanted
	}{
		// One id for a request and its calls: DataKit's thread_trace_id.
		{"consumed", []seen{in(1, client(1, 10), chain(a, 0)), in(1, server(2, 0), chain(a, 0))}, linked(2, ConsumedConfidence, 1)},
		{"consumed, the request read late", []seen{in(1, client(1, 10), chain(a, 0)), in(1, server(2, 5000), chain(a, 0))}, linked(2, ConsumedConfidence, 1)},
		{"consumed, the call read late", []seen{in(1, client(1, 5000), chain(a, 0)), in(1, server(2, 0), chain(a, 0))}, linked(2, ConsumedConfidence, 1)},
		{"consumed long after", []seen{in(1, client(1, 7000), chain(a, 0)), in(1, server(2, 0), chain(a, 0))}, failed(Inadmissible, 1)},
		{"consumed, of another process", []seen{in(1, client(1, 10), chain(a, 0)), in(2, server(2, 0), chain(a, 0))}, failed(Inadmissible, 0)},
		{"consumed, process unknown", []seen{in(0, client(1, 10), chain(a, 0)), in(2, server(2, 0), chain(a, 0))}, linked(2, ConsumedConfidence, 1)},
		{"consumed, of another host", []seen{in(1, client(1, 10, host(2)), chain(a, 0)), in(1, server(2, 0), chain(a, 0))}, failed(NoCandidate, 0)},
		{"consumed, host unknown", []seen{in(1, client(1, 10, host(0)), chain(a, 0)), in(1, server(2, 0, host(0)), chain(a, 0))}, nothing},
		{"consumed twice", []seen{in(1, client(1, 10), chain(a, 0)), in(1, server(2, 0), chain(a, 0)), in(1, server(3, 0), chain(a, 0))}, failed(Ambiguous, 2)},
		{"ours never, whatever it carries", []seen{in(1, client(1, 10), func(s *seen) { s.ReqChain = a }), in(1, server(2, 0), chain(a, 0))}, nothing},
		{"to ours never", []seen{in(1, client(1, 10), chain(a, 0)), in(1, server(2, 0), func(s *seen) { s.ReqChain = a })}, failed(NoCandidate, 0)},

		// A chain of ids: DeepFlow's syscall_trace_id_request and _response.
		{"first call", []seen{in(1, client(1, 10), chain(a, b)), in(1, server(2, 0), chain(a, d))}, linked(2, ConsumedConfidence, 1)},
		{"last call", []seen{in(1, client(1, 10), chain(c, d)), in(1, server(2, 0), chain(a, d))}, linked(2, ConsumedConfidence, 1)},
		{"last call, of unknown request", []seen{in(1, client(1, 10), chain(0, d)), in(1, server(2, 0), chain(a, d))}, linked(2, ConsumedConfidence, 1)},
		{"call in the middle", []seen{
			in(1, client(1, 20), chain(b, c)), in(1, server(2, 0), chain(a, d)),
			in(1, client(3, 10), chain(a, b)), in(1, client(4, 30), chain(c, d)),
		}, linked(2, ConsumedConfidence, 1)},
		{"call in the middle, the next is lost", []seen{
			in(1, client(1, 20), chain(b, c)), in(1, server(2, 0), chain(a, d)), in(1, client(3, 10), chain(a, b)),
		}, linked(2, ConsumedConfidence, 1)},
		{"call in the middle, the first is lost", []seen{
			in(1, client(1, 20), chain(b, c)), in(1, server(2, 0), chain(a, d)), in(1, client(3, 10), chain(c, d)),
		}, linked(2, ConsumedConfidence, 1)},
		{"call in the middle, both are lost", []seen{in(1, client(1, 20), chain(b, c)), in(1, server(2, 0), chain(a, d))}, failed(NoCandidate, 0)},
		{"chain, before the request", []seen{in(1, client(1, 10), chain(a, b)), in(1, server(2, 20), chain(a, d))}, failed(Inadmissible, 0)},
		{"chain, after the response: an id that was left over", []seen{in(1, client(1, 200), chain(a, b)), in(1, server(2, 0), chain(a, d))}, failed(Inadmissible, 0)},
		{"chain, the other way round", []seen{in(1, client(1, 10), chain(d, a)), in(1, server(2, 0), chain(a, d))}, linked(2, ConsumedConfidence, 1)},
		{"chain without ids", []seen{in(1, client(1, 10), chain(0, 0)), in(1, server(2, 0), chain(0, 0))}, nothing},
		{"chain that two requests claim", []seen{in(1, client(1, 10), chain(a, b)), in(1, server(2, 0), chain(a, d)), in(1, server(3, 0), chain(a, c))}, failed(Ambiguous, 2)},
		{"chain of another process", []seen{in(1, client(1, 10), chain(a, b)), in(2, server(2, 0), chain(a, d))}, failed(Inadmissible, 0)},

		// Sequence numbers whose times are off.
		{"numbers, read late", []seen{in(1, server(1, -5000, seq(1, 2), host(2)), foreign), in(1, client(2, 0, seq(1, 2)), foreign)}, linked(2, WireConfidence, 1)},
		{"numbers, read far too late", []seen{in(1, server(1, -7000, seq(1, 2), host(2)), foreign), in(1, client(2, 0, seq(1, 2)), foreign)}, wanted{0, TCPSeq, Inadmissible, 0, 1}},
		{"numbers, read late by us", []seen{in(1, server(1, -5000, seq(1, 2), host(2))), in(1, client(2, 0, seq(1, 2)), foreign)}, wanted{0, TCPSeq, Inadmissible, 0, 1}},
		{"numbers, the call is ours", []seen{in(1, server(1, -5000, seq(1, 2), host(2)), foreign), in(1, client(2, 0, seq(1, 2)))}, wanted{0, TCPSeq, Inadmissible, 0, 1}},
		{"numbers in time", []seen{in(1, server(1, 0, seq(1, 2)), foreign), in(1, client(2, 0, seq(1, 2)), foreign)}, wanted{2, TCPSeq, Linked, 1, 1}},

		// One call captured on its way.
		{"the next place", []seen{in(0, client(1, 1, seq(1, 2)), tap("c")), in(1, client(2, 0, seq(1, 2)), tap("c-p"))}, linked(2, WireConfidence, 1)},
		{"the nearest place", []seen{
			in(0, server(1, 3, seq(1, 2), host(2)), tap("s")), in(1, client(2, 0, seq(1, 2)), tap("c-p")),
			in(0, client(3, 2, seq(1, 2)), tap("c-nd")), in(0, client(4, 1, seq(1, 2)), tap("c")),
		}, linked(3, WireConfidence, 3)},
		{"a later place", []seen{in(0, client(1, 1, seq(1, 2)), tap("c")), in(0, server(2, 0, seq(1, 2)), tap("s"))}, failed(Inadmissible, 0)},
		{"two observers of one place", []seen{
			in(0, server(1, 3, seq(1, 2), host(2)), tap("s")),
			in(0, client(3, 2, seq(1, 2)), tap("c")), in(0, client(4, 1, seq(1, 2)), tap("c")),
		}, failed(Ambiguous, 2)},
		{"the process goes under the call, not under the network", []seen{
			in(2, server(1, 3, seq(1, 2), host(2)), tap("s-p")), in(1, client(2, 0, seq(1, 2)), tap("c-p")),
			in(0, server(3, 2, seq(1, 2), host(2)), tap("s")),
		}, wanted{2, TCPSeq, Linked, 1, 1}},
		{"the caller is not traced", []seen{
			in(2, server(1, 3, seq(1, 2), host(2)), tap("s-p")), in(0, server(3, 2, seq(1, 2), host(2)), tap("s")),
		}, linked(3, WireConfidence, 1)},
		{"an earlier place, later by more than the way", []seen{in(0, client(1, 1, seq(1, 2)), tap("c")), in(1, client(2, 63, seq(1, 2)), tap("c-p"))}, failed(Inadmissible, 1)},
		{"an earlier place, later by the way", []seen{in(0, client(1, 1, seq(1, 2)), tap("c")), in(1, client(2, 61, seq(1, 2)), tap("c-p"))}, linked(2, WireConfidence, 1)},
		{"no response seen", []seen{in(0, client(1, 1, seq(1, 0)), tap("c")), in(1, client(2, 0, seq(1, 0)), tap("c-p"))}, nothing},
		{"a place that is on no way", []seen{in(0, client(1, 1, seq(1, 2)), tap("local")), in(1, client(2, 0, seq(1, 2)), tap("c-p"))}, nothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules := append(RuleNames(), Compat)
			resolves(t, rules, tt.facts, tt.want)
			if tt.want.rule == Compat {
				x := New(RuleNames(), 0)
				for _, f := range tt.facts {
					x.AddRare(f.Fact, f.Rare)
				}
				require.Equal(t, None, x.Resolve(0).Parent, "off by default")
			}
			finds(t, rules, tt.facts, tt.want)
		})
	}
}

// finds checks that a parent finds the child, too: a trace is gathered downwards.
func finds(t *testing.T, rules []string, facts []seen, want wanted) {
	t.Helper()
	x := New(rules, 0)
	parent := None
	for _, f := range facts {
		if id := x.AddRare(f.Fact, f.Rare); f.Span == span(want.parent) {
			parent = id
		}
	}
	if want.parent == 0 {
		return
	}
	met := false
	x.Referrers(parent, func(id ID) bool {
		met = met || id == 0
		return true
	})
	require.True(t, met)
}

// TestCompatChainIsBounded: what thousands of spans are connected by is no request.
func TestCompatChainIsBounded(t *testing.T) {
	own := Limits{Candidates: DefaultMaxCandidates}
	longer := Limits{Candidates: DefaultMaxCandidates, Rules: map[string]int{Compat: 2000}}
	bounded := Limits{Candidates: 100, Rules: map[string]int{Compat: 2000}}
	for _, tt := range []struct {
		limits Limits
		calls  int
		want   Outcome
	}{
		{own, maxChain - 2, Linked},
		{own, maxChain, Overrun},
		{longer, 1998, Linked},
		{longer, 2000, Overrun},
		{bounded, 98, Linked},
		{bounded, 100, Overrun},
	} {
		x := NewLimited([]string{Compat}, 0, tt.limits)
		x.AddRare(server(1, 0, lasts(1<<20)), Rare{Foreign: true, ReqChain: 1, RespChain: 1 << 30})
		var last ID
		for i := range tt.calls + 1 {
			last = x.AddRare(client(2, int64(i)), Rare{Foreign: true, ReqChain: uint64(1 + i), RespChain: uint64(2 + i)})
		}
		require.Equal(t, tt.want.String(), x.Resolve(last).Outcome.String(), tt.calls)
	}
}

// TestForeignTimesSayNothingOfClocks: they are read at other moments.
func TestForeignTimesSayNothingOfClocks(t *testing.T) {
	x := New(append(RuleNames(), Compat), 0)
	for i := range uint32(20) {
		x.AddRare(client(2, 0, seq(i+1, 2)), Rare{Foreign: true})
		x.AddRare(server(3, 5000, seq(i+1, 2), host(2)), Rare{Foreign: true})
	}
	_, known := x.clocks.between(1, 2, 0)
	require.False(t, known)
}
