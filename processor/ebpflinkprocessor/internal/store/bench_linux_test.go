package store

import (
	"syscall"
	"testing"
	"time"
)

// A batch of 500 spans and the facts of 2000 that left, as the processor stores them; figures per span.
func BenchmarkStore(b *testing.B) {
	cpu := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var began time.Duration
	store := func(b *testing.B) *Store {
		s, err := Open(Options{Dir: b.TempDir(), Sync: Interval, SyncInterval: time.Second, MaxFacts: 500_000, FactsFor: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		b.ReportAllocs()
		began = cpu()
		return s
	}
	perSpan := func(b *testing.B, spans int) {
		b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(b.N*spans), "cpu-ns/span")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*spans), "ns/span")
	}
	b.Run("append and release", func(b *testing.B) {
		s, payload, window := store(b), make([]byte, 500*350), []uint64{}
		for b.Loop() {
			n, err := s.Append(1, payload)
			if err != nil {
				b.Fatal(err)
			}
			if window = append(window, n); len(window) > 500 {
				if err := s.Release([]Departure{{Seq: window[0], Last: true}}); err != nil {
					b.Fatal(err)
				}
				window = window[1:]
			}
		}
		perSpan(b, 500)
	})
	b.Run("remember", func(b *testing.B) {
		s, facts := store(b), make([]byte, 2000*94)
		for b.Loop() {
			if err := s.Remember(2000, facts); err != nil {
				b.Fatal(err)
			}
		}
		perSpan(b, 2000)
	})
}
