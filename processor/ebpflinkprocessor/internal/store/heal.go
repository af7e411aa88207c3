package store

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// heal makes the directory anew after somebody removed it, and writes what still waits into it: the
// files are gone by name, but open. Facts of spans that have left are not saved.
func (s *Store) heal() {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if err := s.moveAll(); err != nil {
		s.fail("directory", fmt.Errorf("%s was removed and cannot be made anew: %w", s.o.Dir, err))
		return
	}
	s.fail("directory", fmt.Errorf("%s was removed while in use; it was made anew and has all that waits", s.o.Dir))
}

func (s *Store) moveAll() error {
	if err := makeDir(s.o.Dir); err != nil {
		return err
	}
	lock, err := lockDir(s.o.Dir)
	if err != nil {
		return err
	}
	size, first := int64(minGeneration), uint64(0)
	for i, g := range s.batches {
		size += g.used.Load()
		if i == 0 {
			first = g.first
		}
	}
	to, err := makeGeneration(&s.o, batchKind, s.dirs.Add(1), size)
	if err != nil {
		return errors.Join(err, lock.Close(), os.Remove(lock.Name()))
	}
	to.first = max(first, 1)
	for _, g := range s.batches {
		if err := move(g, to); err != nil {
			return errors.Join(err, to.destroy(), lock.Close(), os.Remove(lock.Name()))
		}
	}
	s.used.Add(to.used.Load())
	old := s.batches
	s.batches, s.writable = []*generation{to}, true
	_ = s.lock.Close()
	s.lock = lock
	for _, g := range slices.Concat(old, s.facts) {
		s.destroy(g)
	}
	s.facts = nil
	return nil
}

// move copies the live batches of one generation, and what has left of them, to another.
func move(from, to *generation) error {
	w := to.db.NewWriteBatch()
	defer w.Cancel()
	err := from.db.View(func(t *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := t.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			k := it.Item().KeyCopy(nil)
			v, err := it.Item().ValueCopy(nil)
			if err == nil {
				_, err = to.fit(len(v))
			}
			if err == nil {
				err = w.Set(k, v)
			}
			if err != nil {
				return err
			}
			to.used.Add(int64(len(v)) + overhead)
		}
		return nil
	})
	if err != nil {
		return err
	}
	to.live.Add(from.live.Load())
	from.owing.Lock()
	to.owed = append(to.owed, from.owed...)
	from.owing.Unlock()
	to.dirty.Store(true)
	return w.Flush()
}
