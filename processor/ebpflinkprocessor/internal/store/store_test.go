package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// noLeak fails t when a goroutine of its own is left at its end. Not for the test with damaged files:
// Badger leaves some behind when it cannot open them, and the collector ends then.
func noLeak(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

// heard collects what a store reports.
type heard struct {
	mu   sync.Mutex
	said []string
}

func (h *heard) failed(op string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, op+": "+err.Error())
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.said...)
}

func opened(t *testing.T, dir string, change ...func(*Options)) *Store {
	t.Helper()
	h := &heard{}
	o := Options{Dir: dir, Sync: Interval, SyncInterval: 10 * time.Millisecond, MaxFacts: 1000, FactsFor: time.Hour, Failed: h.failed}
	for _, fn := range change {
		fn(&o)
	}
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		if len(change) == 0 {
			require.Empty(t, h.all(), "nothing failed in the background")
		}
	})
	return s
}

func appended(t *testing.T, s *Store, arrival int64, payload []byte) uint64 {
	t.Helper()
	n, err := s.Append(arrival, payload)
	require.NoError(t, err)
	return n
}

func replayed(t *testing.T, s *Store) (out []Batch) {
	t.Helper()
	require.NoError(t, s.Replay(func(b Batch) error {
		out = append(out, b)
		return nil
	}))
	return out
}

func generations(t *testing.T, dir string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, batchKind+"-*"))
	require.NoError(t, err)
	return len(found)
}

func TestAppendReleaseReplay(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir)
	big := make([]byte, 3<<20)
	big[0], big[len(big)-1] = 1, 2
	one := appended(t, s, 100, []byte("one"))
	two := appended(t, s, 200, []byte("two"))
	three := appended(t, s, 250, nil)
	four := appended(t, s, 300, big)
	marks := []Mark{{Ordinal: 4, Trace: [16]byte{9}, Parented: true}, {Ordinal: 5, Alone: true}}
	require.NoError(t, s.Release([]Departure{{Seq: two, Marks: marks[:1]}, {Seq: one, Last: true}}))
	require.NoError(t, s.Release([]Departure{{Seq: two, Marks: marks[1:]}}))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())

	s = opened(t, dir)
	got := replayed(t, s)
	require.Len(t, got, 3)
	require.Equal(t, Batch{Seq: two, Arrival: 200, Payload: []byte("two"), Marks: marks}, got[0])
	require.Equal(t, three, got[1].Seq)
	require.Equal(t, big, got[2].Payload)
	five := appended(t, s, 0, []byte("x"))
	require.Greater(t, five, four, "numbers go on")
	require.NoError(t, s.Load(two, func(b []byte) error { require.Equal(t, "two", string(b)); return nil }))
	require.NoError(t, s.Release([]Departure{{Seq: two, Last: true}, {Seq: three, Last: true}, {Seq: four, Last: true}, {Seq: five, Last: true}}))
	require.Empty(t, replayed(t, s))
	require.ErrorIs(t, s.Load(two, nil), ErrMissing)
	require.NoError(t, s.Close())
	require.Zero(t, generations(t, dir), "what nobody needs is removed")
}

// TestNumbersAreNeverUsedAgain: the marks of a batch that has left must not count for a later one.
func TestNumbersAreNeverUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	keep := appended(t, s, 0, []byte("keeps the generation"))
	last := appended(t, s, 0, []byte("leaves"))
	require.NoError(t, s.Release([]Departure{{Seq: last, Marks: []Mark{{Ordinal: 3}}}}))
	require.NoError(t, s.Release([]Departure{{Seq: last, Last: true}}))
	require.NoError(t, s.Close())
	s = opened(t, dir)
	require.Len(t, replayed(t, s), 1)
	next := appended(t, s, 0, []byte("next"))
	require.Greater(t, next, last)
	got := replayed(t, s)
	require.Equal(t, []uint64{keep, next}, []uint64{got[0].Seq, got[1].Seq})
	require.Empty(t, got[1].Marks)
}

func TestAppendRefusesWhatIsTooLarge(t *testing.T) {
	noLeak(t)
	s := opened(t, t.TempDir())
	_, err := s.Append(0, make([]byte, MaxBatch+1))
	require.ErrorIs(t, err, ErrTooLarge)
}

