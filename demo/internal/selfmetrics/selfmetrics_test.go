package selfmetrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const page = `# HELP otelcol_receiver_ebpf_span_events_lost Records lost.
# TYPE otelcol_receiver_ebpf_span_events_lost counter
otelcol_receiver_ebpf_span_events_lost_total{reason="ring full"} 2
otelcol_receiver_ebpf_span_events_lost_total{reason="a\"}b 7"} 1 1700000000000
otelcol_receiver_ebpf_span_events_lost_total{reason="none"} 0
otelcol_receiver_ebpf_span_spans_total 12
otelcol_processor_ebpf_link_dropped{reason="x"} 3
otelcol_process_uptime 1.5e+01
`

func TestParse(t *testing.T) {
	m, err := Parse(strings.NewReader(page))
	require.NoError(t, err)
	require.Len(t, m, 6)
	require.Equal(t, 15.0, m["otelcol_process_uptime"])
	lost, series, err := m.Lost()
	require.NoError(t, err)
	require.Equal(t, 3.0, lost, "the processor's and the delivered ones do not count")
	require.Equal(t, []string{
		`otelcol_receiver_ebpf_span_events_lost_total{reason="a\"}b 7"} 1`,
		`otelcol_receiver_ebpf_span_events_lost_total{reason="ring full"} 2`,
	}, series, "those that are 0 are not named")
	require.Len(t, m.Discards(), 3)
}

func TestLostUnknownIsAnError(t *testing.T) {
	m, err := Parse(strings.NewReader("otelcol_process_uptime 1\notelcol_receiver_ebpf_span_spans_total 1\n"))
	require.NoError(t, err)
	_, _, err = m.Lost()
	require.ErrorIs(t, err, ErrNoLost)
}

func TestBadPages(t *testing.T) {
	for _, bad := range []string{"name", "name{a=\"b\" 3", "name{a=\"b\"} x", "<html> </html>"} {
		_, err := Parse(strings.NewReader(bad))
		require.Error(t, err, bad)
	}
}

func TestRead(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(page))
	}))
	m, err := Read(context.Background(), srv.URL)
	require.NoError(t, err)
	require.Len(t, m, 6)
	status = http.StatusInternalServerError
	_, err = Read(context.Background(), srv.URL)
	require.ErrorContains(t, err, "status 500")
	srv.Close()
	_, err = Read(context.Background(), srv.URL)
	require.ErrorContains(t, err, "cannot be read")
}
