package ebpfspanreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

func TestRubyIsDoubted(t *testing.T) {
	var c counts
	var s processes
	for _, p := range []*process.Process{
		{PID: 1, Runtime: process.RuntimeRuby, ServiceName: "ruby"}, {PID: 2, Runtime: process.RuntimePython, ServiceName: "python"},
	} {
		s.add(p)
		var to target
		newRuby(nil, zap.NewNop(), &c).use(p, &to)
		s.know(uint32(p.PID), &to)
	}
	require.True(t, s.locks(1))
	require.Len(t, c.missing.of("ruby"), 1)
	require.False(t, s.locks(2), "Python's lock has a place of its own")
	require.Empty(t, c.missing.of("python"))
	require.False(t, s.locks(3))
}
