package probe

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// Looked at some 16 times a second while calls wait.
func BenchmarkLosses(b *testing.B) {
	bpftest.Need(b)
	t, err := Load(Options{PayloadSize: 4096, RingBufferSize: 1 << 20})
	require.NoError(b, err)
	defer func() { require.NoError(b, t.Close()) }()
	b.ReportAllocs()
	for b.Loop() {
		_, err := t.Losses()
		require.NoError(b, err)
	}
}
