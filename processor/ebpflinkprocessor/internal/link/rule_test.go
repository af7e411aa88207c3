package link

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = int64(time.Millisecond)

func span(n byte) SpanID   { return SpanID{7: n} }
func trace(n byte) TraceID { return TraceID{15: n} }

// client and server make raw spans of one host that last 100 ms from the given millisecond.
func client(n byte, at int64, more ...func(*Fact)) Fact { return raw(n, Client, at, more) }
func server(n byte, at int64, more ...func(*Fact)) Fact { return raw(n, Server, at, more) }

func raw(n byte, r Role, at int64, more []func(*Fact)) Fact {
	f := Fact{Span: span(n), OwnTrace: trace(100 + n), Role: r, Raw: true, Host: 1, Start: at * ms, End: (at + 100) * ms}
	for _, fn := range more {
		fn(&f)
	}
	return f
}

// sdk makes an SDK span of trace t.
func sdk(n byte, r Role, at int64, t, parent byte) Fact {
	f := Fact{Span: span(n), OwnTrace: trace(t), CtxTrace: trace(t), Role: r, Start: at * ms, End: (at + 100) * ms}
	if parent != 0 {
		f.CtxParent = span(parent)
	}
	return f
}

func seq(req, resp uint32) func(*Fact) {
	return func(f *Fact) { f.ReqSeq, f.RespSeq = req, resp }
}

func ports(local, peer uint16) func(*Fact) {
	return func(f *Fact) { f.Local.Port, f.Peer.Port = local, peer }
}

func addrs(local, peer uint32) func(*Fact) {
	return func(f *Fact) { f.Local.Addr, f.Peer.Addr = local, peer }
}
func host(h uint64) func(*Fact)     { return func(f *Fact) { f.Host = h } }
func systrace(s uint64) func(*Fact) { return func(f *Fact) { f.Systrace = s } }
func lasts(d int64) func(*Fact)     { return func(f *Fact) { f.End = f.Start + d*ms } }
func pending(f *Fact)               { f.Pending, f.End = true, 0 }
func thread(id uint64, confidence float32) func(*Fact) {
	return func(f *Fact) { f.Pseudo, f.HintConfidence = id, confidence }
}

func carries(t, parent byte) func(*Fact) {
	return func(f *Fact) { f.CtxTrace, f.CtxParent = trace(t), span(parent) }
}