// TestSpaceComesBack: over many windows the disk holds what waits and a part more, in any order of
// leaving.
func TestSpaceComesBack(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir)
	const size, waiting, total = 256 << 10, 40, 1200 // 300 MiB through a window of 10 MiB
	payload := make([]byte, size)
	var window []uint64
	for i := range total {
		binary.LittleEndian.PutUint64(payload, uint64(i))
		window = append(window, appended(t, s, int64(i), payload))
		if len(window) > waiting {
			// Not quite first in, first out.
			at := i % 3
			require.NoError(t, s.Release([]Departure{{Seq: window[at], Last: true}}))
			window = append(window[:at], window[at+1:]...)
		}
		if i%200 == 199 {
			// Files go a moment after the last batch in them.
			require.Eventually(t, func() bool { return s.Size() < waiting*size+4*minGeneration }, 20*time.Second, 20*time.Millisecond,
				"the disk grows with what waits only")
		}
	}
	for _, n := range window {
		require.NoError(t, s.Load(n, func(b []byte) error { require.Len(t, b, size); return nil }))
		require.NoError(t, s.Release([]Departure{{Seq: n, Last: true}}))
	}
	s.rest()
	require.Eventually(t, func() bool { return s.Size() < 1<<20 }, 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return s.used.Load() == 0 }, 10*time.Second, 10*time.Millisecond, "and is counted so")
}

// TestMaxBytes: beyond the limit a batch is refused until others have left.
func TestMaxBytes(t *testing.T) {
	noLeak(t)
	const limit = 16 << 20
	s := opened(t, t.TempDir(), func(o *Options) { o.MaxBytes = limit })
	payload := make([]byte, 100<<10)
	var in []uint64
	for {
		n, err := s.Append(0, payload)
		if err != nil {
			require.ErrorIs(t, err, ErrFull)
			require.ErrorContains(t, err, "storage::max_bytes is 16777216")
			break
		}
		in = append(in, n)
		require.Less(t, len(in), 200)
	}
	require.Greater(t, len(in), 140, "most of the limit is usable")
	require.LessOrEqual(t, s.Size(), int64(limit+2*minGeneration))
	for _, n := range in[:60] {
		require.NoError(t, s.Release([]Departure{{Seq: n, Last: true}}))
	}
	require.Eventually(t, func() bool { _, err := s.Append(0, payload); return err == nil }, 10*time.Second, 10*time.Millisecond)
	// All that is in the current generation has left: its room comes back when it is needed.
	for i := range uint64(200) {
		_ = s.Release([]Departure{{Seq: in[59] + 1 + i, Last: true}})
	}
}

func TestManyAppendAtOnce(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir, func(o *Options) { o.MaxBytes = 64 << 20 })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				b := make([]byte, 40<<10)
				b[0], b[1] = byte(g), byte(i)
				n, err := s.Append(int64(g), b)
				if err == nil {
					err = s.Load(n, func(got []byte) error {
						if got[0] != byte(g) || got[1] != byte(i) {
							return errors.New("another batch")
						}
						return nil
					})
				}
				if err == nil && i%10 != 0 {
					err = s.Release([]Departure{{Seq: n, Last: true}})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())
	s = opened(t, dir)
	require.Len(t, replayed(t, s), 40)
}

