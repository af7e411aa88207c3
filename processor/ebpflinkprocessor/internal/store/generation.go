package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	formatFile = "FORMAT"
	syncedFile = "SYNCED"

	// memTable holds keys and small records of one generation; larger values go to the value log. Its
	// room is taken at once, for each generation, and the keys of a thousand batches are 0.2 MiB. A
	// full one goes to a file.
	memTable       = 1 << 20
	valueThreshold = 1 << 10
)

// generation is one Badger database. Nothing in it is compacted: it goes as a whole.
//
//	made ─ records ─ full ─ read and marked ─ nothing lives ─ FORMAT removed ─ closed ─ removed
type generation struct {
	dir  string
	kind string
	db   *badger.DB
	// number of the directory; first and last record in it, 0 when it has none.
	number, first, last uint64
	// synced is the last record that a restart found to be on the disk before the one before it.
	synced uint64
	always bool
	// version is that of a reopened one.
	version int
	// size is what used may grow to.
	size int64
	used atomic.Int64
	// live counts the batches that are needed, or the facts.
	live  atomic.Int64
	dirty atomic.Bool
	// newest is the time of the last facts that a restart found, by Store.time.
	newest int64
	// born is when a generation of facts was begun, fresh until when its facts are needed, both by
	// the monotonic clock.
	born, fresh time.Time
	// log is the room of the value log, wal that of the memTable's.
	log, wal room
	// using is held for writing while the database is closed.
	using  sync.RWMutex
	isShut bool
	// grumbles counts what Badger logs as an error without returning it.
	grumbles atomic.Int64
	// owed are departures that could not be written yet; guarded by owing.
	owing sync.Mutex
	owed  []Departure
}

func generationDir(dir, kind string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%08d", kind, number))
}

// makeGeneration makes an empty one. Its room is reserved, as far as the file system can.
func makeGeneration(o *Options, kind string, number uint64, size int64) (*generation, error) {
	g := &generation{
		dir: generationDir(o.Dir, kind, number), kind: kind, number: number,
		always: o.Sync == Always, size: size,
	}
	if err := os.RemoveAll(g.dir); err != nil {
		return nil, err
	}
	if err := g.open(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(g.dir))
	}
	err := g.prepare()
	if err == nil {
		err = g.declare(o)
	}
	if err != nil {
		return nil, errors.Join(err, g.db.Close(), os.RemoveAll(g.dir))
	}
	return g, nil
}

// open opens or makes the database.
func (g *generation) open(o *Options) (err error) {
	if n := free(o.Dir); n >= 0 && n < lastFree {
		return fmt.Errorf("no space left: %w", noRoom(n))
	}
	// Badger panics on some damaged files.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	if err := g.sweep(); err != nil {
		return err
	}
	g.db, err = badger.Open(badger.DefaultOptions(g.dir).
		WithLogger(&grumbler{g, o.Failed}).
		WithMetricsEnabled(false).
		WithSyncWrites(g.always).
		WithDetectConflicts(false).
		WithCompression(options.None).
		WithVerifyValueChecksum(true).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(g.fileSize()).
		WithMemTableSize(memTable).
		// Twice this is taken to write a table, which happens once, on closing; nothing else is decided by it.
		WithBaseTableSize(memTable / 4).
		WithNumMemtables(2).
		// Never compacted, so never stalled for it.
		WithNumCompactors(0).
		WithNumLevelZeroTablesStall(1 << 20).
		WithCompactL0OnClose(false).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0))
	return err
}