// TestRules gives the fact to link first and the candidates after it.
func TestRules(t *testing.T) {
	for _, tt := range []struct {
		name       string
		facts      []Fact
		parent     byte
		rule       string
		outcome    Outcome
		confidence float32
		candidates uint32
	}{
		// tcp_seq
		{"pair", []Fact{server(1, 0, seq(10, 20)), client(2, 0, seq(10, 20))}, 2, TCPSeq, Linked, 1, 1},
		{"pair across hosts within the tolerance", []Fact{server(1, -499, seq(10, 20), host(2)), client(2, 0, seq(10, 20))}, 2, TCPSeq, Linked, 1, 1},
		{"pair across hosts beyond the tolerance", []Fact{server(1, -501, seq(10, 20), host(2)), client(2, 0, seq(10, 20))}, 0, TCPSeq, Inadmissible, 0, 1},
		{"pair on one host before the call", []Fact{server(1, -2, seq(10, 20)), client(2, 0, seq(10, 20))}, 0, TCPSeq, Inadmissible, 0, 1},
		{"pair on one host within a clock reading", []Fact{server(1, -1, seq(10, 20)), client(2, 0, seq(10, 20))}, 2, TCPSeq, Linked, 1, 1},
		{"after the response was sent", []Fact{server(1, 102, seq(10, 20)), client(2, 0, seq(10, 20))}, 0, TCPSeq, Inadmissible, 0, 1},
		{"another response", []Fact{server(1, 0, seq(10, 21), ports(80, 999)), client(2, 0, seq(10, 20), ports(999, 80))}, 0, TCPSeq, Inadmissible, 0, 0},
		{"zero is no key", []Fact{server(1, 0, seq(0, 0)), client(2, 0, seq(0, 0))}, 0, "", NoReference, 0, 0},
		{"response unknown, ports reversed", []Fact{server(1, 0, seq(10, 0), ports(80, 999)), client(2, 0, seq(10, 20), ports(999, 80))}, 2, TCPSeq, Linked, 1, 1},
		{"response unknown, ports not reversed", []Fact{server(1, 0, seq(10, 0), ports(80, 999)), client(2, 0, seq(10, 20), ports(80, 999))}, 0, TCPSeq, NoCandidate, 0, 0},
		{"response unknown, no ports", []Fact{server(1, 0, seq(10, 0)), client(2, 0, seq(10, 0))}, 0, "", NoReference, 0, 0},
		{"two calls alike", []Fact{server(1, 0, seq(10, 20)), client(2, 0, seq(10, 20)), client(3, 0, seq(10, 20), host(2))}, 0, TCPSeq, Ambiguous, 0, 2},
		{
			"same number on another connection: the addresses decide",
			[]Fact{
				server(1, 0, seq(10, 20), addrs(5, 6), ports(80, 999)),
				client(2, 0, seq(10, 20), addrs(6, 5), ports(999, 80)),
				client(3, 0, seq(10, 20), addrs(7, 5), ports(999, 80), host(2)),
			},
			2, TCPSeq, Linked, 1, 2,
		},
		{
			"same addresses, other port: another connection",
			[]Fact{
				server(1, 0, seq(10, 20), addrs(5, 6), ports(80, 999)),
				client(2, 0, seq(10, 20), addrs(6, 5), ports(998, 80)),
			},
			0, TCPSeq, Inadmissible, 0, 0,
		},
		{
			"translated addresses link",
			[]Fact{
				server(1, 0, seq(10, 20), addrs(5, 9), ports(80, 1234)),
				client(2, 0, seq(10, 20), addrs(6, 7), ports(999, 8080), host(2)),
			},
			2, TCPSeq, Linked, 1, 1,
		},
		{
			"no response, ports translated: the header decides",
			[]Fact{
				server(1, 0, seq(10, 20), addrs(5, 9), ports(80, 1234), carries(1, 9)),
				client(2, 0, seq(10, 0), addrs(6, 7), ports(999, 8080), host(2), carries(1, 9)),
				client(3, 0, seq(10, 0), addrs(6, 7), ports(998, 8080), host(2), carries(1, 8)),
				client(4, 0, seq(11, 0), addrs(6, 7), ports(997, 8080), host(2), carries(1, 9)),
			},
			2, TCPSeq, Linked, 1, 1,
		},
		{"pending call", []Fact{server(1, 5000, seq(10, 20)), client(2, 0, seq(10, 20), pending)}, 2, TCPSeq, Linked, 1, 1},

		// systrace
		{"systrace", []Fact{client(1, 10, systrace(7)), server(2, 0, systrace(7))}, 2, Systrace, Linked, 1, 1},
		{"systrace of another host", []Fact{client(1, 10, systrace(7), host(2)), server(2, 0, systrace(7))}, 0, Systrace, NoCandidate, 0, 0},
		{"systrace without host", []Fact{client(1, 10, systrace(7), host(0)), server(2, 0, systrace(7), host(0))}, 0, "", NoReference, 0, 0},
		{"no systrace", []Fact{client(1, 10), server(2, 0)}, 0, "", NoReference, 0, 0},
		{"call after the reply", []Fact{client(1, 102, systrace(7)), server(2, 0, systrace(7))}, 0, Systrace, Inadmissible, 0, 1},
		{"server that is pending", []Fact{client(1, 60_000, systrace(7)), server(2, 0, systrace(7), pending)}, 2, Systrace, Linked, 1, 1},
		{"systrace claimed twice", []Fact{client(1, 10, systrace(7)), server(2, 0, systrace(7)), server(3, 0, systrace(7))}, 0, Systrace, Ambiguous, 0, 2},

		// pseudo_thread
		{"thread", []Fact{client(1, 10, thread(9, .8), lasts(10)), server(2, 0, thread(9, 0))}, 2, PseudoThread, Linked, .8, 1},
		{"thread, confidence not stated", []Fact{client(1, 10, thread(9, 0), lasts(10)), server(2, 0, thread(9, 0))}, 2, PseudoThread, Linked, UnstatedConfidence, 1},
		{"thread, ends after the request", []Fact{client(1, 10, thread(9, .8), lasts(200)), server(2, 0, thread(9, 0))}, 0, PseudoThread, Inadmissible, 0, 1},
		{"thread that serves two at once", []Fact{client(1, 10, thread(9, .8), lasts(10)), server(2, 0, thread(9, 0)), server(3, 1, thread(9, 0))}, 0, PseudoThread, Ambiguous, 0, 2},
		{"thread, one request after the other", []Fact{client(1, 210, thread(9, .8), lasts(10)), server(2, 0, thread(9, 0)), server(3, 200, thread(9, 0))}, 3, PseudoThread, Linked, .8, 2},
		{"thread, but another known request", []Fact{client(1, 10, systrace(8), thread(9, .8), lasts(10)), server(2, 0, systrace(7), thread(9, 0))}, 0, PseudoThread, Inadmissible, 0, 0},
		{"systrace before thread", []Fact{client(1, 10, systrace(7), thread(9, .8), lasts(10)), server(2, 0, systrace(7)), server(3, 0, thread(9, 0))}, 2, Systrace, Linked, .8, 1},
		{"systrace absent from the batch, thread present", []Fact{client(1, 10, systrace(7), thread(9, .8), lasts(10)), server(3, 0, thread(9, 0))}, 3, PseudoThread, Linked, .8, 1},

		// app_context
		{"call under the SDK's call", []Fact{client(1, 10, carries(1, 2)), sdk(2, Client, 0, 1, 0)}, 2, AppContext, Linked, 1, 1},
		{"call under an eBPF span with that id", []Fact{client(1, 10, carries(102, 2)), server(2, 0)}, 2, AppContext, Linked, 1, 1},
		{"same parent id in another trace", []Fact{client(1, 10, carries(1, 2)), sdk(2, Client, 0, 3, 0)}, 0, AppContext, NoCandidate, 0, 0},
		{"context before systrace", []Fact{client(1, 10, carries(1, 2), systrace(7)), sdk(2, Client, 0, 1, 0), server(3, 0, systrace(7))}, 2, AppContext, Linked, 1, 1},
		{"proxy that passes the header on", []Fact{client(1, 10, carries(1, 2), systrace(7)), sdk(2, Client, 0, 1, 0), server(3, 0, systrace(7), carries(1, 2))}, 3, Systrace, Linked, 1, 1},
		{"server prefers the wire", []Fact{server(1, 10, carries(1, 2), seq(10, 20)), sdk(2, Client, 0, 1, 0), client(3, 10, seq(10, 20), carries(1, 2))}, 3, TCPSeq, Linked, 1, 1},
		{"server, caller not traced", []Fact{server(1, 10, carries(1, 2), seq(10, 20)), sdk(2, Client, 0, 1, 0)}, 2, AppContext, Linked, 1, 1},
		{"SDK child of SDK parent, whatever the time", []Fact{sdk(1, Other, 9999, 1, 2), sdk(2, Other, 0, 1, 0)}, 2, AppContext, Linked, 1, 1},
		{"SDK server under the eBPF server of the call", []Fact{sdk(1, Server, 10, 1, 2), sdk(2, Client, 0, 1, 0), server(3, 9, carries(1, 2))}, 3, AppContext, Linked, 1, 1},
		{"SDK root", []Fact{sdk(1, Other, 0, 1, 0), sdk(2, Other, 0, 1, 0)}, 0, "", NoReference, 0, 0},
		{"trace id without parent", []Fact{client(1, 10, func(f *Fact) { f.CtxTrace = trace(1) }), sdk(2, Client, 0, 1, 0)}, 0, "", NoReference, 0, 0},
		{"never its own parent", []Fact{client(1, 10, carries(101, 1))}, 0, AppContext, NoCandidate, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Every order of arrival gives the same.
			for shift := range tt.facts {
				x := New(RuleNames(), 500*time.Millisecond)
				var child ID
				for i := range tt.facts {
					id := x.Add(tt.facts[(i+shift)%len(tt.facts)])
					if (i+shift)%len(tt.facts) == 0 {
						child = id
					}
				}
				e := x.Resolve(child)
				require.Equal(t, tt.outcome.String(), e.Outcome.String())
				require.Equal(t, tt.rule, e.Rule)
				require.Equal(t, tt.confidence, e.Confidence)
				require.Equal(t, tt.candidates, e.Candidates, "candidates")
				if tt.parent == 0 {
					require.Equal(t, None, e.Parent)
				} else {
					require.Equal(t, span(tt.parent), x.Fact(e.Parent).Span)
				}
			}
		})
	}
}

