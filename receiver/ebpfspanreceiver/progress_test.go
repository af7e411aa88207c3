package ebpfspanreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgress(t *testing.T) {
	const ms = uint64(time.Millisecond)
	type tick struct {
		at      uint64
		read    uint64 // the last record so far
		drained bool
		want    uint64
	}
	for name, ticks := range map[string][]tick{
		"nothing moves": {
			{at: 1000 * ms, drained: true, want: 0},
			{at: 1020 * ms, drained: true, want: 1000 * ms},
			{at: 1040 * ms, drained: true, want: 1020 * ms},
		},
		"more waits in the buffer": {
			{at: 1000 * ms, drained: true, want: 0},
			{at: 1020 * ms, read: 1001 * ms, want: 1001 * ms},
			{at: 1040 * ms, read: 1002 * ms, want: 1002 * ms},
			{at: 1060 * ms, read: 1050 * ms, drained: true, want: 1050 * ms},
		},
		"this process stood still: what was written meanwhile comes first": {
			{at: 1000 * ms, drained: true, want: 0},
			{at: 1020 * ms, drained: true, want: 1000 * ms},
			{at: 3000 * ms, read: 1022 * ms, want: 1000 * ms},
			{at: 3020 * ms, read: 2000 * ms, want: 1000 * ms},
			{at: 3100 * ms, read: 3001 * ms, drained: true, want: 1000 * ms},
			{at: 3200 * ms, read: 3010 * ms, drained: true, want: 3100 * ms},
		},
		"no end of it": {
			{at: 1000 * ms, drained: true, want: 0},
			{at: 2000 * ms, drained: true, want: 0},
			{at: 2150 * ms, drained: true, want: 0},
			{at: 2300 * ms, drained: true, want: 0},
			{at: 2990 * ms, drained: true, want: 0},
			{at: 3150 * ms, drained: true, want: 2990 * ms},
			{at: 3300 * ms, drained: true, want: 2990 * ms}, // another begins
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p progress
			for _, now := range ticks {
				p.read = max(p.read, now.read)
				require.Equal(t, now.want, p.advance(now.at, now.drained), "at %d ms", now.at/ms)
			}
		})
	}
}
