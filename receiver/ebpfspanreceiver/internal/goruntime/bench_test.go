package goruntime

import (
	"os"
	"testing"
)

// BenchmarkInspect inspects GOEXE, or the go command: go test -bench Inspect -benchmem .
func BenchmarkInspect(b *testing.B) {
	path := os.Getenv("GOEXE")
	if path == "" {
		path = goTool(b)
	}
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inspect(path); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(st.Size())/(1<<20), "MB-file")
}

// BenchmarkIsGo asks about a program that is not Go, the common answer.
func BenchmarkIsGo(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if IsGo("/bin/sh") {
			b.Fatal("/bin/sh is a Go program")
		}
	}
}