func TestRuleOrderIsTheConfiguredOne(t *testing.T) {
	facts := []Fact{client(1, 10, systrace(7), thread(9, .8), lasts(10)), server(2, 0, systrace(7)), server(3, 0, thread(9, 0))}
	for _, tt := range []struct {
		rules []string
		want  byte
	}{
		{[]string{Systrace, PseudoThread}, 2},
		{[]string{PseudoThread, Systrace}, 3},
		{[]string{PseudoThread}, 3},
		{[]string{TCPSeq}, 0},
	} {
		t.Run(fmt.Sprint(tt.rules), func(t *testing.T) {
			x := New(tt.rules, 0)
			child := x.Add(facts[0])
			x.Add(facts[1])
			x.Add(facts[2])
			if e := x.Resolve(child); tt.want == 0 {
				require.Equal(t, None, e.Parent)
			} else {
				require.Equal(t, span(tt.want), x.Fact(e.Parent).Span)
			}
		})
	}
}

func TestReplacePendingMovesKeys(t *testing.T) {
	x := New(RuleNames(), 0)
	p := x.Add(client(2, 0, seq(10, 0), pending))
	c := x.Add(server(1, 5, seq(10, 20)))
	require.Equal(t, None, x.Resolve(c).Parent, "a pending call does not know its response")
	x.Replace(p, client(2, 0, seq(10, 20)), Rare{})
	require.Equal(t, p, x.Resolve(c).Parent)
	x.Remove([]ID{p})
	require.Equal(t, None, x.Resolve(c).Parent)
	require.Equal(t, 1, x.Len())
}

