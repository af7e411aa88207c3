package distribution

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// trip is a request that leads to another: the spans of three hosts, in the order in which they arrive.
func trip(now time.Time, n int) []map[string]span {
	at := func(ms int) string {
		return strconv.FormatInt(now.Add(time.Duration(ms-100)*time.Millisecond).UnixNano(), 10)
	}
	seq, id := 1000*n+1, func(i int) string { return fmt.Sprintf("%016x", 100*n+i) }
	of := func(name string, i, kind, from, to, seq int, attrs ...attr) span {
		return span{
			TraceID: fmt.Sprintf("%032x", 100*n+i), SpanID: id(i), Name: fmt.Sprintf("%s %d", name, n), Kind: kind,
			Start: at(from), End: at(to), Attributes: append([]attr{number("tcp.req_seq", seq), number("tcp.resp_seq", seq+1)}, attrs...),
		}
	}
	inside := text("syscall.trace_id", fmt.Sprintf("%016x", n+1))
	return []map[string]span{
		{"c": of("second server", 4, kindServer, 30, 60, seq+10)},
		{"a": of("first client", 1, kindClient, 0, 90, seq), "b": of("second client", 3, kindClient, 20, 70, seq+10, inside)},
		{"b": of("first server", 2, kindServer, 10, 80, seq, inside)},
	}
}

// linkedBefore wants every trace of four spans exported whole or not at all, and both to happen.
func linkedBefore(t *testing.T, got map[string]span, trips int) {
	t.Helper()
	kept := 0
	for n := range trips {
		traces := map[string]int{}
		for _, name := range []string{"first client", "first server", "second client", "second server"} {
			if s, ok := got[fmt.Sprintf("%s %d", name, n)]; ok {
				traces[s.TraceID]++
			}
		}
		switch whole := len(traces) == 1; {
		case len(traces) == 0:
		case whole && traces[got[fmt.Sprintf("first client %d", n)].TraceID] == 4:
			kept++
		default:
			t.Errorf("trip %d is split by sampling or not linked: %v", n, traces)
		}
	}
	if kept == 0 || kept == trips {
		t.Errorf("%d of %d traces were kept: nothing was sampled", kept, trips)
	}
}

// What ebpf_link joins is sampled as one trace: by its own ratio, and by tail_sampling behind it.
func TestTracesAreSampledWhole(t *testing.T) {
	const trips = 40
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"tail_sampling":  {map[string]string{"OTELCOL_EBPF_KEEP_PERCENT": "50"}, nil},
		"sampling_ratio": {nil, []string{"--config", "yaml:processors::ebpf_link::sampling_ratio: 0.5"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{
				"OTELCOL_EBPF_EXPORTERS": "[file]", "OTELCOL_EBPF_WINDOW": "2s", "OTELCOL_EBPF_DECISION_WAIT": "1s",
			}
			for k, v := range c.env {
				env[k] = v
			}
			i := prepare(t, t.TempDir(), env, append([]string{"--config", config("gateway.yaml")}, c.args...)...)
			i.run(t)
			// All first parts, then all second ones: the spans of a trace come in three requests.
			now := time.Now()
			for part := range 3 {
				for n := range trips {
					i.send(t, trip(now, n)[part])
				}
			}
			// The window, and then the decision: a shutdown would cut both short.
			time.Sleep(5 * time.Second)
			i.stop(t)
			linkedBefore(t, i.written(t), trips)
		})
	}
}
