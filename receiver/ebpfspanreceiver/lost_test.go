package ebpfspanreceiver

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestKernelLostRecords: the ring buffer is full while requests are served. What was lost costs links and makes none
// wrong, and those before and after it are as ever.
func TestKernelLostRecords(t *testing.T) {
	bpftest.Need(t)
	base, pid := startChild(t, "go-hands")
	r, sink := receiverAndSink(t, func(c *Config) {
		c.Discovery.Include = []SelectorConfig{{PIDs: []int{pid}}}
		c.Hold, c.Explain, c.RingBufferSize = time.Second, true, 256<<10
	})
	time.Sleep(time.Second)
	const clients, each = 8, 10
	load := func(when string) {
		var wg sync.WaitGroup
		for w := range clients {
			wg.Go(func() {
				for i := range each {
					resp, err := http.Get(fmt.Sprintf("%s/root/%s-%d-%d", base, when, w, i))
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
	}
	lost := func() uint64 {
		all, err := r.tracer.Losses()
		require.NoError(t, err)
		return all[0].Count // events_full
	}
	load("before")
	time.Sleep(time.Second) // until they are decided
	require.Zero(t, lost())
	r.processes.mu.Lock() // nobody reads
	for round := 0; lost() == 0 && round < 50; round++ {
		load(fmt.Sprint("during", round))
	}
	r.processes.mu.Unlock()
	require.Positive(t, lost())
	load("next") // shows what is missing, which is then waited for
	time.Sleep(3 * time.Second)
	load("after")
	time.Sleep(3 * time.Second)

	roots, linked, refused := map[uint64]string{}, map[string]int{}, 0
	for _, s := range spansOf(sink) {
		if id, ok := strings.CutPrefix(s.path, "/root/"); ok {
			roots[s.link.Systrace] = id
		}
	}
	for _, s := range spansOf(sink) {
		if s.Kind() != ptrace.SpanKindClient {
			continue
		}
		if why, ok := s.Attributes().Get("ebpf.link.refused"); ok && strings.Contains(why.AsString(), "goroutine_created: records_lost") {
			refused++
		}
		id, how, ok := cutLast(strings.TrimPrefix(s.path, "/leaf/"))
		require.True(t, ok, s.path)
		of, ended := roots[s.link.Systrace]
		if s.link.Systrace == 0 || !ended {
			continue
		}
		require.Equal(t, of, id, "%s: %v", s.path, s.link.Hints)
		when, _, _ := strings.Cut(id, "-")
		linked[when+" "+how]++
	}
	t.Logf("%d records lost; linked %v; %d calls refused", lost(), linked, refused)
	require.Positive(t, refused)
	for _, when := range []string{"before", "after"} {
		require.GreaterOrEqual(t, linked[when+" made"], clients*each*8/10, when)
	}
}
