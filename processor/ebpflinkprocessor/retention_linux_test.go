package ebpflinkprocessor

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// resident is the memory of the process, proc_pid_statm(5); most of what facts take is not on the heap of Go.
func resident(b *testing.B) int {
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(b, err)
	pages, err := strconv.Atoi(string(bytes.Fields(statm)[1]))
	require.NoError(b, err)
	return pages * os.Getpagesize()
}

// BenchmarkLinkFactMemory: what a fact of a span that has left takes, of 400,000 beside as many, by what spans say.
func BenchmarkLinkFactMemory(b *testing.B) {
	const half = 400_000
	request := func(i uint64, change func(*rawspan.Link)) []spanSpec {
		c, s := call(i, i+1, "a", "b", int(i/100), 100, uint32(2*i), 0, i)
		change(&c.link)
		change(&s.link)
		return []spanSpec{c, s}
	}
	for _, kind := range []struct {
		name string
		of   func(i uint64) []spanSpec
	}{
		{"raw", func(i uint64) []spanSpec { return request(i, func(*rawspan.Link) {}) }},
		{"raw, with a trace header", func(i uint64) []spanSpec {
			return request(i, func(l *rawspan.Link) { l.AppTraceID, l.AppParentID = traceID(i), spanID(i<<32) })
		}},
		{"raw, with an x-request-id", func(i uint64) []spanSpec {
			return request(i, func(l *rawspan.Link) { l.ReqRequestID = []string{fmt.Sprintf("%032x", i)} })
		}},
		{"sdk", func(i uint64) []spanSpec {
			return []spanSpec{
				{id: i, kind: ptrace.SpanKindClient, start: int(i / 100), duration: 100, trace: i},
				{id: i + 1, kind: ptrace.SpanKindServer, start: int(i / 100), duration: 90, trace: i, parent: i},
			}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for range b.N {
				r := newRig(b, func(c *Config) { c.MaxLinkFacts = 2 * half })
				r.next = consumertest.NewNop()
				next := uint64(1)
				leave := func(spans int) int {
					for end := next + uint64(spans); next < end; {
						var batch []spanSpec
						for range 100 {
							batch, next = append(batch, kind.of(next)...), next+2
						}
						td := batchOf(batch...)
						for _, rs := range td.ResourceSpans().All() {
							rs.Resource().Attributes().PutInt(rawspan.ResPID, 7)
						}
						require.NoError(b, r.ConsumeTraces(b.Context(), td))
						if next%20_000 == 1 {
							r.pass(time.Second)
						}
					}
					r.pass(30 * time.Second)
					return resident(b)
				}
				first := leave(half)
				b.ReportMetric(float64(leave(half)-first)/half, "B/fact")
				require.Equal(b, 2*half, r.retained.Len())
				require.Equal(b, 2*half, r.index.Len())
				r.arena.Free()
			}
		})
	}
}
