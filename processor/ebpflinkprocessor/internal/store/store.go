// Package store keeps batches on disk until all their spans have left, and what must be known of spans
// that have. A batch is one record, so storing costs per batch and not per span; batches are kept in
// generations that are deleted as a whole, so space comes back without any compaction. record.go
// describes the format.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
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
	// MaxBytes is how much all records may take, 0 for no limit.
	MaxBytes int64
	// MaxFacts is how many facts are kept at least, of those newer than FactsFor.
	MaxFacts int
	FactsFor time.Duration
	// Now tells how old facts are; nil is time.Now.
	Now func() time.Time
	// Failed hears of a background operation that failed: sync, database, remove, replay.
	Failed func(operation string, err error)
}

func (o *Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// MaxBatch is the largest payload in bytes.
const MaxBatch = 48 << 20

const (
	batchKind = "batches"
	factKind  = "facts"

	// A generation is an eighth of what is stored, so that about as much lies idle, within these.
	minGeneration   = 8 << 20
	maxGeneration   = 1 << 30
	leastGeneration = 1 << 20
	// overhead is what a record costs beside its value, roughly.
	overhead = 128

	// maxFile is what Badger allows of a value log.
	maxFile = 1<<31 - 1

	idleEvery = time.Minute
)

// Store is safe for concurrent use.
//
//	Append ─ current ─ full? ─ rotate ─ batches ─ Release ─ nothing lives ─ destroy
type Store struct {
	o    Options
	lock *os.File
	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
	err  error

	// number is the last record's, also of those under way; dirs is the last generation's.
	number, dirs atomic.Uint64
	// began and base are what time counts from.
	began time.Time
	base  int64
	// used is what all generations hold, in bytes.
	used atomic.Int64

	// records has room for Remember.
	records sync.Pool

	// rotating is held while a generation is made, which takes a while. It comes before mu.
	rotating sync.Mutex
	// mu guards the lists and closed; it is held for reading while a generation is used.
	mu      sync.RWMutex
	batches []*generation
	facts   []*generation
	// writable: the last of batches takes records.
	writable bool
	closed   bool
}

// Batch is a stored batch, as Replay returns it.
type Batch struct {
	Seq     uint64
	Arrival int64
	// Payload is the caller's to keep.
	Payload []byte
	Marks   []Mark
}

// Open opens or makes the store in o.Dir. Its errors name the cause, the directory and the remedy.
func Open(o Options) (*Store, error) {
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, lock: lock, stop: make(chan struct{})}
	if err := s.reopen(); err != nil {
		return nil, errors.Join(err, s.shut())
	}
	s.done.Add(1)
	go s.maintain()
	return s, nil
}

// ByPrivilege says that the directory is another user's, and open to this process by a privilege only: without that it can
// begin no generation any more.
func (s *Store) ByPrivilege() bool { return byPrivilege(s.o.Dir) }

// reopen opens the generations of earlier processes.
func (s *Store) reopen() error {
	if _, err := os.Stat(filepath.Join(s.o.Dir, "MANIFEST")); err == nil {
		return wrongVersion(s.o.Dir, 1)
	}
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return fmt.Errorf("list the storage directory %s: %w; give this user read access", s.o.Dir, err)
	}
	for _, e := range entries { // in the order of their numbers
		var number uint64
		kind, _, _ := strings.Cut(e.Name(), "-")
		if _, err := fmt.Sscanf(e.Name(), kind+"-%d", &number); err != nil || (kind != batchKind && kind != factKind) {
			continue
		}
		s.dirs.Store(max(s.dirs.Load(), number))
		if err := s.reopenOne(kind, number); err != nil {
			return err
		}
	}
	if n := len(s.batches); n > 0 {
		g := s.batches[n-1]
		// An older version of the program must not meet batches that it cannot read.
		s.writable = g.always == (s.o.Sync == Always) && g.version == FormatVersion
	}
	s.startTime()
	return nil
}

