package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// disk is the files of a directory.
type disk map[string][]byte

func look(t *testing.T, dir string) disk {
	d := disk{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		d[rel] = b
		return err
	})
	require.NoError(t, err)
	return d
}

// powerCut writes to dir what a power cut may leave of now when before had been synced: of each page of a
// file one of the two, and a file that is new with any of its pages, or empty.
func powerCut(t *testing.T, before, now disk, dir string) {
	const page = 4096
	for name, b := range now {
		old := before[name]
		out := bytes.Clone(b)
		for at := 0; at < len(out); at += page {
			end := min(at+page, len(out))
			if rand.IntN(2) == 0 {
				clear(out[at:end])
				if at < len(old) {
					copy(out[at:end], old[at:])
				}
			}
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, out, 0o600))
	}
}

// dirty is how many bytes of memory maps of files below dir are not on the disk, proc_pid_smaps(5), or -1
// where the file system has no disk.
func dirty(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return -1
	}
	sum, mapped, inside := 0, 0, false
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) >= 5 && !bytes.HasSuffix(f[0], []byte(":")) {
			inside = len(f) > 5 && bytes.HasPrefix(f[5], []byte(dir))
			continue
		}
		if n := 0; inside && bytes.HasSuffix(f[0], []byte("_Dirty:")) {
			_, err := fmt.Sscan(string(f[1]), &n)
			require.NoError(t, err)
			sum += n << 10
		} else if inside && string(f[0]) == "Rss:" {
			mapped++
		}
	}
	require.Positive(t, mapped)
	return sum
}

// TestAlwaysIsOnTheDisk: before Append returns, the pages that it wrote are; with interval, after a sync.
func TestAlwaysIsOnTheDisk(t *testing.T) {
	bytesAfter := func(mode Sync) int {
		dir := t.TempDir()
		s := opened(t, dir, func(o *Options) { o.Sync, o.SyncInterval = mode, time.Hour })
		for range 3 {
			appended(t, s, 1, make([]byte, 1<<20))
		}
		if mode == Interval {
			s.sync()
		}
		return dirty(t, dir)
	}
	if n := bytesAfter(Never); n < 3<<20 {
		t.Skipf("%d bytes of 3 MiB are dirty without a sync: the temporary directory is on no disk, or smaps does not tell", n)
	}
	// Badger maps its discard statistics, which nothing here needs.
	require.Less(t, bytesAfter(Always), 64<<10)
	require.Less(t, bytesAfter(Interval), 64<<10, "after a sync")
}

// TestPowerCut: nothing that was synced is lost, and the directory opens.
func TestPowerCut(t *testing.T) {
	const synced, after = 30, 20
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			dir := t.TempDir()
			s := opened(t, dir, func(o *Options) { o.Sync, o.SyncInterval, o.MaxBytes = Interval, time.Hour, 64<<20 })
			want := map[uint64][]byte{}
			add := func() uint64 {
				b := make([]byte, 500+rand.IntN(80<<10))
				for i := range b {
					b[i] = byte(rand.Uint32())
				}
				n := appended(t, s, 1, b)
				want[n] = b
				return n
			}
			must := uint64(0)
			for range synced {
				must = add()
			}
			require.NoError(t, s.Remember(1, []byte("facts")))
			s.sync()
			before := look(t, dir)
			for i := range after {
				n := add()
				if i%5 == 0 {
					require.NoError(t, s.Release([]Departure{{Seq: n, Marks: []Mark{{Ordinal: 1}}}}))
				}
			}
			cut := t.TempDir()
			powerCut(t, before, look(t, dir), cut)

			h := &heard{}
			again, err := Open(Options{Dir: cut, Sync: Interval, SyncInterval: time.Hour, MaxFacts: 10, FactsFor: time.Hour, Failed: h.failed})
			require.NoError(t, err)
			defer func() { require.NoError(t, again.Close()) }()
			got := map[uint64]bool{}
			require.NoError(t, again.Replay(func(b Batch) error {
				require.Equal(t, want[b.Seq], b.Payload, "batch %d", b.Seq)
				got[b.Seq] = true
				return nil
			}))
			facts := 0
			require.NoError(t, again.Recall(func(time.Duration, int, []byte) error { facts++; return nil }))
			require.Equal(t, 1, facts)
			for n := range must {
				if want[n+1] != nil {
					require.True(t, got[n+1], "batch %d of %d is lost\n%v", n+1, must, h.all())
				}
			}
			t.Logf("%d of %d batches, %d of them certain", len(got), len(want), must)
		})
	}
}

// TestPowerCutBeforeTheFirstSync: what was never forced to the disk may be in any state. The directory opens,
// and says what is lost.
func TestPowerCutBeforeTheFirstSync(t *testing.T) {
	said := 0
	for range 12 {
		dir := t.TempDir()
		s := opened(t, dir, func(o *Options) { o.SyncInterval, o.MaxBytes = time.Hour, 64<<20 })
		for range 20 {
			appended(t, s, 1, bytes.Repeat([]byte{7}, 20<<10))
		}
		require.NoError(t, s.Remember(1, []byte("facts")))
		now := look(t, dir)
		before := disk{}
		for name, b := range now {
			if filepath.Base(name) == formatFile {
				before[name] = b // written before the first batch
			}
		}
		cut := t.TempDir()
		powerCut(t, before, now, cut)
		h := &heard{}
		again, err := Open(Options{Dir: cut, Sync: Interval, SyncInterval: time.Hour, MaxFacts: 10, FactsFor: time.Hour, Failed: h.failed})
		require.NoError(t, err)
		got := 0
		require.NoError(t, again.Replay(func(b Batch) error {
			require.Equal(t, bytes.Repeat([]byte{7}, 20<<10), b.Payload)
			got++
			return nil
		}))
		require.NoError(t, again.Recall(func(time.Duration, int, []byte) error { return nil }))
		require.NoError(t, again.Close())
		said += len(h.all())
	}
	require.Positive(t, said)
}
