package link

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTiming(t *testing.T) {
	linked := func(parent byte) wanted { return wanted{parent, Timing, Linked, TimingConfidence, 1} }
	failed := func(o Outcome, candidates uint32) wanted { return wanted{0, Timing, o, 0, candidates} }
	nothing := wanted{outcome: NoReference}
	call := func(more ...func(*Fact)) seen { return in(1, client(1, 10, append(more, lasts(20))...)) }

	for _, tt := range []struct {
		name  string
		facts []seen
		want  wanted
	}{
		{"the only request", []seen{call(), in(1, server(2, 0))}, linked(2)},
		{"the only request then", []seen{call(), in(1, server(2, 0)), in(1, server(3, 200)), in(1, server(4, -200))}, wanted{2, Timing, Linked, TimingConfidence, 3}},
		{"two requests", []seen{call(), in(1, server(2, 0)), in(1, server(3, 5))}, failed(Ambiguous, 2)},
		{"another ends during the call", []seen{call(), in(1, server(2, 0)), in(1, server(3, -90, lasts(101)))}, failed(Ambiguous, 2)},
		{"another begins during the call", []seen{call(), in(1, server(2, 0)), in(1, server(3, 29))}, failed(Ambiguous, 2)},
		{"another ends as the call begins", []seen{call(), in(1, server(2, 0)), in(1, server(3, -91))}, failed(Ambiguous, 2)},
		{"another is pending", []seen{call(), in(1, server(2, 0)), in(1, server(3, -900, pending))}, failed(Ambiguous, 2)},
		{"the request is pending", []seen{call(), in(1, server(2, 0, pending))}, linked(2)},
		{"another begins after the call", []seen{call(), in(1, server(2, 0)), in(1, server(3, 32))}, wanted{2, Timing, Linked, TimingConfidence, 2}},
		{"another process is busy, too", []seen{call(), in(1, server(2, 0)), in(2, server(3, 0))}, linked(2)},
		{"the process of another host is busy", []seen{call(), in(1, server(2, 0)), in(1, server(3, 0, host(2)))}, linked(2)},
		{"no request of this process", []seen{call(), in(2, server(2, 0))}, failed(NoCandidate, 0)},
		{"ends after the request", []seen{call(), in(1, server(2, 0, lasts(28)))}, failed(Inadmissible, 1)},
		{"begins before the request", []seen{call(), in(1, server(2, 12))}, failed(Inadmissible, 1)},
		{"known to be of a request", []seen{call(systrace(7)), in(1, server(2, 0))}, wanted{0, Systrace, NoCandidate, 0, 0}},
		{"known to be late", []seen{call(func(f *Fact) { f.LateOf = 7 }), in(1, server(2, 0))}, nothing},
		{"not ended", []seen{call(pending), in(1, server(2, 0))}, nothing},
		{"of another trace of the application", []seen{call(carries(1, 9)), in(1, server(2, 0, carries(2, 9)))}, failed(Inadmissible, 0)},
		{"process unknown", []seen{in(0, client(1, 10)), in(0, server(2, 0))}, nothing},
		{"host unknown", []seen{call(host(0)), in(1, server(2, 0, host(0)))}, nothing},
		{"a stronger rule goes first", []seen{call(thread(9, .8)), in(1, server(2, 0, thread(9, 0)))}, wanted{2, PseudoThread, Linked, .8, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resolves(t, append(RuleNames(), Timing), tt.facts, tt.want)
			// Off by default.
			if tt.want.rule == Timing && tt.name != "of another trace of the application" {
				resolves(t, RuleNames(), tt.facts, wanted{outcome: NoReference})
			}
		})
	}
}

// TestTimingLooksAtNoMoreThanItMay: of a process that is busier at a time than the limit nothing is said.
func TestTimingLooksAtNoMoreThanItMay(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		apart  int64
		before int
		want   Outcome
	}{
		{Limits{Candidates: 11}, 0, 0, Ambiguous},
		{Limits{Candidates: 10}, 0, 0, Overrun},
		{Limits{Candidates: 11, Rules: map[string]int{Timing: 10}}, 0, 0, Overrun},
		{Limits{Candidates: 10}, 1000, 0, Linked},
		{Limits{Candidates: 10}, 1000, 100, Linked},
	} {
		x := NewLimited([]string{Timing}, 0, tt.limits)
		for i := range 10 {
			x.AddRare(server(byte(2+i), tt.apart*int64(i)), Rare{Process: 1})
		}
		for i := range byte(tt.before) {
			x.AddRare(server(i, -10_000), Rare{Process: 1})
		}
		x.AddRare(server(20, 10*tt.apart), Rare{Process: 1})
		c := x.AddRare(client(1, 10*tt.apart+10, lasts(10)), Rare{Process: 1})
		require.Equal(t, tt.want.String(), x.Resolve(c).Outcome.String(), tt.limits)
	}
}