func (s *Store) reopenOne(kind string, number uint64) error {
	dir := generationDir(s.o.Dir, kind, number)
	if _, err := os.Stat(filepath.Join(dir, formatFile)); errors.Is(err, os.ErrNotExist) {
		// Not ready yet, or to be removed, when the process ended.
		return os.RemoveAll(dir)
	}
	g, err := reopenGeneration(&s.o, kind, number)
	if err != nil {
		if lost, derr := s.unsynced(dir, kind, number, err); lost {
			return derr
		}
		return err
	}
	s.number.Store(max(s.number.Load(), g.last))
	if g.live.Load() == 0 {
		return g.destroy()
	}
	s.used.Add(g.used.Load())
	if kind == batchKind {
		s.batches = append(s.batches, g)
	} else {
		s.facts = append(s.facts, g)
	}
	return nil
}

// unsynced handles a generation that cannot be opened and of which nothing was forced to the disk: a
// power cut may do that, and the configuration accepts it.
func (s *Store) unsynced(dir, kind string, number uint64, cause error) (lost bool, err error) {
	g := &generation{dir: dir, kind: kind, number: number}
	if !errors.Is(cause, errDamaged) || g.readFormat() != nil || g.always {
		return false, nil
	}
	if _, err := os.Stat(filepath.Join(dir, syncedFile)); !errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	s.fail("replay", fmt.Errorf("%s was never synced and is lost, as storage::sync allows after a power cut: %w", dir, cause))
	return true, g.destroy()
}

// Append stores a batch and returns its number; it then survives what Sync promises. The payload is
// the caller's again.
func (s *Store) Append(arrival int64, payload []byte) (uint64, error) {
	if len(payload) > MaxBatch {
		return 0, fmt.Errorf("%w: %d bytes, %d are allowed: send smaller batches", ErrTooLarge, len(payload), MaxBatch)
	}
	n, err := s.append(arrival, payload)
	if err != nil {
		return 0, fmt.Errorf("store a batch in %s: %w", s.o.Dir, err)
	}
	return n, nil
}

func (s *Store) append(arrival int64, payload []byte) (uint64, error) {
	size := int64(len(payload)) + overhead
	for {
		s.mu.RLock()
		if s.closed {
			s.mu.RUnlock()
			return 0, badger.ErrDBClosed
		}
		var g *generation
		if s.writable {
			g = s.batches[len(s.batches)-1]
		}
		err := s.admit(g, size)
		if err == nil && g != nil && g.take(size) {
			n := s.number.Add(1)
			err := g.put(
				badger.NewEntry(key('h', n), encodeHead(arrival, len(payload))),
				badger.NewEntry(key('b', n), payload),
			)
			if err != nil {
				g.live.Add(-1)
			} else {
				s.used.Add(size)
			}
			s.mu.RUnlock()
			return n, err
		}
		s.mu.RUnlock()
		if err != nil && (g == nil || !errors.Is(err, ErrFull) || g.live.Load() > 0 || g.used.Load() == 0) {
			return 0, err
		}
		// Full, or all that it holds has left and its room is needed.
		if err := s.rotate(g, size); err != nil {
			return 0, err
		}
	}
}

// take reserves size for one batch, unless it does not fit.
func (g *generation) take(size int64) bool {
	if used := g.used.Add(size); used > g.size && used != size {
		g.used.Add(-size)
		return false
	}
	g.live.Add(1)
	return true
}

// admit says whether size more may be stored, in g if that is not nil.
func (s *Store) admit(g *generation, size int64) error {
	if !s.present() {
		return fmt.Errorf("%w: what is stored is still delivered; the directory is made anew within a second", ErrGone)
	}
	if used := s.used.Load(); s.o.MaxBytes > 0 && used+size > s.o.MaxBytes {
		return fmt.Errorf("%w: %d bytes are in use and storage::max_bytes is %d: send again later, or raise it", ErrFull, used, s.o.MaxBytes)
	}
	if n := free(s.o.Dir); g == nil && n >= 0 && n < keepFree+size {
		return fmt.Errorf("%w: %d bytes are free on its file system, %d must stay free: send again later, or make room", ErrFull, n, keepFree)
	}
	return nil
}

// present says whether the directory is still the one that was opened.
func (s *Store) present() bool {
	held, err := s.lock.Stat()
	if err != nil {
		return false
	}
	found, err := os.Stat(s.lock.Name())
	return err == nil && os.SameFile(held, found)
}