func TestFactsAreRememberedAndBounded(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	kept := func(s *Store) (n int, first string) {
		require.NoError(t, s.Recall(func(_ time.Duration, count int, facts []byte) error {
			if n == 0 {
				first = string(facts)
			}
			n += count
			return nil
		}))
		return n, first
	}
	s := opened(t, dir)
	for i := range 100 {
		require.NoError(t, s.Remember(50, fmt.Appendf(nil, "%d", i)))
	}
	require.NoError(t, s.Remember(0, nil), "nothing to remember")
	require.NoError(t, s.Close())
	found, err := filepath.Glob(filepath.Join(dir, factKind+"-*"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(found), factParts+1, "more than enough is removed")

	s = opened(t, dir)
	n, first := kept(s)
	require.Equal(t, 1000, n, "the newest")
	require.Equal(t, "80", first)
	require.NoError(t, s.Remember(7, []byte("after")), "a store that was opened again goes on")
	require.NoError(t, s.Close())

	s = opened(t, dir, func(o *Options) { o.MaxFacts = 10 })
	n, first = kept(s)
	require.Equal(t, []any{57, "99"}, []any{n, first}, "a record is not cut")
	require.NoError(t, s.Close())

	s = opened(t, dir, func(o *Options) { o.FactsFor = time.Nanosecond })
	n, _ = kept(s)
	require.Zero(t, n, "too old")
}

// TestFactsAgeInUse: by the time that stores were open, whatever the wall clock says.
func TestFactsAgeInUse(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	clocked := func(o *Options) { o.Now = func() time.Time { return now } }
	ages := func(s *Store) (out []time.Duration) {
		require.NoError(t, s.Recall(func(age time.Duration, _ int, _ []byte) error {
			out = append(out, age)
			return nil
		}))
		return out
	}
	s := opened(t, dir, clocked)
	require.NoError(t, s.Remember(1, []byte("first")))
	now = now.Add(10 * time.Minute)
	require.NoError(t, s.Remember(1, []byte("second")))
	for _, step := range []time.Duration{1000 * time.Hour, -2000 * time.Hour} {
		require.NoError(t, s.Close())
		now = now.Add(step)
		s = opened(t, dir, clocked)
		require.Equal(t, []time.Duration{10 * time.Minute, 0}, ages(s), "after a step of %s", step)
	}
	now = now.Add(40 * time.Minute)
	require.NoError(t, s.Remember(1, []byte("third")))
	require.NoError(t, s.Close())
	s = opened(t, dir, clocked)
	require.Equal(t, []time.Duration{50 * time.Minute, 40 * time.Minute, 0}, ages(s))
}

// TestWaiting: what is stored and not marked.
func TestWaiting(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	whole, part, gone := appended(t, s, 1, []byte("a")), appended(t, s, 1, []byte("b")), appended(t, s, 1, []byte("c"))
	require.NoError(t, s.Release([]Departure{{Seq: part, Marks: []Mark{{Ordinal: 1}, {Ordinal: 3}}}, {Seq: gone, Last: true}}))
	require.NoError(t, s.Close())
	s = opened(t, dir)
	waits, err := s.Waiting()
	require.NoError(t, err)
	var got []bool
	for _, at := range []struct {
		seq     uint64
		ordinal uint32
	}{{whole, 0}, {part, 0}, {part, 1}, {part, 2}, {part, 3}, {gone, 0}, {gone + 9, 0}} {
		got = append(got, waits(at.seq, at.ordinal))
	}
	require.Equal(t, []bool{true, true, false, true, false, false, false}, got)
}

func TestOpenRefuses(t *testing.T) {
	o := func(dir string) Options { return Options{Dir: dir, Sync: Never, MaxFacts: 10, FactsFor: time.Hour} }
	// A store with one batch and facts, after a kill.
	stored := func(t *testing.T) (dir string) {
		live := t.TempDir()
		s := opened(t, live, func(o *Options) { o.Sync = Always })
		appended(t, s, 1, make([]byte, 100<<10))
		require.NoError(t, s.Remember(5, []byte("facts")))
		dir = t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(live)))
		return dir
	}
	rewrite := func(t *testing.T, change func([]byte) []byte, path ...string) {
		file := filepath.Join(path...)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, change(b), 0o600))
	}
	const batches, facts = batchKind + "-00000001", factKind + "-00000002"
	for _, c := range []struct {
		name string
		ruin func(t *testing.T, dir string)
		in   string
		want []string
	}{
		{"in use", func(t *testing.T, dir string) {
			s := opened(t, dir)
			_ = s
		}, "", []string{"in use by another process or pipeline (pid " + fmt.Sprint(os.Getpid()) + ")", "set storage::directory to another"}},
		{"version 1", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "MANIFEST"), nil, 0o600))
		}, "", []string{"format version 1 of an older collector", "run the version that wrote it", "move the directory away"}},
		{"newer format", func(t *testing.T, dir string) {
			rewrite(t, func([]byte) []byte { return []byte("ebpf_link batches\nversion 9\nwhatever\n") }, dir, batches, formatFile)
		}, batches, []string{"format version 9 of a newer collector", "move the directory away"}},
		{"newer Badger", func(t *testing.T, dir string) {
			rewrite(t, func(b []byte) []byte { b[7]++; return b }, dir, batches, "MANIFEST")
		}, batches, []string{"another version of Badger", "move the directory away"}},
		{"no MANIFEST magic", func(t *testing.T, dir string) {
			rewrite(t, func([]byte) []byte { return []byte("not a manifest") }, dir, batches, "MANIFEST")
		}, batches, []string{"damaged", "move it away"}},
		{"FORMAT of nothing", func(t *testing.T, dir string) {
			rewrite(t, func([]byte) []byte { return nil }, dir, facts, formatFile)
		}, facts, []string{"damaged", "move it away"}},
		{"a flipped bit in a batch", func(t *testing.T, dir string) {
			rewrite(t, func(b []byte) []byte { b[50<<10] ^= 1; return b }, dir, batches, "000001.vlog")
		}, batches, []string{"damaged", "batch 1", "move it away"}},
		{"a value log cut short", func(t *testing.T, dir string) {
			rewrite(t, func(b []byte) []byte { return b[:50<<10] }, dir, batches, "000001.vlog")
		}, batches, []string{"damaged", "batch 1", "move it away"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := stored(t)
			c.ruin(t, dir)
			s, err := Open(o(dir))
			if err == nil {
				err = s.Replay(func(Batch) error { return nil })
				require.NoError(t, s.Close())
			}
			require.ErrorContains(t, err, filepath.Join(dir, c.in))
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(o(file))
	require.ErrorContains(t, err, "cannot make the storage directory "+file)
	if _, err := os.Stat("/proc/self"); err == nil {
		_, err := Open(o("/proc/self"))
		require.ErrorContains(t, err, "cannot write to the storage directory /proc/self")
	}
	_, err = Open(o(""))
	require.ErrorContains(t, err, "is empty")
}

// TestOlderFormatIsReadAndNotWritten: an older version of the program, run again, meets nothing new in it.
func TestOlderFormatIsReadAndNotWritten(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	appended(t, s, 1, []byte("old"))
	require.NoError(t, s.Remember(1, []byte("old")))
	require.NoError(t, s.Close())
	formats := []string{
		filepath.Join(generationDir(dir, batchKind, 1), formatFile), filepath.Join(generationDir(dir, factKind, 2), formatFile),
	}
	olds := map[string]string{}
	for _, format := range formats {
		b, err := os.ReadFile(format)
		require.NoError(t, err)
		olds[format] = strings.Replace(string(b), fmt.Sprint("version ", FormatVersion), fmt.Sprint("version ", oldestVersion), 1)
		require.NotEqual(t, string(b), olds[format])
		require.NoError(t, os.WriteFile(format, []byte(olds[format]), 0o600))
	}

	s = opened(t, dir)
	appended(t, s, 2, []byte("new"))
	require.NoError(t, s.Remember(1, []byte("new")))
	require.NoError(t, s.Close())
	for _, format := range formats {
		b, err := os.ReadFile(format)
		require.NoError(t, err)
		require.Equal(t, olds[format], string(b))
	}
	for _, made := range []string{generationDir(dir, batchKind, 3), generationDir(dir, factKind, 4)} {
		b, err := os.ReadFile(filepath.Join(made, formatFile))
		require.NoError(t, err)
		require.Contains(t, string(b), fmt.Sprint("version ", FormatVersion))
	}
	s = opened(t, dir)
	var facts []string
	require.NoError(t, s.Recall(func(_ time.Duration, _ int, b []byte) error {
		facts = append(facts, string(b))
		return nil
	}))
	require.Equal(t, []string{"old", "new"}, facts)
	got := replayed(t, s)
	require.Len(t, got, 2)
	require.Equal(t, "old", string(got[0].Payload))
	require.Equal(t, "new", string(got[1].Payload))
}

// TestOpenSurvivesDamage: whatever a file is overwritten with, Open, Recall and Replay return.
func TestOpenSurvivesDamage(t *testing.T) {
	live := t.TempDir()
	s := opened(t, live)
	appended(t, s, 1, make([]byte, 10<<10))
	require.NoError(t, s.Remember(1, []byte("facts")))
	var files []string
	require.NoError(t, filepath.WalkDir(live, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() != "LOCK" {
			rel, _ := filepath.Rel(live, path)
			files = append(files, rel)
		}
		return err
	}))
	require.Greater(t, len(files), 10)
	refused := 0
	for _, name := range files {
		for _, damage := range []func([]byte) []byte{
			func([]byte) []byte { return nil },
			func(b []byte) []byte { return b[:min(len(b)/2, 4096)] },
			func(b []byte) []byte { return make([]byte, len(b)) },
			func(b []byte) []byte { clear(b[:min(len(b), 64)]); return b },
		} {
			// Copy as a crash would leave it.
			crash := t.TempDir()
			require.NoError(t, os.CopyFS(crash, os.DirFS(live)))
			path := filepath.Join(crash, name)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, damage(b), 0o600))
			s, err := Open(Options{Dir: crash, Sync: Never, MaxFacts: 10, FactsFor: time.Hour})
			if err == nil {
				err = errors.Join(
					s.Recall(func(time.Duration, int, []byte) error { return nil }),
					s.Replay(func(Batch) error { return nil }))
				require.NoError(t, s.Close())
			}
			if err != nil {
				refused++
				require.ErrorContains(t, err, crash)
			}
			require.NoError(t, os.RemoveAll(crash))
		}
	}
	require.Positive(t, refused, "the damage reached Badger")
}

