package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
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

func opened(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Sync: Interval, SyncInterval: 10 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func replayed(t *testing.T, s *Store) (out []Batch) {
	t.Helper()
	require.NoError(t, s.Replay(func(b Batch) error {
		out = append(out, b)
		return nil
	}))
	return out
}

func TestAppendReleaseReplay(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir)
	big := make([]byte, 3<<20) // goes to the value log
	big[0], big[len(big)-1] = 1, 2
	require.NoError(t, s.Append(1, 100, []byte("one")))
	require.NoError(t, s.Append(300, 300, big))
	require.NoError(t, s.Append(2, 200, []byte("two")))
	require.NoError(t, s.Append(3, 250, nil))
	marks := []Mark{{Ordinal: 4, Trace: [16]byte{9}, Parented: true}, {Ordinal: 5}}
	require.NoError(t, s.Release([]Departure{{Seq: 2, Turn: 0, Marks: marks[:1]}, {Seq: 1, Last: true}}))
	require.NoError(t, s.Release([]Departure{{Seq: 2, Turn: 1, Marks: marks[1:]}}))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())

	s = opened(t, dir)
	got := replayed(t, s)
	require.Len(t, got, 3)
	require.Equal(t, Batch{Seq: 2, Arrival: 200, Payload: []byte("two"), Marks: marks, Turns: 2}, got[0])
	require.EqualValues(t, 3, got[1].Seq)
	require.Equal(t, big, got[2].Payload)
	require.NoError(t, s.Release([]Departure{{Seq: 2, Turn: 2, Last: true}, {Seq: 3, Last: true}, {Seq: 300, Last: true}}))
	require.Empty(t, replayed(t, s))
	require.ErrorIs(t, s.Load(2, nil), ErrMissing)
	left := 0
	require.NoError(t, s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			left++
		}
		return nil
	}))
	require.Equal(t, 1, left, "nothing but the format version stays")
}

func TestAppendRefusesWhatIsTooLarge(t *testing.T) {
	noLeak(t)
	s := opened(t, t.TempDir())
	require.ErrorIs(t, s.Append(1, 0, make([]byte, MaxBatch+1)), ErrTooLarge)
}

func TestOpenRefusesALockedDirectory(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	opened(t, dir)
	_, err := Open(Options{Dir: dir, Sync: Never})
	require.ErrorContains(t, err, dir+" is in use by another process or pipeline")
}

func TestOpenRefusesANewerFormat(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir)
	require.NoError(t, s.db.Update(func(txn *badger.Txn) error {
		return txn.Set(versionKey, binary.LittleEndian.AppendUint32(nil, FormatVersion+1))
	}))
	require.NoError(t, s.Close())
	_, err := Open(Options{Dir: dir, Sync: Never})
	require.ErrorContains(t, err, dir+" has format version 2, this program knows 1")
}

func TestOpenRefusesAnUnwritableDirectory(t *testing.T) {
	noLeak(t)
	// Root may write anywhere; a directory below a file stops root too.
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(Options{Dir: filepath.Join(file, "d"), Sync: Never})
	require.ErrorContains(t, err, "cannot make the storage directory "+file)
	if _, err := os.Stat("/proc/self"); err == nil {
		_, err := Open(Options{Dir: "/proc/self", Sync: Never})
		require.ErrorContains(t, err, "cannot write to the storage directory /proc/self")
	}
	_, err = Open(Options{Sync: Never})
	require.ErrorContains(t, err, "is empty")
}

// TestOpenSurvivesDamage: whatever a file is overwritten with, Open and Replay return.
func TestOpenSurvivesDamage(t *testing.T) {
	refused := 0
	for _, name := range []string{"MANIFEST", "KEYREGISTRY", "00001.mem", "000001.vlog", "DISCARD"} {
		for _, damage := range []func([]byte) []byte{
			func(b []byte) []byte { return nil },
			func(b []byte) []byte { return b[:len(b)/2] },
			func(b []byte) []byte { return make([]byte, len(b)) },
			func(b []byte) []byte { clear(b[:min(len(b), 64)]); return b },
		} {
			dir := t.TempDir()
			s, err := Open(Options{Dir: dir, Sync: Never})
			require.NoError(t, err)
			require.NoError(t, s.Append(1, 1, []byte("payload")))
			// Copy as a crash would leave it.
			crash := t.TempDir()
			require.NoError(t, os.CopyFS(crash, os.DirFS(dir)))
			require.NoError(t, s.Close())
			path := filepath.Join(crash, name)
			b, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			require.NoError(t, os.WriteFile(path, damage(b), 0o600))
			s, err = Open(Options{Dir: crash, Sync: Never})
			if err == nil {
				err = s.Replay(func(Batch) error { return nil })
				require.NoError(t, s.Close())
			}
			if err != nil {
				refused++
				require.ErrorContains(t, err, crash)
			}
		}
	}
	require.Positive(t, refused, "the damage reached Badger")
}

func TestReplayNamesACorruptBatch(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	s := opened(t, dir)
	record := encodeBatch(1, []byte("payload"))
	record[len(record)-1] ^= 1
	require.NoError(t, s.db.Update(func(txn *badger.Txn) error { return txn.Set(batchKey(7), record) }))
	err := s.Replay(func(Batch) error { return nil })
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "batch 7")
	require.ErrorContains(t, err, dir)
	require.ErrorIs(t, s.Load(7, func([]byte) error { return nil }), ErrCorrupt)
	stop := errors.New("stop")
	require.NoError(t, s.Append(6, 0, nil))
	require.ErrorIs(t, s.Replay(func(Batch) error { return stop }), stop)
}

func TestSyncFailureIsReported(t *testing.T) {
	noLeak(t)
	heard := make(chan string, 1)
	s, err := Open(Options{Dir: t.TempDir(), Sync: Interval, SyncInterval: time.Millisecond, Failed: func(op string, err error) {
		select {
		case heard <- op + ": " + err.Error():
		default:
		}
	}})
	require.NoError(t, err)
	s.fail("sync", errors.New("disk gone"))
	require.Equal(t, "sync: disk gone", <-heard)
	require.NoError(t, s.Close())
}