// rotate puts a new generation in the place of old, the current one, unless that has happened.
func (s *Store) rotate(old *generation, need int64) error {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	s.mu.RLock()
	var current *generation
	if n := len(s.batches); n > 0 && s.writable {
		current = s.batches[n-1]
	}
	closed := s.closed
	s.mu.RUnlock()
	if current != old || closed {
		return nil
	}
	g, err := makeGeneration(&s.o, batchKind, s.dirs.Add(1), max(s.generationSize(), need))
	if err != nil {
		return fmt.Errorf("begin a generation: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return g.destroy()
	}
	g.first = s.number.Load() + 1
	s.batches, s.writable = append(s.batches, g), true
	if old != nil && old.live.Load() == 0 {
		s.batches = slices.DeleteFunc(s.batches, func(g *generation) bool { return g == old })
		s.destroy(old)
	} else if old != nil {
		// Nothing is written to it any more, and what waits in it is not read for a while.
		rest(old.dir)
	}
	return nil
}

// generationSize is an eighth of what is stored, less where room is short.
func (s *Store) generationSize() int64 {
	size := min(max(s.used.Load()/8, minGeneration), maxGeneration)
	if s.o.MaxBytes > 0 {
		size = min(size, max(s.o.MaxBytes/8, leastGeneration))
	}
	if n := free(s.o.Dir); n >= 0 {
		size = min(size, max((n-keepFree)/2, leastGeneration))
	}
	return size
}

// destroy removes a generation that is not in the lists any more.
func (s *Store) destroy(g *generation) {
	// At once: what has left of it last is written nowhere else.
	if err := g.undeclare(); err != nil {
		s.fail("remove", fmt.Errorf("remove %s: %w", g.dir, err))
	}
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		if err := g.destroy(); err != nil {
			s.fail("remove", fmt.Errorf("remove %s: %w", g.dir, err))
		}
		s.used.Add(-g.used.Load())
	}()
}

// of returns the generation of batch n; mu is held.
func (s *Store) of(n uint64) *generation {
	i := sort.Search(len(s.batches), func(i int) bool { return s.batches[i].first > n })
	if i == 0 {
		return nil
	}
	return s.batches[i-1]
}

// Load calls fn with the payload of a batch, which is only valid during the call.
func (s *Store) Load(seq uint64, fn func(payload []byte) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := ErrMissing
	if g := s.of(seq); g != nil && !s.closed {
		err = g.db.View(func(t *badger.Txn) error { return batch(t, seq, func(_ int64, b []byte) error { return fn(b) }) })
	}
	if err != nil {
		return fmt.Errorf("load batch %d from %s: %w", seq, s.o.Dir, err)
	}
	return nil
}

// batch calls fn with a batch.
func batch(t *badger.Txn, n uint64, fn func(arrival int64, payload []byte) error) error {
	var arrival int64
	var size int
	return value(t, key('b', n), func(payload []byte) error {
		err := value(t, key('h', n), func(v []byte) (err error) {
			arrival, size, err = decodeHead(v)
			return err
		})
		if err != nil {
			return err
		}
		// For a value that it cannot read, or whose checksum is wrong, Badger gives nothing
		// and no error.
		if len(payload) != size {
			return fmt.Errorf("%w: %d of %d bytes can be read", ErrCorrupt, len(payload), size)
		}
		return fn(arrival, payload)
	})
}

// value calls fn with the value of k.
func value(t *badger.Txn, k []byte, fn func([]byte) error) error {
	it, err := t.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return ErrMissing
	}
	if err != nil {
		return err
	}
	return it.Value(fn)
}

// Departure is what one delivery did to one batch.
type Departure struct {
	Seq   uint64
	Marks []Mark
	// Last: no span of the batch waits any more.
	Last bool
}

// Release records departures: marks for a batch that still has spans, deletion for one that has
// none. What cannot be written is owed: it is written later, by Release(nil) at the latest.
func (s *Store) Release(deps []Departure) error {
	if len(deps) == 0 {
		return s.settle()
	}
	s.mu.RLock()
	byGeneration := map[*generation][]Departure{}
	var order []*generation
	for _, d := range deps {
		g := s.of(d.Seq)
		if g == nil {
			continue
		}
		if _, met := byGeneration[g]; !met {
			order = append(order, g)
		}
		byGeneration[g] = append(byGeneration[g], d)
	}
	var errs []error
	dead := 0
	for _, g := range order {
		last := int64(0)
		for _, d := range byGeneration[g] {
			if d.Last {
				last++
			}
		}
		// Only what has live batches, or will have, needs to know.
		if left := g.live.Add(-last); left == 0 && !s.current(g) {
			dead++
			continue
		}
		if err := s.record(g, byGeneration[g]); err != nil {
			errs = append(errs, fmt.Errorf("record a delivery in %s: %w", g.dir, err))
		}
	}
	s.mu.RUnlock()
	if dead > 0 {
		s.bury()
	}
	return errors.Join(errs...)
}