// TestUnfinishedGenerationsGo: one that was being made or removed when the process ended has no
// FORMAT and is no loss.
func TestUnfinishedGenerationsGo(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	n := appended(t, s, 1, []byte("kept"))
	require.NoError(t, s.Close())
	require.NoError(t, os.MkdirAll(filepath.Join(dir, batchKind+"-00000009"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, batchKind+"-00000009", "MANIFEST"), []byte("half"), 0o600))
	s = opened(t, dir)
	got := replayed(t, s)
	require.Len(t, got, 1)
	require.Equal(t, n, got[0].Seq)
	require.NoDirExists(t, filepath.Join(dir, batchKind+"-00000009"))
}

// TestKilledBetweenTruncateAndRemove: Badger empties a log of its memory table before it removes it, once
// all that was in it is in a table.
func TestKilledBetweenTruncateAndRemove(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir)
	n := appended(t, s, 1, []byte("kept"))
	require.NoError(t, s.Close())
	found, err := filepath.Glob(filepath.Join(dir, batchKind+"-*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, os.WriteFile(filepath.Join(found[0], "00009.mem"), nil, 0o600))
	s = opened(t, dir)
	got := replayed(t, s)
	require.Len(t, got, 1)
	require.Equal(t, n, got[0].Seq)
}

func TestReplayStopsAtAnError(t *testing.T) {
	noLeak(t)
	s := opened(t, t.TempDir())
	appended(t, s, 6, nil)
	stop := errors.New("stop")
	require.ErrorIs(t, s.Replay(func(Batch) error { return stop }), stop)
}

// TestRemovedDirectoryHeals: what waits is written again into a directory that was made anew.
func TestRemovedDirectoryHeals(t *testing.T) {
	noLeak(t)
	dir := filepath.Join(t.TempDir(), "store")
	h := &heard{}
	s := opened(t, dir, func(o *Options) { o.Failed = h.failed })
	payload := make([]byte, 300<<10)
	var in []uint64
	for i := range 60 { // several generations
		payload[7] = byte(i)
		in = append(in, appended(t, s, int64(i), payload))
	}
	require.Greater(t, generations(t, dir), 1)
	require.NoError(t, s.Release([]Departure{{Seq: in[3], Last: true}, {Seq: in[4], Marks: []Mark{{Ordinal: 1}}}}))
	// A file may be made meanwhile.
	require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 10*time.Second, time.Millisecond)
	_, err := s.Append(0, payload)
	require.ErrorIs(t, err, ErrGone)
	require.NoError(t, s.Load(in[5], func(b []byte) error { require.EqualValues(t, 5, b[7]); return nil }), "files that are open stay")
	require.Eventually(t, func() bool { _, err := s.Append(99, payload); return err == nil }, 10*time.Second, 50*time.Millisecond)
	require.Contains(t, fmt.Sprint(h.all()), "was removed while in use")
	require.NoError(t, s.Load(in[5], func(b []byte) error { require.EqualValues(t, 5, b[7]); return nil }))
	require.NoError(t, s.Close())

	s = opened(t, dir)
	got := replayed(t, s)
	require.Len(t, got, 60)
	require.EqualValues(t, 0, got[0].Payload[7])
	require.Equal(t, in[4], got[3].Seq)
	require.Len(t, got[3].Marks, 1)
	require.EqualValues(t, 99, got[59].Arrival)
}

