package causality

import (
	"testing"
	"time"
)

// BenchmarkCount is what counting adds to a request with one call, while 200 others are open with a call each,
// of which it has to be found out that they are not its.
func BenchmarkCount(b *testing.B) {
	for name, count := range map[string]bool{"without": false, "counted": true} {
		b.Run(name, func(b *testing.B) {
			s := NewSolver(Options{Hold: time.Hour, Grace: 200 * time.Millisecond, MaxHeld: 1 << 17, MaxAge: time.Hour}, &Counts{})
			const open = uint64(200)
			for i := uint64(1); i <= open; i++ {
				s.Began(i, i, i, reader)
				s.Evidence(evidence(channelBack, i, i))
				s.Hold(Call{ID: i, Writer: reader, Start: 10 * ms, End: 11 * ms}, func(Answer) {})
			}
			counted := 0
			take := func(c Count) {
				if c.Fate == Counted {
					counted++
				}
			}
			n := open
			b.ReportAllocs()
			for b.Loop() {
				n++
				at := n * ms
				s.Began(n, n, at, reader)
				s.Evidence(evidence(channelBack, n, n))
				s.Hold(Call{ID: n, Writer: reader, Start: at + 1, End: at + 2}, func(Answer) {})
				s.Ended(n, n, at+3, reader)
				if count {
					s.Count(reader.Tgid, n, n, take)
				}
				if n%20 == 0 { // as often as the receiver lets time pass
					s.Saw(at, at)
					s.Tick(at)
				}
			}
			if count && counted < b.N*9/10-300 {
				b.Fatalf("%d of %d were counted", counted, b.N)
			}
		})
	}
}
