//go:build linux

package process

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// cpu returns a function that reports the processor time spent since, kernel included: on a shared
// machine wall time says little.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

// The benchmarks read this machine's processes and select none but in memory.

func benchScan(b *testing.B, rules Rules) {
	n, err := pids("/proc")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	defer cpu(b)()
	for range b.N {
		s, err := NewScanner(Options{Rules: rules, Host: testHost})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Scan(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(n)), "ns/process")
	b.ReportMetric(float64(len(n)), "processes")
}

func BenchmarkScanDefault(b *testing.B) { benchScan(b, DefaultRules()) }
func BenchmarkScanAll(b *testing.B)     { benchScan(b, Rules{All: true}) }
func BenchmarkScanPorts(b *testing.B) {
	benchScan(b, Rules{Include: []Selector{{Ports: []PortRange{{First: 1, Last: 65535}}}}})
}

func benchRescan(b *testing.B, rules Rules) {
	s, err := NewScanner(Options{Rules: rules, Host: testHost})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	defer cpu(b)()
	for range b.N {
		if err := s.Scan(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRescanDefault(b *testing.B) { benchRescan(b, DefaultRules()) }
func BenchmarkRescanPorts(b *testing.B) {
	benchRescan(b, Rules{Include: []Selector{{Ports: []PortRange{{First: 1, Last: 65535}}}}})
}

func BenchmarkConsiderUnselected(b *testing.B) {
	s, err := NewScanner(Options{Rules: Rules{Include: []Selector{{Env: []string{"NOBODY_HAS_THIS"}}}}, Self: 1 << 22})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	defer cpu(b)()
	for range b.N {
		s.Consider(os.Getpid(), WhyExec)
	}
}

func BenchmarkDescribe(b *testing.B) {
	r := NewReader("/proc", testHost)
	b.ReportAllocs()
	defer cpu(b)()
	for range b.N {
		if _, err := r.Describe(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	s, err := NewScanner(Options{Rules: Rules{All: true}, Self: 1 << 22})
	if err != nil {
		b.Fatal(err)
	}
	s.Consider(os.Getpid(), WhyExec)
	if s.Len() != 1 {
		b.Fatal("not selected")
	}
	b.ReportAllocs()
	defer cpu(b)()
	for range b.N {
		_ = s.Lookup(os.Getpid())
	}
}