func (s *Store) current(g *generation) bool {
	return s.writable && g == s.batches[len(s.batches)-1]
}

// bury removes the generations without a live batch, but not the current one.
func (s *Store) bury() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = slices.DeleteFunc(s.batches, func(g *generation) bool {
		if g.live.Load() > 0 || s.current(g) || s.closed {
			return false
		}
		s.destroy(g)
		return true
	})
}

// record writes departures, after those that are owed.
func (s *Store) record(g *generation, deps []Departure) error {
	g.owing.Lock()
	defer g.owing.Unlock()
	g.owed = append(g.owed, deps...)
	if len(g.owed) == 0 {
		return nil
	}
	if s.closed {
		return badger.ErrDBClosed
	}
	keys, values := make([][]byte, len(g.owed)), make([][]byte, len(g.owed))
	sizes := make([]int, len(g.owed))
	for i, d := range g.owed {
		if d.Last {
			// The head stays: it keeps the number from being used again.
			keys[i] = key('b', d.Seq)
			continue
		}
		keys[i], values[i] = marksKey(d.Seq, s.number.Add(1)), encodeMarks(d.Marks)
		sizes[i] = len(values[i])
	}
	size, err := g.fit(sizes...)
	if err != nil {
		return err
	}
	w := g.db.NewWriteBatch()
	defer w.Cancel()
	for i, k := range keys {
		if values[i] == nil {
			err = w.Delete(k)
		} else {
			err = w.Set(k, values[i])
		}
		if err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	g.used.Add(size)
	s.used.Add(size)
	g.dirty.Store(true)
	g.owed = nil
	return nil
}

// Waiting returns what says whether a span of a batch waits: whether the batch is stored and no mark says
// that the span has left. It holds until the first Append or Release.
func (s *Store) Waiting() (waits func(seq uint64, ordinal uint32) bool, err error) {
	left := map[uint64]map[uint32]bool{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.batches {
		err := g.db.View(func(t *badger.Txn) error { return s.waiting(g, t, left) })
		if err != nil {
			return nil, corrupt(g.dir, err)
		}
	}
	return func(seq uint64, ordinal uint32) bool {
		gone, stored := left[seq]
		return stored && !gone[ordinal]
	}, nil
}

// waiting adds the batches of g to left, each with the spans that have left of it.
func (s *Store) waiting(g *generation, t *badger.Txn, left map[uint64]map[uint32]bool) error {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.Prefix = false, []byte{'b'}
	it := t.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		seq := binary.BigEndian.Uint64(it.Item().Key()[1:])
		marks, err := s.marks(g, t, seq)
		if err != nil {
			return fmt.Errorf("batch %d: %w", seq, err)
		}
		left[seq] = nil
		for _, m := range marks {
			if left[seq] == nil {
				left[seq] = make(map[uint32]bool, len(marks))
			}
			left[seq][m.Ordinal] = true
		}
	}
	return nil
}

// Replay calls fn for each stored batch, oldest first. Call it before the first Append.
func (s *Store) Replay(fn func(Batch) error) error {
	s.mu.RLock()
	for _, g := range s.batches {
		if err := g.db.View(func(t *badger.Txn) error { return s.replay(g, t, fn) }); err != nil {
			s.mu.RUnlock()
			return err
		}
	}
	s.mu.RUnlock()
	s.bury()
	return nil
}

func (s *Store) replay(g *generation, t *badger.Txn, fn func(Batch) error) error {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.Prefix = false, []byte{'b'}
	it := t.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		b := Batch{Seq: binary.BigEndian.Uint64(it.Item().Key()[1:])}
		err := batch(t, b.Seq, func(arrival int64, payload []byte) error {
			b.Arrival, b.Payload = arrival, slices.Clone(payload)
			return nil
		})
		if err == nil {
			b.Marks, err = s.marks(g, t, b.Seq)
		}
		if err != nil && !g.durable(b.Seq) {
			g.live.Add(-1)
			s.fail("replay", fmt.Errorf("batch %d in %s was not synced yet and is lost, as storage::sync allows after a power cut: %w", b.Seq, g.dir, err))
			continue
		}
		if err != nil {
			return corrupt(g.dir, fmt.Errorf("batch %d: %w", b.Seq, err))
		}
		if err := fn(b); err != nil {
			return err
		}
	}
	return nil
}

