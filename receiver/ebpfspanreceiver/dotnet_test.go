package ebpfspanreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

func TestDotnetSaysWhatIsNotRead(t *testing.T) {
	var c counts
	d := newDotnet(nil, zap.NewNop(), &c)
	for rt, service := range map[process.Runtime]string{
		process.RuntimeMono: "mono", process.RuntimeDotnet: "dotnet", process.RuntimeGo: "go", process.RuntimeUnknown: "unknown",
	} {
		var h causality.Habits
		d.use(&process.Process{Runtime: rt, ServiceName: service}, &target{learn: func(set func(*causality.Habits)) { set(&h) }})
		require.Equal(t, causality.Habits{Resumes: rt == process.RuntimeMono || rt == process.RuntimeDotnet}, h)
	}
	require.Len(t, c.missing.of("mono"), 1)
	require.Equal(t, c.missing.of("mono"), c.missing.of("dotnet"))
	require.Empty(t, c.missing.of("go"))
	require.Empty(t, c.missing.of("unknown"))
}