func TestClosedStoreRefuses(t *testing.T) {
	s := opened(t, t.TempDir())
	n := appended(t, s, 0, []byte("x"))
	require.NoError(t, s.Close())
	_, err := s.Append(0, nil)
	require.ErrorIs(t, err, badger.ErrDBClosed)
	require.ErrorIs(t, s.Remember(1, nil), badger.ErrDBClosed)
	require.ErrorIs(t, s.Load(n, nil), ErrMissing)
}

// TestLargerThanMemory: what waits takes room on the disk and not on the heap.
func TestLargerThanMemory(t *testing.T) {
	noLeak(t)
	s := opened(t, t.TempDir(), func(o *Options) { o.Sync = Never })
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	payload := make([]byte, 512<<10)
	for i := range 384 { // 192 MiB
		appended(t, s, int64(i), payload)
	}
	require.Less(t, heap()-before, int64(48<<20))
	require.Less(t, generations(t, s.o.Dir), 24)
}

// TestCloseSavesARemovedDirectory: also without the second that it takes otherwise.
func TestCloseSavesARemovedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := opened(t, dir, func(o *Options) { o.SyncInterval = time.Hour })
	n := appended(t, s, 5, []byte("waits"))
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, s.Close())
	got := replayed(t, opened(t, dir))
	require.Len(t, got, 1)
	require.Equal(t, n, got[0].Seq)
}
