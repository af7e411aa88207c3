package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/check"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/check/checktest"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/selfmetrics"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/sink"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

// concluded returns what conclude prints and the error that becomes the exit code.
func concluded(t *testing.T, o options, v *verdict) (string, error) {
	t.Helper()
	d := &demo{o: o}
	var err error
	d.sink, err = sink.Listen()
	require.NoError(t, err)
	defer d.sink.Close()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	old := os.Stdout
	os.Stdout = w
	out := make(chan string)
	go func() { b, _ := io.ReadAll(r); out <- string(b) }()
	result := d.conclude(v, nil)
	os.Stdout = old
	require.NoError(t, w.Close())
	return strings.TrimSpace(<-out), result
}

func seen(spoil func([]span.Span) []span.Span) *verdict {
	v := &verdict{metrics: selfmetrics.Metrics{"otelcol_receiver_ebpf_span_events_lost_total": 0, "otelcol_x_dropped": 5}}
	v.load = check.Load{Requests: []plan.Request{plan.Checkout("r1"), plan.Checkout("r2")}, Start: 1}
	var w checktest.World
	for _, r := range v.load.Requests {
		w.Request(r, 1000)
	}
	v.spans = w.Spans
	if spoil != nil {
		v.spans = spoil(v.spans)
	}
	v.report = check.Run(v.load, v.spans)
	return v
}

func last(out string) string { return out[strings.LastIndexByte(out, '\n')+1:] }

func TestConclude(t *testing.T) {
	out, err := concluded(t, options{}, seen(nil))
	require.NoError(t, err)
	require.Equal(t, "demo: requests=2 traces=2 spans=58 wrong_parents=0 orphans=0 lost_events=0", last(out))
	require.Equal(t, 2, strings.Count(out, "\ntrace ")+strings.Count(out[:6], "trace "), "every trace is shown")
	require.Contains(t, out, "Open next")

	out, err = concluded(t, options{check: true}, seen(nil))
	require.NoError(t, err)
	require.NotContains(t, out, "Open next")

	out, err = concluded(t, options{check: true}, seen(func(s []span.Span) []span.Span {
		s[3].Parent = pcommon.SpanID{}
		return s
	}))
	require.ErrorContains(t, err, "1 of 2 requests")
	require.Contains(t, out, "otelcol_x_dropped 5", "the loss counters are shown")
	require.Contains(t, out, "request r1:", "the offending trace is shown")
	require.NotContains(t, out, "request r2:")
	require.Contains(t, last(out), "orphans=1")

	_, err = concluded(t, options{check: true}, seen(func([]span.Span) []span.Span { return nil }))
	require.ErrorContains(t, err, "0 of 2 requests")

	v := seen(nil)
	v.lost, v.lostSeries = 7, []string{`x_lost{reason="a"} 3`, `x_lost{reason="b"} 4`}
	out, err = concluded(t, options{check: true}, v)
	require.ErrorContains(t, err, `lost 7 records: x_lost{reason="a"} 3, x_lost{reason="b"} 4`)
	require.Contains(t, out, "\ndemo: lost: x_lost{reason=\"a\"} 3\ndemo: lost: x_lost{reason=\"b\"} 4\ndemo: requests=")
	require.Contains(t, last(out), "lost_events=7")

	v = seen(nil)
	v.metricsErr = selfmetrics.ErrNoLost
	out, err = concluded(t, options{check: true}, v)
	require.ErrorIs(t, err, selfmetrics.ErrNoLost)
	require.Contains(t, last(out), "lost_events=unknown")

	_, err = concluded(t, options{check: true}, nil)
	require.ErrorContains(t, err, "nothing was traced")
}
