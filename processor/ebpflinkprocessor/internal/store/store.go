// Package store keeps batches on disk until all their spans have left. A batch is one record, so
// storing costs per batch and not per span. record.go describes the format.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Sync says when a batch is forced to the disk.
type Sync string

// A crash of the process alone loses nothing under any of them.
const (
	// Always: before it is acknowledged. A power cut loses nothing.
	Always Sync = "always"
	// Interval: every Options.SyncInterval. A power cut loses that much.
	Interval Sync = "interval"
	// Never: when the kernel sees fit, usually within 30 s.
	Never Sync = "never"
)

// Options of Open.
type Options struct {
	// Dir is made when absent. It belongs to one Store at a time.
	Dir          string
	Sync         Sync
	SyncInterval time.Duration
	// Failed hears of a background operation that failed, "sync" or "gc".
	Failed func(operation string, err error)
}

// MaxBatch is the largest payload in bytes.
const MaxBatch = 48 << 20

const (
	memTable  = 16 << 20
	vlogFile  = 128 << 20
	gcEvery   = time.Minute
	gcDiscard = 0.5
)

var versionKey = []byte("format")

// Store is safe for concurrent use.
type Store struct {
	db     *badger.DB
	dir    string
	failed func(string, error)
	stop   chan struct{}
	done   sync.WaitGroup
	once   sync.Once
	err    error
}

// Batch is a stored batch, as Replay returns it.
type Batch struct {
	Seq     uint64
	Arrival int64
	// Payload is the caller's to keep.
	Payload []byte
	Marks   []Mark
	// Turns is the Turn of the next Departure.
	Turns uint64
}

// Open opens or makes the store in o.Dir. Its errors name the cause, the directory and the remedy.
func Open(o Options) (s *Store, err error) {
	if err := writable(o.Dir); err != nil {
		return nil, err
	}
	// Badger panics on some damaged files.
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, corrupt(o.Dir, fmt.Errorf("%v", r))
		}
	}()
	db, err := badger.Open(badger.DefaultOptions(o.Dir).
		WithLogger(nil).
		WithMetricsEnabled(false).
		WithSyncWrites(o.Sync == Always).
		WithDetectConflicts(false).
		WithCompression(options.None).
		// Most batches live for one window: in the tree they go away with the compaction that
		// meets their deletion, in the value log only when its collector runs. Only batches
		// too big for the tree go to the log.
		WithValueThreshold(1 << 20).
		WithValueLogFileSize(vlogFile).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(8).
		WithNumCompactors(2).
		WithBlockCacheSize(0).
		WithIndexCacheSize(8 << 20))
	if err != nil {
		return nil, explain(o.Dir, err)
	}
	s = &Store{db: db, dir: o.Dir, failed: o.Failed, stop: make(chan struct{})}
	if err := s.version(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.done.Add(1)
	go s.maintain(o)
	return s, nil
}

func writable(dir string) error {
	if dir == "" {
		return errors.New("storage directory is empty: name one")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("cannot make the storage directory %s: %w; make it yourself and give this user write access, or set storage::directory to another", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("cannot write to the storage directory %s: %w; give this user write access, free space, or set storage::directory to another", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func explain(dir string, err error) error {
	msg := err.Error()
	switch {
	case strings.Contains(msg, "Cannot acquire directory lock"):
		holder := ""
		if pid, rerr := os.ReadFile(filepath.Join(dir, "LOCK")); rerr == nil {
			holder = fmt.Sprintf(" (pid %s)", strings.TrimSpace(string(pid)))
		}
		return fmt.Errorf("storage directory %s is in use by another process or pipeline%s: stop it, or set storage::directory to another for each pipeline: %w", dir, holder, err)
	case strings.Contains(msg, "no space left"):
		return fmt.Errorf("no space left in the storage directory %s: free some: %w", dir, err)
	case strings.Contains(msg, "permission denied"):
		return fmt.Errorf("no access to files in the storage directory %s: give this user read and write access: %w", dir, err)
	default:
		return corrupt(dir, err)
	}
}

func corrupt(dir string, err error) error {
	return fmt.Errorf("storage directory %s cannot be opened, its files are damaged or of a newer Badger: move it away to start empty (spans that waited in it are then not delivered), or restore it: %w", dir, err)
}

func (s *Store) version() error {
	return s.db.Update(func(t *badger.Txn) error {
		it, err := t.Get(versionKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return t.Set(versionKey, binary.LittleEndian.AppendUint32(nil, FormatVersion))
		}
		if err != nil {
			return fmt.Errorf("read the format version of %s: %w", s.dir, err)
		}
		return it.Value(func(v []byte) error {
			if len(v) != 4 {
				return corrupt(s.dir, fmt.Errorf("format version has %d bytes, want 4", len(v)))
			}
			if got := binary.LittleEndian.Uint32(v); got != FormatVersion {
				return fmt.Errorf("storage directory %s has format version %d, this program knows %d: run the version that wrote it until it is empty, or move the directory away", s.dir, got, FormatVersion)
			}
			return nil
		})
	})
}

func batchKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, seq) }

func marksKey(seq, n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{'r'}, seq), n)
}

