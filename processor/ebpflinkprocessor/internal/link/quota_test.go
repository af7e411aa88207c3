package link

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sharers makes a child, and n spans with the key that it refers to, of which the last is its parent.
type sharers struct {
	rule string
	// own is the limit of the rule, 0 where it has none.
	own int
	// timely: all that have the key are open when the child begins, else only the last.
	timely bool
	// within is what comes of a key that is not refused.
	within Outcome
	child  seen
	parent func(last bool) seen
}

func everySharers() []sharers {
	const ago = -1_000_000
	when := func(last bool) int64 {
		if last {
			return 0
		}
		return ago
	}
	withID := func(f Fact) seen { return seen{f, Rare{Process: 1, RequestID: 7}} }
	alike := sameCalls()
	ofSDK := func(s said) seen { return seen{s.Fact, Rare{Exchange: s.Exchange}} }
	return []sharers{
		{AppContext, 64, true, Ambiguous, in(0, sdk(1, Client, 10, 1, 2)), func(bool) seen { return in(0, sdk(2, Client, 0, 1, 0)) }},
		{AppContext, 64, true, Ambiguous, in(0, sdk(1, Client, 10, 1, 2)), func(bool) seen {
			f := server(2, 0)
			f.OwnTrace = trace(1)
			return in(0, f)
		}},
		{SDKSameCall, 512, true, Linked, ofSDK(alike["root"]), func(last bool) seen {
			s := alike["wire"]
			if !last {
				s.Path = WordKey("/another")
			}
			return ofSDK(s)
		}},
		{TCPSeq, 64, false, Linked, in(0, server(1, 10, seq(5, 6))), func(last bool) seen {
			return in(0, client(2, when(last), seq(5, 6)))
		}},
		{Systrace, 64, false, Linked, in(0, client(1, 10, systrace(7))), func(last bool) seen {
			return in(0, server(2, when(last), systrace(7)))
		}},
		{PseudoThread, 0, true, Linked, in(0, client(1, 10, thread(7, .8), lasts(20))), func(last bool) seen {
			f := server(2, 0, thread(7, .8), lasts(12)) // too short for the call
			if last {
				f.End = 100 * ms
			}
			return in(0, f)
		}},
		{XRequestID, 1024, false, Linked, withID(client(1, 10)), func(last bool) seen { return withID(server(2, when(last))) }},
		{Compat, 0, true, Linked, in(1, client(1, 10), chain(9, 0)), func(last bool) seen {
			s := in(2, server(2, 0), chain(9, 0))
			if last {
				s.Process = 1
			}
			return s
		}},
		{Compat, 1024, true, Linked, in(1, client(1, 10), chain(9, 8)), func(last bool) seen {
			s := in(2, server(2, 0), chain(9, 8))
			if last {
				s.Process = 1
			}
			return s
		}},
	}
}

// outcome of the child with n spans that have its key; an arrival of 0 is that of the child first.
func (s *sharers) outcome(t *testing.T, l Limits, n, arrival int) Outcome {
	x := NewLimited([]string{s.rule}, 0, l)
	all := []seen{s.child}
	for i := range n {
		p := s.parent(i == n-1)
		if s.rule != AppContext { // which goes by the span id
			p.Span[0], p.Span[1] = byte(i), byte(i>>8)
		}
		all = append(all, p)
	}
	if arrival > 0 {
		slices.Reverse(all)
	}
	child := None
	for i := range all {
		if id := x.AddRare(all[i].Fact, all[i].Rare); all[i].Span == s.child.Span {
			child = id
		}
	}
	e := x.Resolve(child)
	if e.Outcome == Linked {
		p := x.Fact(e.Parent).Span
		require.Equal(t, n-1, int(p[0])|int(p[1])<<8)
		met := false
		x.Referrers(e.Parent, func(id ID) bool { met = met || id == child; return true })
		require.True(t, met, "the way down")
	}
	return e.Outcome
}

// TestLimitsOfRules: each rule keeps to the limit it is given, also beyond its own one, and to its own where it is given none.
func TestLimitsOfRules(t *testing.T) {
	for _, s := range everySharers() {
		for _, limit := range []int{0, 1, 5, 63, 64, 65, 100, 700, 2000} {
			l := Limits{Candidates: DefaultMaxCandidates}
			if limit > 0 {
				// Of another rule it says nothing.
				l.Rules = map[string]int{s.rule: limit, Timing: 1}
			} else if limit = s.own; limit == 0 {
				limit = l.Candidates
			}
			t.Run(fmt.Sprint(s.rule, l.Rules[s.rule]), func(t *testing.T) {
				within := s.within
				if limit == 1 {
					within = Linked // one is never ambiguous
				}
				for arrival := range 2 {
					require.Equal(t, within.String(), s.outcome(t, l, limit, arrival).String())
					require.Equal(t, Overrun.String(), s.outcome(t, l, limit+1, arrival).String())
				}
			})
		}
	}
}

