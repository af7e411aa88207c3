package probe

import (
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/goruntime"
)

func TestGroups(t *testing.T) {
	var got []group
	for _, g := range groups([]Site{{"a", 1, false}, {"b", 2, false}, {"a", 3, true}, {"a", 4, false}}) {
		got = append(got, *g)
	}
	require.Equal(t, []group{
		{program: "a", offsets: []uint64{1, 4}},
		{program: "b", offsets: []uint64{2}},
		{program: "a", back: true, offsets: []uint64{3}},
	}, got)
}

// TestKernelSites: what sits on several sites of a file is hit at them while it is attached, and not after.
func TestKernelSites(t *testing.T) {
	tr, _ := startTracer(t)
	counting, err := ebpf.EnableStats(0)
	require.NoError(t, err)
	defer counting.Close()
	const self = "/proc/self/exe"
	info, err := goruntime.Inspect(self)
	require.NoError(t, err)
	var sites []Site
	for _, s := range info.Sites {
		switch s.Kind {
		case goruntime.NewGoroutine:
			sites = append(sites, Site{Program: "go_new", Offset: s.Offset})
		case goruntime.ChanSend, goruntime.ChanRecv:
			sites = append(sites, Site{Program: "go_send", Offset: s.Offset})
		}
	}
	require.GreaterOrEqual(t, len(sites), 3)
	hits := func(name string) uint64 {
		p, err := tr.program(name)
		require.NoError(t, err)
		s, err := p.Stats()
		require.NoError(t, err)
		return s.RunCount
	}
	spawn := func() {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {})
		}
		wg.Wait()
	}
	attached, err := tr.AttachSites(self, sites)
	require.NoError(t, err)
	spawn()
	require.GreaterOrEqual(t, hits("go_new"), uint64(100))
	require.NoError(t, attached.Close())
	before := hits("go_new")
	spawn()
	require.Equal(t, before, hits("go_new"))

	_, err = tr.AttachSites(self, []Site{{Program: "go_new", Offset: 1 << 50}})
	require.ErrorContains(t, err, "uprobe go_new of "+self)
	_, err = tr.AttachSites(self, []Site{{Program: "none"}})
	require.ErrorContains(t, err, `no program "none"`)
}
