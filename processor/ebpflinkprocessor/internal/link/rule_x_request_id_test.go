package link

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ids sets the x-request-id of request and response.
func ids(request, response uint64) func(*seen) {
	return func(s *seen) { s.RequestID, s.ResponseID = request, response }
}

func TestXRequestID(t *testing.T) {
	const a, b, c = 0xa, 0xb, 0xc
	linked := func(parent byte, confidence float32, candidates uint32) wanted {
		return wanted{parent, XRequestID, Linked, confidence, candidates}
	}
	failed := func(o Outcome, candidates uint32) wanted { return wanted{0, XRequestID, o, 0, candidates} }
	nothing := wanted{outcome: NoReference}

	for _, tt := range []struct {
		name  string
		facts []seen
		want  wanted
	}{
		// In one process, a proxy or a service.
		{"sent on", []seen{in(1, client(1, 10), ids(a, 0)), in(1, server(2, 0), ids(a, 0))}, linked(2, XRequestIDConfidence, 1)},
		{"made by the proxy, which returned it", []seen{in(1, client(1, 10), ids(a, 0)), in(1, server(2, 0), ids(0, a))}, linked(2, XRequestIDConfidence, 1)},
		{"replaced by the proxy, which returned the new one", []seen{in(1, client(1, 10), ids(b, 0)), in(1, server(2, 0), ids(a, b))}, linked(2, XRequestIDConfidence, 1)},
		{"made by the one called", []seen{in(1, client(1, 10), ids(0, b)), in(1, server(2, 0), ids(0, b))}, linked(2, XRequestIDConfidence, 1)},
		{"answer's id was the request's, which is no proof", []seen{in(1, client(1, 10), ids(0, a)), in(1, server(2, 0), ids(a, 0))}, failed(Inadmissible, 0)},
		{"another id", []seen{in(1, client(1, 10), ids(b, 0)), in(1, server(2, 0), ids(a, 0))}, failed(NoCandidate, 0)},
		{"another process", []seen{in(1, client(1, 10), ids(a, 0)), in(2, server(2, 0), ids(a, 0))}, failed(NoCandidate, 0)},
		{"same process number on another host", []seen{in(1, client(1, 10), ids(a, 0)), in(1, server(2, 0, host(2)), ids(a, 0))}, failed(NoCandidate, 0)},
		{"process unknown", []seen{in(0, client(1, 10), ids(a, 0)), in(0, server(2, 0), ids(a, 0))}, nothing},
		{"host unknown", []seen{in(1, client(1, 10, host(0)), ids(a, 0)), in(1, server(2, 0, host(0)), ids(a, 0))}, nothing},
		{"no id", []seen{in(1, client(1, 10)), in(1, server(2, 0))}, nothing},
		{"not raw", []seen{in(1, sdk(1, Client, 10, 1, 0), ids(a, 0)), in(1, server(2, 0), ids(a, 0))}, nothing},
		{"before the request", []seen{in(1, client(1, 0), ids(a, 0)), in(1, server(2, 10), ids(a, 0))}, failed(Inadmissible, 0)},
		{"before the request by less than clocks differ", []seen{in(1, client(1, 10), ids(a, 0)), in(1, server(2, 10, func(f *Fact) { f.Start++ }), ids(a, 0))}, failed(Inadmissible, 0)},
		{"after the response", []seen{in(1, client(1, 102), ids(a, 0)), in(1, server(2, 0), ids(a, 0))}, failed(Inadmissible, 1)},
		{"another known request", []seen{in(1, client(1, 10, systrace(7)), ids(a, 0)), in(1, server(2, 0, systrace(8)), ids(a, 0))}, failed(Inadmissible, 0)},
		{"the stronger rule goes first", []seen{in(1, client(1, 10, systrace(7)), ids(a, 0)), in(1, server(2, 0), ids(a, 0)), in(1, server(3, 0, systrace(7)), ids(b, 0))}, wanted{3, Systrace, Linked, 1, 1}},
		{"retried after the first try has ended", []seen{in(1, client(1, 210), ids(a, 0)), in(1, server(2, 0), ids(a, 0)), in(1, server(3, 200), ids(a, 0))}, linked(3, XRequestIDConfidence, 2)},
		{"retried while the first try runs", []seen{in(1, client(1, 60), ids(a, 0)), in(1, server(2, 0), ids(a, 0)), in(1, server(3, 50), ids(a, 0))}, failed(Ambiguous, 2)},
		{"retried, the answers tell them apart", []seen{in(1, client(1, 60), ids(a, c)), in(1, server(2, 0), ids(a, b)), in(1, server(3, 50), ids(a, c))}, linked(3, XRequestIDConfidence, 2)},
		{"retried, the answers repeat the id", []seen{in(1, client(1, 60), ids(a, a)), in(1, server(2, 0), ids(a, 0)), in(1, server(3, 50), ids(a, a))}, failed(Ambiguous, 2)},
		{
			"sidecar: the call of the request that went out through it",
			[]seen{
				in(1, client(1, 16, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(15006, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(15001, 888)), ids(a, 0)),
			},
			linked(4, NestedRequestIDConfidence, 2),
		},
		{
			"sidecar: the call of the request that came in",
			[]seen{
				in(1, client(1, 5, lasts(90)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(15006, 999)), ids(a, 0)),
				in(1, client(3, 20, lasts(50)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(15001, 888)), ids(a, 0)),
			},
			linked(2, XRequestIDConfidence, 1),
		},
		{
			"a request within another, from the same peer: a retry",
			[]seen{
				in(1, client(1, 16, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(15006, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 8), ports(15001, 888)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"proxy that its own call comes back to",
			[]seen{
				in(1, client(1, 16, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(80, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(80, 888)), ids(a, 0)),
			},
			linked(4, NestedRequestIDConfidence, 2),
		},
		{
			"proxy on one host with all others, whose own call comes back to it",
			[]seen{
				in(1, client(1, 16, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, seq(11, 12)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), seq(21, 22)), ids(a, 0)),
				in(2, client(5, 0, seq(11, 12)), ids(a, 0)),
				in(3, client(6, 15, lasts(60), seq(21, 22)), ids(a, 0)),
			},
			linked(4, NestedRequestIDConfidence, 2),
		},
		{
			"on one host, a retry",
			[]seen{
				in(1, client(1, 16, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, seq(11, 12)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), seq(21, 22)), ids(a, 0)),
				in(2, client(5, 0, seq(11, 12)), ids(a, 0)),
				in(2, client(6, 15, lasts(60), seq(21, 22)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"service that is called back and makes two calls at once, which may be for either",
			[]seen{
				in(1, client(1, 16, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(80, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(80, 888)), ids(a, 0)),
				in(1, client(5, 70, lasts(4)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"service that is called back while it makes a call that only looks like a proxy's",
			[]seen{
				in(1, client(1, 17, lasts(58)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(80, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(80, 888)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"proxy that its own call comes back to, and that tries again",
			[]seen{
				in(1, client(1, 20, lasts(20)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(80, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(90)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(80, 888)), ids(a, 0)),
				in(1, client(5, 41, lasts(20)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"a request within another, no call between them",
			[]seen{
				in(1, client(1, 20, lasts(50)), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(15006, 999)), ids(a, 0)),
				in(1, client(3, 5, lasts(15)), ids(a, 0)),
				in(1, server(4, 15, lasts(60), addrs(9, 7), ports(15001, 888)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"proxy whose requests coarse clocks show at the same time",
			[]seen{
				in(1, client(1, 0), ids(a, 0)),
				in(1, server(2, 0, addrs(9, 8), ports(80, 999)), ids(a, 0)),
				in(1, server(3, 0, addrs(9, 7), ports(80, 888)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},

		// Between two processes.
		{"through what is not captured", []seen{in(2, server(1, 10, host(2), seq(1, 2)), ids(a, 0)), in(1, client(2, 0, seq(3, 4)), ids(a, 0))}, linked(2, XRequestIDConfidence, 1)},
		{"made by what is not captured, which returned it", []seen{in(2, server(1, 10, host(2)), ids(a, 0)), in(1, client(2, 0), ids(0, a))}, linked(2, XRequestIDConfidence, 1)},
		{"made by the one called and handed back", []seen{in(2, server(1, 10, host(2)), ids(0, b)), in(1, client(2, 0), ids(0, b))}, linked(2, XRequestIDConfidence, 1)},
		{"the call's id came back, which is no proof", []seen{in(2, server(1, 10, host(2)), ids(0, b)), in(1, client(2, 0), ids(b, 0))}, failed(Inadmissible, 0)},
		{"process of neither known", []seen{in(0, server(1, 10, host(2)), ids(a, 0)), in(0, client(2, 0), ids(a, 0))}, linked(2, XRequestIDConfidence, 1)},
		{"before the call, beyond the clocks", []seen{in(2, server(1, -501, host(2)), ids(a, 0)), in(1, client(2, 0), ids(a, 0))}, failed(Inadmissible, 1)},
		{"its own call", []seen{in(1, server(1, 10), ids(a, 0)), in(1, client(2, 0), ids(a, 0))}, failed(Inadmissible, 0)},
		{"another exchange of the same connection", []seen{
			in(2, server(1, 10, seq(5, 6), addrs(5, 6), ports(80, 999)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), addrs(6, 5), ports(999, 80)), ids(a, 0)),
		}, failed(Inadmissible, 0)},
		{"another try, at the same server, on a connection of its own", []seen{
			in(2, server(1, 10, host(2), seq(5, 6), addrs(5, 6), ports(80, 999)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), addrs(6, 5), ports(998, 80)), ids(a, 0)),
		}, failed(Inadmissible, 0)},
		{"another try, elsewhere", []seen{
			in(2, server(1, 10, host(2), seq(5, 6), addrs(5, 6), ports(80, 999)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), addrs(6, 9), ports(998, 80)), ids(a, 0)),
		}, failed(Inadmissible, 0)},
		{"through a proxy beside the caller", []seen{
			in(2, server(1, 10, host(2), seq(5, 6), addrs(5, 6), ports(80, 999)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), addrs(6, 6), ports(998, 15001)), ids(a, 0)),
		}, linked(2, XRequestIDConfidence, 1)},
		{"through a proxy with an address of its own", []seen{
			in(2, server(1, 10, host(2), seq(5, 6), addrs(5, 8), ports(80, 999)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), addrs(6, 8), ports(998, 80)), ids(a, 0)),
		}, linked(2, XRequestIDConfidence, 1)},
		{"through a proxy beside the server", []seen{
			in(2, server(1, 10, host(2), seq(5, 6), addrs(5, 5), ports(80, 999)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), addrs(6, 7), ports(998, 443)), ids(a, 0)),
		}, linked(2, XRequestIDConfidence, 1)},
		{"a call that another is known to have answered", []seen{
			in(2, server(1, 10, host(2), seq(5, 6)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4)), ids(a, 0)),
			in(3, server(3, 5, host(3), seq(3, 4)), ids(a, 0)),
		}, failed(Inadmissible, 0)},
		{"a call that another answered, without a response", []seen{
			in(2, server(1, 10, host(2), seq(5, 6)), ids(a, 0)),
			in(1, client(2, 0, seq(3, 4), ports(999, 80)), ids(a, 0)),
			in(3, server(3, 5, host(3), seq(3, 0), ports(80, 999)), ids(a, 0)),
		}, failed(Inadmissible, 0)},
		{"a call that got its answer sooner than the request was served", []seen{in(2, server(1, 0, host(2)), ids(a, 0)), in(1, client(2, 0, lasts(99), seq(3, 4)), ids(a, 0))}, failed(Inadmissible, 0)},
		{"a call that did not wait for its answer", []seen{in(2, server(1, 0, host(2)), ids(a, 0)), in(1, client(2, 0, lasts(99), seq(3, 0)), ids(a, 0))}, linked(2, XRequestIDConfidence, 1)},
		{"calls side by side", []seen{in(2, server(1, 10, host(2)), ids(a, 0)), in(1, client(2, 0), ids(a, 0)), in(1, client(3, 0), ids(a, 0))}, failed(Ambiguous, 2)},
		{
			"chain through what is not captured: the last",
			[]seen{
				in(3, server(1, 20, host(3), lasts(50)), ids(a, 0)),
				in(1, client(2, 0), ids(a, 0)),
				in(2, server(3, 10, host(2), lasts(80)), ids(a, 0)),
				in(2, client(4, 15, host(2), lasts(60)), ids(a, 0)),
			},
			linked(4, NestedRequestIDConfidence, 2),
		},
		{
			"chain of three through what is not captured: the one in the middle",
			[]seen{
				in(3, server(1, 520, host(3), lasts(5000)), ids(a, 0)),
				in(1, client(2, 0, lasts(9000)), ids(a, 0)),
				in(2, server(3, 10, host(2), lasts(8000)), ids(a, 0)),
				in(2, client(4, 15, host(2), lasts(6000)), ids(a, 0)),
				in(3, client(5, 1520, host(3), lasts(2000)), ids(a, 0)),
				in(4, server(6, 2520, host(4), lasts(500)), ids(a, 0)),
			},
			linked(4, NestedRequestIDConfidence, 2),
		},
		{
			"two that seem to answer the inner call",
			[]seen{
				in(3, server(1, 20, host(3), lasts(50)), ids(a, 0)),
				in(1, client(2, 0), ids(a, 0)),
				in(2, server(3, 10, host(2), lasts(80)), ids(a, 0)),
				in(2, client(4, 15, host(2), lasts(60)), ids(a, 0)),
				in(4, server(5, 20, host(4), lasts(50)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"chain through what is not captured, and a request that only returned the id",
			[]seen{
				in(3, server(1, 20, host(3), lasts(50)), ids(a, 0)),
				in(1, client(2, 0), ids(a, 0)),
				in(2, server(3, 10, host(2), lasts(80)), ids(a, 0)),
				in(2, client(4, 15, host(2), lasts(60)), ids(a, 0)),
				in(4, server(5, 20, host(4), lasts(50)), ids(0, a)),
			},
			linked(4, NestedRequestIDConfidence, 2),
		},
		{
			"two that seem to answer the inner call, on hosts that do not say which",
			[]seen{
				in(0, server(1, 20, host(0), lasts(20)), ids(a, 0)),
				in(1, client(2, 0), ids(a, 0)),
				in(2, server(3, 10, host(2), lasts(80)), ids(a, 0)),
				in(2, client(4, 15, host(2), lasts(60)), ids(a, 0)),
				in(0, server(5, 45, host(0), lasts(20)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"a request that took longer than the call that it would be within",
			[]seen{
				in(3, server(1, 20, host(3), lasts(10)), ids(a, 0)),
				in(1, client(2, 15, lasts(60)), ids(a, 0)),
				in(1, server(3, 10, lasts(80)), ids(a, 0)),
				in(2, client(4, 12, host(2), lasts(40)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{
			"two calls of a process, one of them of a retry",
			[]seen{
				in(3, server(1, 20, host(3), lasts(50)), ids(a, 0)),
				in(1, client(2, 0), ids(a, 0)),
				in(1, server(3, 10, lasts(80)), ids(a, 0)),
				in(1, client(4, 15, lasts(60)), ids(a, 0)),
			},
			failed(Ambiguous, 2),
		},
		{"the wire goes first", []seen{in(2, server(1, 10, seq(1, 2)), ids(a, 0)), in(1, client(2, 0, seq(1, 2)), ids(b, 0)), in(1, client(3, 0), ids(a, 0))}, wanted{2, TCPSeq, Linked, 1, 1}},
		{"the wire is ambiguous", []seen{in(2, server(1, 10, seq(1, 2)), ids(a, 0)), in(1, client(2, 0, seq(1, 2)), ids(b, 0)), in(1, client(3, 0, seq(1, 2)), ids(a, 0))}, linked(3, XRequestIDConfidence, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) { resolves(t, RuleNames(), tt.facts, tt.want) })
	}
}

// TestAtOnce: two spans of two hosts, of which the second is 700 ms ahead, and of others.
func TestAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b Fact
		want bool
	}{
		{"one host", client(1, 0), client(2, 100), true},
		{"one host, one after the other", client(1, 0), client(2, 101), false},
		{"one host, still open", client(1, 0, pending), client(2, 1000), true},
		{"two hosts by their clocks", client(1, 0), client(2, 750, host(2)), true},
		{"two hosts by their clocks, the other way", client(1, 750, host(2)), client(2, 0), true},
		{"two hosts by what they show alone", client(1, 0), client(2, 50, host(2)), false},
		{"two hosts by what they show alone, the other way", client(1, 50, host(2)), client(2, 0), false},
		{"two hosts, one after the other", client(1, 0), client(2, 815, host(2)), false},
		{"two hosts, still open", client(1, 0), client(2, 0, host(2), pending), true},
		{"a host of which nothing is known", client(1, 0), client(2, 599, host(3)), true},
		{"a host of which nothing is known, too far", client(1, 0), client(2, 601, host(3)), false},
		{"no host is not the same host", client(1, 0, host(0)), client(2, 300, host(0)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := New(RuleNames(), 500*time.Millisecond)
			for _, f := range new(world).calls(5, 1, 2, 0, 700).facts {
				x.Add(f)
			}
			a, b := x.Add(tt.a), x.Add(tt.b)
			require.Equal(t, tt.want, x.atOnce(a, b))
			require.Equal(t, tt.want, x.atOnce(b, a))
		})
	}
}

// TestXRequestIDThatIsAConstant: what thousands of spans carry names no request.
func TestXRequestIDThatIsAConstant(t *testing.T) {
	for _, sharer := range []Fact{server(2, 1000), client(2, 1000)} {
		for _, tt := range []struct {
			sharers int
			want    Outcome
		}{{maxSharers - 1, Linked}, {maxSharers, Overrun}} {
			t.Run(fmt.Sprint(sharer.Role, tt.sharers), func(t *testing.T) {
				x := New(RuleNames(), 0)
				for range tt.sharers {
					x.AddRare(sharer, Rare{Process: 1, RequestID: 7})
				}
				x.AddRare(server(3, 0), Rare{Process: 1, RequestID: 7})
				c := x.AddRare(client(1, 10), Rare{Process: 1, RequestID: 7})
				require.Equal(t, tt.want.String(), x.Resolve(c).Outcome.String())
			})
		}
	}
}

// TestXRequestIDSharedByMany: the work for one span is bounded, whatever shares its id.
func TestXRequestIDSharedByMany(t *testing.T) {
	x := New(RuleNames(), 500*time.Millisecond)
	var spans []ID
	for i := range 20_000 {
		f := client(1, int64(i%50))
		f.Host = uint64(1 + i%7)
		if i%2 == 0 {
			f.Role = Server
		}
		spans = append(spans, x.AddRare(f, Rare{Process: uint64(1 + i%3), RequestID: 7}))
	}
	start := time.Now()
	for _, id := range spans[:2000] {
		x.Resolve(id)
	}
	require.Less(t, time.Since(start), 20*time.Second)
}
