package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// oldest is the gauge.
func (r *rig) oldest() time.Duration {
	m, err := r.tel.GetMetric("otelcol_processor_ebpf_link_oldest_fact_age")
	require.NoError(r.t, err)
	points := m.Data.(metricdata.Gauge[float64]).DataPoints
	require.Len(r.t, points, 1)
	return time.Duration(points[0].Value * float64(time.Second))
}

// TestTooFewLinkFactsAreSaid: where max_link_facts and not link_retention ends what is remembered, the gauge shows how
// far back it goes, and the log says once an hour what would keep it.
func TestTooFewLinkFactsAreSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		most int
		// said is how often, oldest what the gauge shows after two hours of a span every ten seconds.
		said   int
		oldest time.Duration
	}{
		{"too few", 6, 2, 50 * time.Second},
		{"enough", 360, 0, 3590 * time.Second},
		{"none are wanted", 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.MaxLinkFacts = tt.most })
			core, log := observer.New(zap.WarnLevel)
			r.set.Logger = zap.New(core)
			require.NoError(t, r.observe())
			require.Zero(t, r.oldest(), "nothing has left")
			for i := range uint64(720) {
				r.consume(spanSpec{id: i + 1, host: "a", kind: ptrace.SpanKindServer, link: rawspan.Link{Systrace: i + 1}, duration: 5})
				r.pass(10 * time.Second)
			}
			require.Equal(t, tt.oldest, r.oldest())
			require.Equal(t, tt.said, log.Len())
			require.Equal(t, tt.most < 360, r.metric("facts_retired", "max_link_facts") > 0)
			require.Equal(t, tt.most >= 360, r.metric("facts_retired", "link_retention") > 0)
			for _, e := range log.All() {
				require.Contains(t, e.Message, "raise it, or shorten link_retention")
				require.Equal(t, map[string]any{
					"max_link_facts": int64(6), "oldest_fact_age": "50s", "link_retention": "1h0m0s",
					// 6 in 50 s.
					"max_link_facts_needed": int64(432), "memory_needed_mib": int64(1),
				}, e.ContextMap())
			}
		})
	}
}

// TestABurstSaysNothingOfARate: spans that leave at once are not counted as if so many left in each instant.
func TestABurstSaysNothingOfARate(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxLinkFacts = 3 })
	core, log := observer.New(zap.WarnLevel)
	r.set.Logger = zap.New(core)
	for i := range uint64(5) {
		r.consume(spanSpec{id: i + 1, host: "a", kind: ptrace.SpanKindServer, link: rawspan.Link{Systrace: i + 1}, duration: 5})
	}
	r.pass(21 * time.Second)
	require.Equal(t, 1, log.Len())
	said := log.All()[0].ContextMap()
	require.Equal(t, "0s", said["oldest_fact_age"])
	require.EqualValues(t, 3*3600, said["max_link_facts_needed"])
	require.EqualValues(t, 4, said["memory_needed_mib"])
}
