package link

import (
	"fmt"
	"testing"
	"time"
)

// forest makes traces of four: a request, its call, the request at another host, its call. Hosts are
// apart by up to 2 s where skewed.
func forest(n int, skewed bool) []Fact {
	out := make([]Fact, 0, n)
	for i := 0; len(out) < n; i++ {
		a, b := uint64(i%40+1), uint64(i*7%40+41)
		ahead := func(h uint64) int64 {
			if !skewed {
				return 0
			}
			return int64(h%5) * int64(500*time.Millisecond)
		}
		at := int64(i) * int64(100*time.Microsecond)
		add := func(r Role, host, systrace uint64, seq uint32, nested int64) {
			f := Fact{
				Span: SpanID{byte(len(out)), byte(len(out) >> 8), byte(len(out) >> 16), 1}, Role: r, Raw: true, Host: host,
				Systrace: systrace, ReqSeq: seq, RespSeq: seq ^ 0xffff,
				Start: at + ahead(host) + nested*int64(time.Millisecond), End: at + ahead(host) + (20-nested)*int64(time.Millisecond),
			}
			f.Local.Port, f.Peer.Port = uint16(seq)|1, 8080
			if r == Server {
				f.Local, f.Peer = f.Peer, f.Local
			}
			f.OwnTrace = TraceID{1, 15: byte(i)}
			copy(f.OwnTrace[4:], f.Span[:])
			out = append(out, f)
		}
		add(Server, a, uint64(2*i+1), uint32(4*i+1), 0)
		add(Client, a, uint64(2*i+1), uint32(4*i+2), 1)
		add(Server, b, uint64(2*i+2), uint32(4*i+2), 2)
		add(Client, b, uint64(2*i+2), uint32(4*i+3), 3)
	}
	return out[:n]
}

// BenchmarkAdd takes facts in; 0 allocations but for growth.
func BenchmarkAdd(b *testing.B) {
	const n = 100_000
	for _, hosts := range []string{"one host", "80 hosts"} {
		facts := forest(n, false)
		if hosts == "one host" {
			for i := range facts {
				facts[i].Host = 1
			}
		}
		b.Run(hosts, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				x := New(RuleNames(), 500*time.Millisecond)
				for i := range facts {
					x.Add(facts[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/span")
		})
	}
}

// BenchmarkResolve finds the parent of each of 100,000 waiting spans.
func BenchmarkResolve(b *testing.B) {
	const n = 100_000
	for _, skewed := range []bool{false, true} {
		b.Run(fmt.Sprintf("skewed=%v", skewed), func(b *testing.B) {
			x := New(RuleNames(), 500*time.Millisecond)
			facts := forest(n, skewed)
			for i := range facts {
				x.Add(facts[i])
			}
			b.ReportAllocs()
			b.ResetTimer()
			linked := 0
			for i := range b.N {
				x.gen++
				if x.Resolve(ID(i%n)).Parent != None {
					linked++
				}
			}
			if b.N > n && linked < b.N*74/100 {
				b.Fatalf("only %d of %d linked", linked, b.N)
			}
		})
	}
}

// BenchmarkExplain is what explain: true adds to a span.
func BenchmarkExplain(b *testing.B) {
	const n = 100_000
	x := New(RuleNames(), 500*time.Millisecond)
	facts := forest(n, false)
	for i := range facts {
		x.Add(facts[i])
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		x.Explain(ID(i%n), 20*time.Second)
	}
}