// Append stores a batch; once it returns nil the batch survives what Sync promises.
func (s *Store) Append(seq uint64, arrival int64, payload []byte) error {
	if len(payload) > MaxBatch {
		return fmt.Errorf("%w: %d bytes, %d are allowed: send smaller batches", ErrTooLarge, len(payload), MaxBatch)
	}
	err := s.db.Update(func(t *badger.Txn) error {
		return t.Set(batchKey(seq), encodeBatch(arrival, payload))
	})
	if err != nil {
		return fmt.Errorf("store a batch in %s: %w", s.dir, err)
	}
	return nil
}

// Load calls fn with the payload of a batch, which is only valid during the call.
func (s *Store) Load(seq uint64, fn func(payload []byte) error) error {
	err := s.db.View(func(t *badger.Txn) error {
		it, err := t.Get(batchKey(seq))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return ErrMissing
		}
		if err != nil {
			return err
		}
		return it.Value(func(v []byte) error {
			_, payload, err := decodeBatch(v)
			if err != nil {
				return err
			}
			return fn(payload)
		})
	})
	if err != nil {
		return fmt.Errorf("load batch %d from %s: %w", seq, s.dir, err)
	}
	return nil
}

// Departure is what one delivery did to one batch.
type Departure struct {
	Seq uint64
	// Turn counts the deliveries that this batch had part in, from 0.
	Turn  uint64
	Marks []Mark
	// Last: no span of the batch waits any more.
	Last bool
}

// Release records departures: marks for a batch that still has spans, deletion for one that has
// none.
func (s *Store) Release(deps []Departure) error {
	w := s.db.NewWriteBatch()
	defer w.Cancel()
	for _, d := range deps {
		var err error
		if d.Last {
			// Marks first: left behind by a crash, they would name spans of a later batch
			// with the same number as gone.
			for n := uint64(0); n < d.Turn && err == nil; n++ {
				err = w.Delete(marksKey(d.Seq, n))
			}
			if err == nil {
				err = w.Delete(batchKey(d.Seq))
			}
		} else {
			err = w.Set(marksKey(d.Seq, d.Turn), encodeMarks(d.Marks))
		}
		if err != nil {
			return fmt.Errorf("record a delivery in %s: %w", s.dir, err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("record a delivery in %s: %w", s.dir, err)
	}
	return nil
}

// Replay calls fn for each stored batch, oldest first.
func (s *Store) Replay(fn func(Batch) error) error {
	return s.db.View(func(t *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchSize, o.Prefix = 4, []byte{'b'}
		it := t.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			if len(key) != 9 {
				return corrupt(s.dir, fmt.Errorf("key %x: %w", key, ErrCorrupt))
			}
			b := Batch{Seq: binary.BigEndian.Uint64(key[1:])}
			v, err := it.Item().ValueCopy(nil)
			if err == nil {
				b.Arrival, b.Payload, err = decodeBatch(v)
			}
			if err == nil {
				b.Marks, b.Turns, err = s.marks(t, b.Seq)
			}
			if err != nil {
				return corrupt(s.dir, fmt.Errorf("batch %d: %w", b.Seq, err))
			}
			if err := fn(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) marks(t *badger.Txn, seq uint64) (out []Mark, turns uint64, err error) {
	o := badger.DefaultIteratorOptions
	o.PrefetchSize, o.Prefix = 4, binary.BigEndian.AppendUint64([]byte{'r'}, seq)
	it := t.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if key := it.Item().Key(); len(key) == 17 {
			turns = binary.BigEndian.Uint64(key[9:]) + 1
		}
		err := it.Item().Value(func(v []byte) error {
			m, err := decodeMarks(v)
			out = append(out, m...)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return out, turns, nil
}

// Size is the bytes that the files occupy on the disk. Badger's own figure is up to a minute old and
// counts room that files reserve without using it.
func (s *Store) Size() (size int64) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		// A file may go away meanwhile.
		if info, err := f.Info(); err == nil {
			size += occupied(info)
		}
	}
	return size
}

// maintain syncs and collects the value log until Close.
func (s *Store) maintain(o Options) {
	defer s.done.Done()
	gc := time.NewTicker(gcEvery)
	defer gc.Stop()
	var flush <-chan time.Time
	if o.Sync == Interval {
		t := time.NewTicker(o.SyncInterval)
		defer t.Stop()
		flush = t.C
	}
	for {
		select {
		case <-s.stop:
			return
		case <-flush:
			if err := s.db.Sync(); err != nil {
				s.fail("sync", fmt.Errorf("sync %s: %w", s.dir, err))
			}
		case <-gc.C:
			for {
				err := s.db.RunValueLogGC(gcDiscard)
				if err == nil {
					continue
				}
				if !errors.Is(err, badger.ErrNoRewrite) && !errors.Is(err, badger.ErrRejected) {
					s.fail("gc", fmt.Errorf("collect the value log of %s: %w", s.dir, err))
				}
				break
			}
		}
	}
}

func (s *Store) fail(op string, err error) {
	if s.failed != nil {
		s.failed(op, err)
	}
}

// Close syncs and closes; it may be called again.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.stop)
		s.done.Wait()
		if err := s.db.Close(); err != nil {
			s.err = fmt.Errorf("close %s: %w", s.dir, err)
		}
	})
	return s.err
}
