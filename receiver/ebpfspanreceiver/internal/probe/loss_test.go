package probe

import (
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/doctable"
)

// Every reason of the kernel side has a name here, and no other has.
func TestLossesAreThoseOfTheKernelSide(t *testing.T) {
	spec, err := bpf.LoadSocket()
	require.NoError(t, err)
	var e *btf.Enum
	require.NoError(t, spec.Types.TypeByName("loss", &e))
	require.Equal(t, "LOSS_MAX", e.Values[len(e.Values)-1].Name)
	require.EqualValues(t, e.Values[len(e.Values)-1].Value, len(losses))
}

// Every reason is explained, and nothing else is.
func TestLossesAreDocumented(t *testing.T) {
	want := []string{programMissed}
	for _, l := range losses {
		want = append(want, l.name)
	}
	require.ElementsMatch(t, want, doctable.FirstColumn(t, doctable.Counters, "`events_lost{reason=…}`"))
}

func TestMissesAreToldByProgram(t *testing.T) {
	var l Loss
	l.add("a", 0)
	require.Nil(t, l.Programs)
	l.add("b", 2)
	l.add("c", 3)
	require.Equal(t, Loss{Count: 5, Programs: map[string]uint64{"b": 2, "c": 3}}, l)
}

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
