package ebpfspanreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
)

// What a process did before it was looked at is not lost; what nobody selects is, and counted.
func TestUnknownProcesses(t *testing.T) {
	var u unknown
	now := time.Now()
	for _, tgid := range []uint32{7, 8, 7} {
		require.True(t, u.hold(&exchange.Exchange{Tgid: tgid}, origin{owner: &causality.Answer{}}, now))
	}
	var out []uint32
	due := uint32(8)
	release := func(at time.Time, selected uint32) int {
		return u.release(at, func(tgid uint32) bool { return tgid == selected }, func(tgid uint32) bool { return tgid == due },
			func(x *exchange.Exchange, from origin) {
				require.NotNil(t, from.owner)
				out = append(out, x.Tgid)
			})
	}
	require.Zero(t, release(now, 0))
	require.Zero(t, release(now, 7))
	require.Equal(t, []uint32{7, 7}, out)
	require.Zero(t, release(now.Add(inheritFor+1), 7), "8 has still to be looked at")
	due = 0
	require.Equal(t, 1, release(now.Add(inheritFor+1), 7), "8 was never selected")
	require.Empty(t, u.waiting)
	for range maxUnknown {
		require.True(t, u.hold(&exchange.Exchange{}, origin{}, now))
	}
	require.False(t, u.hold(&exchange.Exchange{}, origin{}, now))
}