// sweep removes logs of the memory table that hold nothing. Badger empties such a file before it removes
// it, and makes one before it gives it a size; killed between the two it would not open the directory again.
func (g *generation) sweep() error {
	files, _ := filepath.Glob(filepath.Join(g.dir, "*.mem"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && st.Size() == 0 {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileSize is that of a value log: all values of a generation, marks too, are in one. Of a file that is
// open twice the size is mapped.
func (g *generation) fileSize() int64 {
	return min(2*g.size+roomStep, maxFile)
}

// prepare finds the files that Badger writes to, and reserves room for what the generation is meant to
// hold.
func (g *generation) prepare() error {
	g.log.of(g.dir, "*.vlog")
	g.wal.of(g.dir, "*.mem")
	// Of a full memTable Badger writes a table and begins another log.
	g.wal.most = memTable / 2
	if err := g.wal.take(1 << 16); err != nil {
		return err
	}
	if g.kind != batchKind {
		g.log.step = g.size / 16
		return nil
	}
	// An eighth for marks.
	left := max(g.size-g.used.Load(), 0)
	if err := g.log.extend(left + left/8 + 1<<16); err != nil {
		return err
	}
	return nil
}

// fit makes sure that records with values of these sizes can be written, and returns what they take.
func (g *generation) fit(sizes ...int) (int64, error) {
	var wal, log int64
	for _, n := range sizes {
		if wal += overhead; n < valueThreshold {
			wal += int64(n)
		} else {
			log += int64(n) + overhead
		}
	}
	if err := g.wal.take(wal); err != nil {
		return 0, err
	}
	if err := g.log.take(log); err != nil {
		g.wal.giveBack(wal)
		return 0, err
	}
	return wal + log, nil
}

// declare writes FORMAT: from now on the generation counts.
func (g *generation) declare(o *Options) error {
	text := fmt.Sprintf("ebpf_link %s\nversion %d\nsync %s\nsize %d\n", g.kind, FormatVersion, o.Sync, g.size)
	path := filepath.Join(g.dir, formatFile)
	if err := writeSynced(path+".new", text); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return errors.Join(syncDir(g.dir), syncDir(o.Dir))
}

func writeSynced(path, text string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// reopenGeneration opens one of an earlier process.
func reopenGeneration(o *Options, kind string, number uint64) (*generation, error) {
	g := &generation{dir: generationDir(o.Dir, kind, number), kind: kind, number: number}
	if err := g.readFormat(); err != nil {
		return nil, err
	}
	if b, err := os.ReadFile(filepath.Join(g.dir, syncedFile)); err == nil {
		g.synced, _ = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	}
	if err := g.open(o); err != nil {
		return nil, explain(g.dir, err)
	}
	if err := g.survey(); err != nil {
		return nil, errors.Join(corrupt(g.dir, err), g.db.Close())
	}
	if err := g.prepare(); err != nil {
		return nil, errors.Join(noSpace(o.Dir, err), g.db.Close())
	}
	return g, nil
}

func (g *generation) readFormat() error {
	b, err := os.ReadFile(filepath.Join(g.dir, formatFile))
	if err != nil {
		return fmt.Errorf("read the format of %s: %w", g.dir, err)
	}
	var kind, sync string
	g.version = 0
	if _, err := fmt.Sscanf(string(b), "ebpf_link %s\nversion %d\n", &kind, &g.version); err != nil || kind != g.kind {
		return corrupt(g.dir, fmt.Errorf("%s does not say what it is: %q", formatFile, b))
	}
	if g.version < oldestVersion || g.version > FormatVersion {
		return wrongVersion(g.dir, g.version)
	}
	if _, err := fmt.Sscanf(string(b), "ebpf_link %s\nversion %d\nsync %s\nsize %d\n", &kind, &g.version, &sync, &g.size); err != nil {
		return corrupt(g.dir, fmt.Errorf("%s is not whole: %q", formatFile, b))
	}
	g.always = Sync(sync) == Always
	return nil
}

// survey counts what is in a reopened generation.
func (g *generation) survey() error {
	return g.db.View(func(t *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := t.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			k, size := it.Item().Key(), it.Item().ValueSize()
			n, count, at, err := parseKey(k)
			if err != nil {
				return err
			}
			g.used.Add(size + overhead)
			g.last = max(g.last, n)
			switch k[0] {
			case 'h':
				if g.first == 0 {
					g.first = n
				}
			case 'b':
				g.live.Add(1)
			case 'f':
				g.live.Add(count)
				g.newest = at // in the order of their numbers
			}
		}
		return nil
	})
}

// put writes records in one transaction and does not return before they are as durable as sync
// promises.
func (g *generation) put(records ...*badger.Entry) error {
	sizes := make([]int, len(records))
	for i, r := range records {
		sizes[i] = len(r.Value)
	}
	if _, err := g.fit(sizes...); err != nil {
		return err
	}
	before := g.grumbles.Load()
	err := g.db.Update(func(t *badger.Txn) error {
		for _, r := range records {
			if err := t.SetEntry(r); err != nil {
				return err
			}
		}
		return nil
	})
	g.dirty.Store(true)
	if err == nil && g.always && g.grumbles.Load() != before {
		return errors.New("a file could not be synced")
	}
	return err
}

// sync forces to the disk what was written, and says so up to the record upTo.
func (g *generation) sync(upTo uint64) error {
	g.using.RLock()
	defer g.using.RUnlock()
	if g.isShut || !g.dirty.Swap(false) {
		return nil
	}
	if err := g.db.Sync(); err != nil {
		g.dirty.Store(true)
		return err
	}
	return g.markSynced(upTo)
}

func (g *generation) markSynced(upTo uint64) error {
	return os.WriteFile(filepath.Join(g.dir, syncedFile), []byte(strconv.FormatUint(upTo, 10)+"\n"), 0o600)
}

// durable says whether record n was on the disk for certain, so that damage to it is no consequence
// of a power cut.
func (g *generation) durable(n uint64) bool { return g.always || n <= g.synced }

// undeclare: from now on the generation does not count.
func (g *generation) undeclare() error {
	err := os.Remove(filepath.Join(g.dir, formatFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// destroy removes the generation, which nobody uses any more. Its space is free at once, also for
// what Badger writes on closing.
func (g *generation) destroy() error {
	err := g.undeclare()
	files, _ := filepath.Glob(filepath.Join(g.dir, "*.vlog"))
	for _, f := range files {
		give(f)
	}
	return errors.Join(err, g.shut(0), os.RemoveAll(g.dir))
}

// shut closes the database, which syncs it; all records up to upTo are written. It may be called again.
func (g *generation) shut(upTo uint64) error {
	g.using.Lock()
	defer g.using.Unlock()
	if g.isShut || g.db == nil {
		return nil
	}
	g.isShut = true
	// Without the directory Badger tries for ever to write a table into it; it removes its LOCK.
	if err := os.MkdirAll(g.dir, 0o750); err != nil {
		return err
	}
	if f, err := os.OpenFile(filepath.Join(g.dir, "LOCK"), os.O_CREATE, 0o640); err == nil {
		_ = f.Close()
	}
	if err := g.db.Close(); err != nil || upTo == 0 {
		return err
	}
	return g.markSynced(upTo)
}

// grumbler passes on what Badger logs as an error.
type grumbler struct {
	g      *generation
	failed func(string, error)
}

func (l *grumbler) Errorf(format string, args ...any) {
	l.g.grumbles.Add(1)
	if l.failed != nil {
		l.failed("database", fmt.Errorf(l.g.dir+": "+strings.TrimSpace(format), args...))
	}
}
func (*grumbler) Warningf(string, ...any) {}
func (*grumbler) Infof(string, ...any)    {}
func (*grumbler) Debugf(string, ...any)   {}