func TestAmbiguityIsReportedEvenWhenAWeakerRuleLinks(t *testing.T) {
	x := New(RuleNames(), 0)
	c := x.Add(client(1, 10, systrace(7), thread(9, .8), lasts(10)))
	x.Add(server(2, 0, systrace(7)))
	x.Add(server(3, 0, systrace(7)))
	p := x.Add(server(4, 0, thread(9, 0)))
	e := x.Resolve(c)
	require.Equal(t, p, e.Parent)
	var rules []string
	x.AmbiguousRules(e, func(r string) { rules = append(rules, r) })
	require.Equal(t, []string{Systrace}, rules)
}

// TestHotKey: what is kept under one key is bounded, the rest is said to be forgotten, and what is
// found among the many is what is found among few.
func TestHotKey(t *testing.T) {
	const n = 100_000
	for _, tt := range []struct {
		name  string
		every int64
		more  func(*Fact)
		want  Outcome
		looks int
	}{
		{"one after the other", 101, func(*Fact) {}, Linked, 2 * chunkSize},
		{"a hundred at once", 1, func(*Fact) {}, Ambiguous, 80},
		{"of known requests, none at that time", 101, func(f *Fact) { f.End = f.Start }, Inadmissible, 2 * chunkSize},
		{"of other requests", 101, systrace(8), Inadmissible, 2 * chunkSize},
		{"of other requests, for ever", 101, func(f *Fact) { f.Systrace, f.Pending = 8, true }, Overrun, DefaultMaxCandidates + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := New(RuleNames(), 0)
			for i := range int64(n) {
				f := server(1, i*tt.every, thread(9, 0))
				f.Span = SpanID{0: byte(i >> 16), 1: byte(i >> 8), 2: byte(i)}
				tt.more(&f)
				x.Add(f)
			}
			forgotten := x.TakeOverflow()
			require.Positive(t, forgotten)
			require.LessOrEqual(t, n-forgotten, maxDefs)
			c := x.Add(client(2, n*tt.every*3/4+50, systrace(7), thread(9, .8), lasts(10)))
			e := x.Resolve(c)
			require.Equal(t, tt.want.String(), e.Outcome.String())
			require.LessOrEqual(t, x.Looks(), tt.looks)
		})
	}
}
