package link

import (
	"testing"
	"time"
)

// BenchmarkRules takes in and resolves traces of two services: what a rule costs spans that have no part
// in it, and those that it links.
func BenchmarkRules(b *testing.B) {
	exact := []string{AppContext, TCPSeq, Systrace, PseudoThread}
	for _, bb := range []struct {
		name  string
		rules []string
		rare  bool
	}{
		{"without x_request_id", exact, false},
		{"x_request_id, no span has one", RuleNames(), false},
		{"x_request_id, each span has one", RuleNames(), true},
		{"compat too, no span of it", append(RuleNames(), Compat), false},
		{"all, no request ids", AllRuleNames(), false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			x := New(bb.rules, 500*time.Millisecond)
			var old []ID
			for n := range uint64(b.N) {
				at := int64(n) * 10
				facts := [...]seen{
					in(1, client(1, at, seq(uint32(2*n+1), 7))),
					in(2, server(2, at+1, seq(uint32(2*n+1), 7), systrace(n+1), lasts(90), host(2))),
					in(2, client(3, at+2, systrace(n+1), seq(uint32(2*n+2), 7), lasts(80), host(2))),
					in(3, server(4, at+3, seq(uint32(2*n+2), 7), lasts(70), host(3))),
				}
				if bb.rare {
					facts[2].Systrace = 0
				}
				var ids [4]ID
				for i, f := range facts {
					if bb.rare {
						f.RequestID = n + 1
					}
					ids[i] = x.AddRare(f.Fact, f.Rare)
				}
				for _, id := range ids {
					x.Resolve(id)
				}
				if old = append(old, ids[:]...); len(old) > 40_000 {
					x.Remove(old[:4000])
					old = append(old[:0], old[4000:]...)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(4*b.N), "ns/span")
		})
	}
}
