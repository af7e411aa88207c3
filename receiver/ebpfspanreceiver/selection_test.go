package ebpfspanreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// Lost records of processes ask for one rescan, and other records for none.
func TestLostProcessesAreLookedFor(t *testing.T) {
	var lost []probe.Loss
	r := &ebpfReceiver{losses: func() ([]probe.Loss, error) { return lost, nil }}
	rescans := func() bool {
		r.watch = process.NewWatch(nil, time.Minute, nil)
		r.rescanLost()
		return r.watch.Waiting(1)
	}
	require.False(t, rescans())
	lost = []probe.Loss{{Reason: "events_full", Count: 3}, {Reason: probe.ProcessesFull}}
	require.False(t, rescans())
	lost[1].Count = 2
	require.True(t, rescans())
	require.False(t, rescans(), "it was read since")
	lost[1].Count = 5
	require.True(t, rescans())
}
