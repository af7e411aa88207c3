package causality

import (
	"testing"
	"time"
)

// BenchmarkHold is what a call costs of which a thousand come in a second, as the receiver lets time pass: fifty
// times a second, with a grace of a fifth.
func BenchmarkHold(b *testing.B) {
	for name, w := range map[string]Writer{"thread": {Tgid: 1, Tid: 7}, "goroutine": reader} {
		b.Run(name, func(b *testing.B) {
			s := NewSolver(Options{Hold: time.Second, Grace: 200 * time.Millisecond, MaxHeld: 1 << 17, MaxAge: time.Hour}, &Counts{})
			answered := 0
			b.ReportAllocs()
			for i := uint64(1); b.Loop(); i++ {
				at := i * ms
				s.Began(i, i, at, w)
				s.Evidence(evidence(channel, i, i))
				s.Hold(Call{ID: i, Writer: w, Start: at + 1, End: at + 2}, func(Answer) { answered++ })
				s.Ended(i, i, at+3, w)
				if i%20 == 0 {
					s.Tick(at)
				}
			}
			if answered < b.N-1300 {
				b.Fatalf("%d of %d were answered", answered, b.N)
			}
		})
	}
}
