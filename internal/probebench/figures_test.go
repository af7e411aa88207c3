package main

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// As wrk 4.1.0 prints it.
const wrkOutput = `Running 4s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   278.13us  102.47us   2.12ms   84.71%
    Req/Sec   110.25k     3.91k  115.21k    80.00%
  Latency Distribution
     50%  262.00us
     75%  301.00us
     90%  367.00us
     99%    1.46ms
  438641 requests in 4.00s, 351.40MB read
Requests/sec: 109654.13
Transfer/sec:     87.85MB
`

func TestParseWrk(t *testing.T) {
	r, err := parseWrk(wrkOutput)
	require.NoError(t, err)
	require.Equal(t, loadResult{requests: 438641, perSecond: 109654.13, p99: 1460 * time.Microsecond}, r)

	for name, text := range map[string]string{
		"socket errors": strings.Replace(wrkOutput, "Requests/sec", "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec", 1),
		"refused":       strings.Replace(wrkOutput, "Requests/sec", "  Non-2xx or 3xx responses: 12\nRequests/sec", 1),
		"nothing":       strings.NewReplacer("438641 requests", "0 requests").Replace(wrkOutput),
		"another wrk":   "hello",
	} {
		_, err := parseWrk(text)
		require.Error(t, err, name)
	}
}

func TestSpread(t *testing.T) {
	require.Equal(t, spread{1, 2, 9}, spreadOf([]float64{9, 1, 2}))
	require.Equal(t, spread{1, 2.5, 9}, spreadOf([]float64{9, 3, 1, 2}))
	require.True(t, math.IsNaN(spreadOf(nil).median))
}

func figuresOf(server string, lost int64) figures {
	at := func(rate float64) sample { return sample{loadResult: loadResult{requests: 10, perSecond: rate}} }
	c := at(90)
	c.report = message{Spans: map[string]uint64{"Server": 8}, Counters: map[string]int64{
		"receiver_ebpf_span_events_lost{reason=events_full}": lost, "receiver_ebpf_span_dropped{reason=lost_interest}": 7,
	}}
	withPrograms := c
	withPrograms.programs = []programStats{
		{name: "rare", runs: hookRuns - 1, runtime: time.Second},
		{name: "exit_read", runs: 2000, runtime: 2000 * 321},
	}
	return figures{
		server: server,
		runs:   map[variant][]sample{plain: {at(100), at(200), at(100)}, full: {c, at(190), at(80)}},
		stats:  map[variant]sample{full: withPrograms},
	}
}

// Ratios are those of runs of one round, not of medians.
func TestLastLine(t *testing.T) {
	var out strings.Builder
	o := options{full: true}
	require.NoError(t, lastLine(&out, []figures{figuresOf("nginx", 3), figuresOf("go", 0)}, o))
	require.Equal(t, "probe: nginx_ratio=0.900 go_ratio=0.900 ns_per_hook_max=321 events_lost=6\n", out.String())

	f := figuresOf("go", 0)
	f.stats = nil
	for i := range f.runs[full] {
		f.runs[full][i].report = message{}
	}
	out.Reset()
	err := lastLine(&out, []figures{f}, o)
	require.ErrorContains(t, err, "no span")
	require.ErrorContains(t, err, "no counter of lost events")
	require.Contains(t, out.String(), "events_lost=unknown")
	require.Contains(t, out.String(), "nginx_ratio=not_measured")
}

func TestSince(t *testing.T) {
	before := []programStats{{id: 1, runs: 5, runtime: 50}}
	after := []programStats{{id: 1, runs: 15, runtime: 250}, {id: 2, runs: 1, runtime: 900}}
	require.Equal(t, []programStats{{id: 2, runs: 1, runtime: 900}, {id: 1, runs: 10, runtime: 200}}, since(before, after))
	require.InDelta(t, 20.0, since(before, after)[1].perRun(), 1e-9)
}

func TestWithout(t *testing.T) {
	a := []programStats{{name: "enter_epoll_pwait"}, {name: "go_send"}}
	require.Equal(t, []string{"go_send"}, without(a, []programStats{{name: "enter_epoll_pwa"}}))
}

func TestMachineTime(t *testing.T) {
	all, busy, err := machineTime()
	require.NoError(t, err)
	require.Greater(t, busy, time.Duration(0))
	require.Greater(t, all, busy)
	require.Eventually(t, func() bool {
		later, laterBusy, err := machineTime()
		require.NoError(t, err)
		require.LessOrEqual(t, laterBusy-busy, later-all)
		return later > all
	}, 5*time.Second, 20*time.Millisecond)
}

// A process that burns CPU must be seen to; one that sleeps must not.
func TestCPUTime(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	require.NoError(t, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	require.Eventually(t, func() bool {
		d, err := cpuTime(cmd.Process.Pid)
		require.NoError(t, err)
		return d >= 50*time.Millisecond
	}, 10*time.Second, 20*time.Millisecond)
	_, err := cpuTime(1 << 30)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-servers", "apache"}, {"-variants", "D"}, {"-rounds", "0"}, {"-time", "1500ms"}, {"-connections", "1", "-threads", "2"}, {"x"},
	} {
		_, err := parseFlags(args)
		require.Error(t, err, args)
	}
	o, err := parseFlags(nil)
	require.NoError(t, err)
	require.True(t, o.empty && o.full)
}