// marks reads what has left of batch n.
func (s *Store) marks(g *generation, t *badger.Txn, n uint64) (out []Mark, err error) {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.Prefix = false, key('m', n)
	it := t.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		turn, _, _, _ := parseKey(it.Item().Key())
		err := value(t, it.Item().KeyCopy(nil), func(v []byte) error {
			m, err := decodeMarks(v)
			out = append(out, m...)
			return err
		})
		if err != nil && g.durable(turn) {
			return nil, err
		}
	}
	return out, nil
}

// Size is the bytes that the files occupy on the disk.
func (s *Store) Size() (size int64) {
	_ = filepath.WalkDir(s.o.Dir, func(_ string, e os.DirEntry, err error) error {
		// A file may go away meanwhile.
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				size += occupied(info)
			}
		}
		return nil
	})
	return size
}

// maintain syncs, and removes what is not needed, until Close.
func (s *Store) maintain() {
	defer s.done.Done()
	idle := time.NewTicker(idleEvery)
	defer idle.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var flush <-chan time.Time
	if s.o.Sync == Interval {
		t := time.NewTicker(s.o.SyncInterval)
		defer t.Stop()
		flush = t.C
	}
	for {
		select {
		case <-s.stop:
			return
		case <-flush:
			s.sync()
		case <-second.C:
			// Release has reported it.
			_ = s.settle()
			if !s.present() {
				s.heal()
			}
		case <-idle.C:
			s.rest()
		}
	}
}

// sync forces what was written to the disk.
func (s *Store) sync() {
	// With the lock no record is under way: all up to this number are written.
	s.mu.Lock()
	upTo := s.number.Load()
	gs := slices.Concat(s.batches, s.facts)
	s.mu.Unlock()
	for _, g := range gs {
		if err := g.sync(upTo); err != nil && s.present() {
			s.fail("sync", fmt.Errorf("sync %s: %w", g.dir, err))
		}
	}
}

// settle writes the departures that are owed.
func (s *Store) settle() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var errs []error
	for _, g := range s.batches {
		if err := s.record(g, nil); err != nil {
			errs = append(errs, fmt.Errorf("record a delivery in %s: %w", g.dir, err))
		}
	}
	return errors.Join(errs...)
}

// rest gives the room of the current generation back when nothing in it is needed.
func (s *Store) rest() {
	s.expire()
	s.mu.RLock()
	var g *generation
	if n := len(s.batches); n > 0 && s.writable {
		g = s.batches[n-1]
	}
	s.mu.RUnlock()
	if g == nil || g.live.Load() > 0 || g.used.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.batches); n > 0 && s.batches[n-1] == g && g.live.Load() == 0 && !s.closed {
		s.batches, s.writable = s.batches[:n-1], false
		s.destroy(g)
	}
}

func (s *Store) fail(op string, err error) {
	if s.o.Failed != nil {
		s.o.Failed(op, err)
	}
}

// Close syncs and closes; it may be called again.
func (s *Store) Close() error {
	s.once.Do(func() {
		if !s.present() {
			s.heal()
		}
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.stop)
		s.done.Wait()
		if err := s.shut(); err != nil {
			s.err = fmt.Errorf("close %s: %w", s.o.Dir, err)
		}
	})
	return s.err
}

// shut closes all generations. Those without a live batch go.
func (s *Store) shut() error {
	var errs []error
	for _, g := range slices.Concat(s.batches, s.facts) {
		switch {
		case g.live.Load() == 0 || !s.present():
			errs = append(errs, g.destroy())
		case free(s.o.Dir) >= 0 && free(s.o.Dir) < lastFree:
			// Badger would write a table, and end the process where the disk is full. What
			// is stored is found again as after a crash.
			if err := g.sync(s.number.Load()); err != nil {
				errs = append(errs, err)
			}
		default:
			errs = append(errs, g.shut(s.number.Load()))
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
