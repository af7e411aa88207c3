package probe

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// TestKernelTaken: a thread of Ruby that asks for the state of a connection serves the request that another has read there.
// Scripts: see TestKernelLoop.
func TestKernelTaken(t *testing.T) {
	tr, rec := startTracer(t)
	setup := "loop accept a; loop accept b; worker dial u; loop dial v; loop wait; peer a R1; loop read a; loop wait; "
	for name, c := range map[string]struct {
		target Target
		script string
		want   []string
		taken  map[string]string // by call, whose writer has: which request
	}{
		"a thread": {
			Target{Ruby: true},
			setup + "worker look a; worker write u C1; peer u r1; worker read u; worker write u C2",
			[]string{"same_thread C1 R1 0/0", "same_thread C2 R1 0/0"},
			map[string]string{"C1": "R1"},
		},
		"after a call for nobody": {
			Target{Ruby: true},
			setup + "worker write u C1; peer u r1; worker read u; worker look a; worker write a w1",
			nil,
			map[string]string{"C1": "R1"},
		},
		"twice": {
			Target{Ruby: true},
			setup + "worker look a; worker look a; worker write u C1",
			[]string{"same_thread C1 R1 0/0"},
			map[string]string{"C1": "R1"},
		},
		"the next one": {
			Target{Ruby: true},
			setup + "worker look a; peer b R2; loop read b; loop wait; worker look b; worker write u C1",
			[]string{"same_thread C1 R2 0/0"},
			map[string]string{"C1": "R2"},
		},
		"one that has read two, of which another has taken the first": {
			Target{Ruby: true},
			"worker accept a; worker accept b; worker dial u; peer a R1; worker read a; other look a; peer b R2; worker read b; " +
				"worker write u C1; peer u r1; worker read u; worker write b w2",
			[]string{"same_thread C1 R2 0/0"},
			map[string]string{"": "R1"},
		},
		"another runtime":     {Target{}, setup + "worker look a; worker write u C1", nil, nil},
		"another option":      {Target{Ruby: true}, setup + "worker ask a; worker write u C1", nil, nil},
		"an option elsewhere": {Target{Ruby: true}, setup + "worker ask-socket a; worker write u C1", nil, nil},
		"a client":            {Target{Ruby: true}, setup + "worker write u C1; peer u r1; worker read u; worker look u; worker write u C2", []string{"next C2 C1 1/0"}, nil},
		"answered":            {Target{Ruby: true}, setup + "loop write a w1; worker look a; worker write u C1", nil, nil},
		"a loop": {
			Target{Ruby: true}, setup + "peer b R2; loop read b; loop look a; loop write v C1", []string{"loop C1 R2 2/0"}, nil,
		},
		"by itself": {
			Target{Ruby: true},
			setup + "peer b R2; worker read b; worker look b; worker write u C1",
			[]string{"same_thread C1 R2 0/0"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tgid := runLoop(t, tr, rec, c.target, c.script, c.want)
			rec.mu.Lock()
			defer rec.mu.Unlock()
			turns, writers := map[uint64]string{}, map[uint64]string{}
			for _, d := range rec.data {
				switch {
				case d.Tgid != tgid || len(d.Payload) < 2:
				case d.Role == event.Server && d.Dir == event.In:
					turns[d.Turn] = string(d.Payload[:2])
				case d.Role != event.Server && d.Dir == event.Out:
					if _, known := writers[uint64(d.Tid)]; !known {
						writers[uint64(d.Tid)] = string(d.Payload[:2])
					}
				}
			}
			var got map[string]string
			for _, e := range rec.origins {
				if e.Tgid == tgid && e.What == event.Taken {
					require.Equal(t, uint8(event.Thread), e.ContextKind)
					if got == nil {
						got = map[string]string{}
					}
					got[writers[e.Child]] = turns[e.Parent]
				}
			}
			require.Equal(t, c.taken, got)
		})
	}
}
