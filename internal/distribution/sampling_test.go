package distribution

import (
	"fmt"
	"maps"
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

// sendTrips sends all first parts, then all second ones: the spans of a trace come in three requests.
func (i *instance) sendTrips(t *testing.T, trips int) {
	t.Helper()
	now := time.Now()
	for part := range 3 {
		for n := range trips {
			i.send(t, trip(now, n)[part])
		}
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
			i.sendTrips(t, trips)
			// The window, and then the decision: a shutdown would cut both short.
			time.Sleep(5 * time.Second)
			i.stop(t)
			linkedBefore(t, i.written(t), trips)
		})
	}
}

// Samplers behind ebpf_link go on from the threshold that it states (ot=th:): a quarter of the traces is the same quarter,
// by its own ratio, by half of the half that it left, or by whoever brings that half down to a quarter.
func TestProbabilisticSamplerGoesOnFromOurs(t *testing.T) {
	const trips = 80
	with := func(ratio, percentage, mode string) []string {
		return []string{
			"--config", "yaml:processors::ebpf_link::sampling_ratio: " + ratio,
			"--config", "yaml:processors::probabilistic_sampler: {mode: " + mode + ", sampling_percentage: " + percentage + "}",
			"--config", "yaml:service::pipelines::traces::processors: [ebpf_link, probabilistic_sampler]",
		}
	}
	var quarter map[string]string
	for _, c := range []struct {
		name string
		args []string
	}{
		{"sampling_ratio", with("0.25", "100", "equalizing")},
		{"proportional", with("0.5", "50", "proportional")},
		{"equalizing", with("0.5", "25", "equalizing")},
	} {
		i := prepare(t, t.TempDir(), map[string]string{"OTELCOL_EBPF_EXPORTERS": "[file]", "OTELCOL_EBPF_WINDOW": "2s"},
			append([]string{"--config", config("gateway.yaml")}, c.args...)...)
		i.run(t)
		i.sendTrips(t, trips)
		time.Sleep(4 * time.Second)
		i.stop(t)
		got := i.written(t)
		linkedBefore(t, got, trips)
		kept := map[string]string{}
		for name, s := range got {
			kept[name] = s.TraceID
			if s.TraceState != "ot=th:c" {
				t.Errorf("%s: %s says %q, want a quarter, ot=th:c", c.name, name, s.TraceState)
			}
			// The last 56 bits of the id against the threshold, which is 0xc0000000000000.
			if s.TraceID[18] < 'c' {
				t.Errorf("%s: %s of trace %s is below the threshold", c.name, name, s.TraceID)
			}
		}
		if quarter == nil {
			quarter = kept
		}
		if !maps.Equal(kept, quarter) {
			t.Errorf("%s keeps %d spans, others than the %d of sampling_ratio", c.name, len(kept), len(quarter))
		}
	}
}
