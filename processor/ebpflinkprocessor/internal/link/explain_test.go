package link

import (
	"fmt"
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
			out = append(out, fmt.Sprintf("  not %d: %s %s [%s | %s]", l.Span[7], l.Why, l.Fact.Fact, l.Fact.Child, l.Fact.Parent))
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
				"  not 3: equally_good  [ | ]",
				"  not 2: equally_good  [ | ]",
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
				require.Equal(t, tt.want, explained(x.Explain(child)))
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
	got := x.Explain(c)
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
	got := x.Explain(last)
	require.Len(t, got, 1)
	facts := got[0].Facts
	require.Equal(t, Compared{Fact: "clock_offset", Verdict: "estimated", Child: "698ms to 702ms ahead"}, facts[len(facts)-1])
}

// TestEveryRowSaysWhatItCompares, or its links could not be explained.
func TestEveryRowSaysWhatItCompares(t *testing.T) {
	for i := range rows {
		require.NotEmpty(t, rows[i].compares.key, "row %d, %s", i, rows[i].rule)
	}
}
