package ebpflinkprocessor

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// TestTally: each report has what was counted since the one before.
func TestTally(t *testing.T) {
	ctx := context.Background()
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(ctx)) }()
	c, err := tel.NewTelemetrySettings().MeterProvider.Meter("test").Int64Counter("n")
	require.NoError(t, err)
	var n tally[string]
	total := map[string]int64{}
	for round := range 3 {
		for i, name := range []string{"a", "a", "b", "a", "c", "b"} {
			if round == 1 && name == "c" {
				continue
			}
			n.add(name, int64(i))
			total[name] += int64(i)
		}
		n.add("nothing", 0)
		n.report(ctx, c, func(name string) metric.MeasurementOption { return with("name", name) })
		m, err := tel.GetMetric("n")
		require.NoError(t, err)
		got := map[string]int64{}
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			v, _ := p.Attributes.Value("name")
			got[v.AsString()] = p.Value
		}
		require.Equal(t, total, got)
	}
}
