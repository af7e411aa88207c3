package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFullDisk: on a file system of its own that somebody else fills, nothing ends the process: batches are
// refused, what is stored can be read and marked, and all goes on when there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("store", dir, "tmpfs", 0, "size=96m"); err != nil {
		t.Skipf("mounting a tmpfs needs root: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	h := &heard{}
	s, err := Open(Options{Dir: dir, Sync: Interval, SyncInterval: 10 * time.Millisecond, MaxFacts: 1000, FactsFor: time.Hour, Failed: h.failed})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	payload := make([]byte, 100<<10)
	var in []uint64
	for range 100 {
		in = append(in, appended(t, s, 1, payload))
	}
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	require.NoError(t, err)
	for size := 1 << 20; size >= 4096; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	require.NoError(t, f.Close())
	refused := 0
	for range 300 {
		n, err := s.Append(1, payload)
		if err == nil {
			in = append(in, n) // into what was reserved
			continue
		}
		require.ErrorIs(t, err, ErrFull)
		refused++
	}
	require.Positive(t, refused)
	for i, n := range in {
		require.NoError(t, s.Load(n, func(b []byte) error { require.Len(t, b, len(payload)); return nil }))
		require.NoError(t, s.Release([]Departure{{Seq: n, Marks: []Mark{{Ordinal: uint32(i)}}}}), "marks have room")
	}
	_ = s.Remember(1, make([]byte, 1<<20))
	require.NoError(t, os.Remove(filler))
	in = append(in, appended(t, s, 1, payload))
	for _, n := range in {
		require.NoError(t, s.Release([]Departure{{Seq: n, Last: true}}))
	}
	require.NoError(t, s.Remember(1, make([]byte, 1<<20)))
}

// What only a privilege lets the process write to is told, by owner, group and mode.
func TestByPrivilege(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	for name, tc := range map[string]struct {
		uid, gid int
		mode     os.FileMode
		want     bool
	}{
		"one's own":                          {0, 0, 0o700, false},
		"one's own, not to be written":       {0, 0, 0o500, true},
		"another's":                          {65534, 65534, 0o755, true},
		"another's, of one's group":          {65534, 0, 0o770, false},
		"another's, of one's group, to read": {65534, 0, 0o757, true},
		"another's, open to all":             {65534, 65534, 0o777, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dir")
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.Chown(dir, tc.uid, tc.gid))
			require.NoError(t, os.Chmod(dir, tc.mode))
			require.Equal(t, tc.want, byPrivilege(dir))
		})
	}
	require.False(t, byPrivilege(filepath.Join(t.TempDir(), "gone")))
}
