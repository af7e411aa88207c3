package store

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// residentKiB is how much of the files in dir is in the memory of this process.
func residentKiB(t *testing.T, dir string) (sum int) {
	smaps, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	ours := false
	for line := range strings.Lines(string(smaps)) {
		kib := 0
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kib); err == nil {
			if ours {
				sum += kib
			}
		} else if head, _, _ := strings.Cut(line, " "); strings.Contains(head, "-") {
			ours = strings.Contains(line, dir)
		}
	}
	return sum
}

// TestFullGenerationsAreNotInMemory: what waits on the disk would otherwise count as memory, all of it.
func TestFullGenerationsAreNotInMemory(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, Sync: Never, SyncInterval: time.Second})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	payload := make([]byte, 256<<10)
	var first uint64
	const total = 64 << 20
	for n := 0; n < total; n += len(payload) {
		seq, err := s.Append(1, payload)
		require.NoError(t, err)
		if n == 0 {
			first = seq
		}
	}
	require.Less(t, residentKiB(t, dir), total>>11, "half of what was written")
	require.NoError(t, s.Load(first, func(b []byte) error { require.Equal(t, payload, b); return nil }))
}