// TestMaxCandidatesBoundsAllLimits: whatever a rule is allowed, and it counts what is open when the child begins.
func TestMaxCandidatesBoundsAllLimits(t *testing.T) {
	for _, s := range everySharers() {
		if s.rule == AppContext {
			continue // two that nothing beats end the search
		}
		for _, most := range []int{5, 63, 64, 65, 130} {
			t.Run(fmt.Sprint(s.rule, most), func(t *testing.T) {
				l := Limits{Candidates: most, Rules: map[string]int{s.rule: MaxCandidates}}
				require.Equal(t, s.within.String(), s.outcome(t, l, most, 0).String())
				want := Overrun
				if !s.timely {
					want = s.within
				}
				require.Equal(t, want.String(), s.outcome(t, l, most+1, 0).String())
			})
		}
	}
}

// TestLimitOfSameCallsCountsBothEnds: so many spans may be the same call as the parent, too.
func TestLimitOfSameCallsCountsBothEnds(t *testing.T) {
	for _, others := range []int{2, 3, 200} {
		x := NewLimited(RuleNames(), 500*time.Millisecond, Limits{Candidates: DefaultMaxCandidates, Rules: map[string]int{SDKSameCall: 3}})
		m := sameCalls()
		x.AddRare(m["wire"].Fact, Rare{Exchange: m["wire"].Exchange})
		root := x.AddRare(m["root"].Fact, Rare{Exchange: m["root"].Exchange})
		for i := range others {
			s := m["root"]
			s.OwnTrace, s.CtxTrace, s.Path = TraceID{1, 14: byte(i >> 8), 15: byte(i)}, TraceID{1, 14: byte(i >> 8), 15: byte(i)}, WordKey("/another")
			x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
		}
		want := Linked
		if others >= 3 {
			want = Overrun
		}
		require.Equal(t, want.String(), x.Resolve(root).Outcome.String(), others)
	}
}

// TestLimitOfCallsThatClocksTellApart: by what is known of the clocks one of all that a rule allows can be told.
func TestLimitOfCallsThatClocksTellApart(t *testing.T) {
	x := NewLimited(RuleNames(), 500*time.Millisecond, Limits{Candidates: DefaultMaxCandidates, Rules: map[string]int{TCPSeq: 100}})
	for _, f := range new(world).calls(3, 1, 2, 0, 0).facts {
		x.Add(f)
	}
	call := x.Add(client(100, 0, seq(5000, 6000), host(1)))
	for i := range byte(99) {
		f := client(101, 200, seq(5000, 6000), host(1))
		f.Span[0] = i
		x.Add(f)
	}
	require.Equal(t, call, x.Resolve(x.Add(server(102, 10, seq(5000, 6000), host(2)))).Parent)
}

// TestSearchPassesNotAll: spans without an end, one in each chunk of a crowd, do not make a search go through all of it.
func TestSearchPassesNotAll(t *testing.T) {
	x := NewLimited(RuleNames(), 0, Limits{Candidates: 20})
	for i := range 2000 {
		f := server(2, int64(i)-10_000, thread(7, .8), lasts(1))
		if f.Span[0], f.Span[1] = byte(i), byte(i>>8); i%200 == 0 {
			pending(&f)
		}
		x.Add(f)
	}
	child := x.Add(client(1, 0, thread(7, .8)))
	before := x.Looks()
	require.Equal(t, Overrun.String(), x.Resolve(child).Outcome.String())
	require.Less(t, x.Looks()-before, 20+20+chunkSize+1)
}

// TestLimitsOfRulesThatShareAKey: what one of them refuses another one finds, up and down.
func TestLimitsOfRulesThatShareAKey(t *testing.T) {
	x := NewLimited([]string{TCPSeq, Compat}, 0, Limits{Candidates: DefaultMaxCandidates, Rules: map[string]int{TCPSeq: 1, Compat: 500}})
	parent := x.AddRare(client(2, 0, seq(5, 6)), Rare{Foreign: true})
	for i := range byte(100) {
		f := client(2, -1_000_000, seq(5, 6))
		f.Span[0] = 1 + i
		x.Add(f)
	}
	var children []ID
	for i := range byte(100) {
		f := server(1, 0, seq(5, 6))
		f.Span[0] = i
		children = append(children, x.AddRare(f, Rare{Foreign: true}))
	}
	met := map[ID]bool{}
	x.Referrers(parent, func(id ID) bool { met[id] = true; return true })
	for _, id := range children {
		e := x.Resolve(id)
		require.Equal(t, Compat, e.Rule)
		require.Equal(t, parent, e.Parent)
		require.True(t, met[id])
	}
}
