package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// factParts is how many generations hold the facts that are kept: about a part more than needed is.
const factParts = 4

// Remember stores what must be known of count spans that leave now.
func (s *Store) Remember(count int, facts []byte) error {
	if s.o.MaxFacts <= 0 || count == 0 {
		return nil
	}
	if err := s.remember(count, facts); err != nil {
		return fmt.Errorf("store facts in %s: %w", s.o.Dir, err)
	}
	return nil
}

func (s *Store) remember(count int, facts []byte) error {
	size := int64(len(facts)) + overhead
	s.mu.RLock()
	closed := s.closed
	s.mu.RUnlock()
	if closed {
		return badger.ErrDBClosed
	}
	if !s.present() {
		return ErrGone
	}
	if err := s.factsRoom(int64(count), size); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || len(s.facts) == 0 {
		return badger.ErrDBClosed
	}
	g := s.facts[len(s.facts)-1]
	record, _ := s.records.Get().(*[]byte)
	if record == nil {
		record = new([]byte)
	}
	defer s.records.Put(record)
	*record = encodeFacts((*record)[:0], facts)
	if err := g.put(badger.NewEntry(factsKey(s.number.Add(1), count, s.time()), *record)); err != nil {
		return err
	}
	g.live.Add(int64(count))
	g.used.Add(size)
	s.used.Add(size)
	g.fresh = s.o.now().Add(s.o.FactsFor)
	return nil
}

// factsRoom begins a new generation of facts when the last one is full, and lets old ones go.
func (s *Store) factsRoom(count, size int64) error {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	full := true
	s.mu.RLock()
	if n := len(s.facts); n > 0 {
		g := s.facts[n-1]
		// An older version of the program must not meet facts that it cannot read.
		full = g.isShut || (g.version != 0 && g.version != FormatVersion) || g.live.Load() > 0 && (g.live.Load()+count > s.factsPart() ||
			g.used.Load()+size > g.size || s.o.now().Sub(g.born) > s.o.FactsFor/factParts)
	}
	s.mu.RUnlock()
	if !full {
		return nil
	}
	g, err := makeGeneration(&s.o, factKind, s.dirs.Add(1), s.factsSize())
	if err != nil {
		return fmt.Errorf("begin a generation: %w", err)
	}
	g.born = s.o.now()
	g.fresh = g.born.Add(s.o.FactsFor)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return g.destroy()
	}
	if n := len(s.facts); n > 0 {
		if err := s.facts[n-1].shut(s.number.Load()); err != nil {
			s.fail("database", err)
		}
	}
	s.facts = append(s.facts, g)
	s.expireLocked()
	return nil
}

func (s *Store) factsPart() int64 { return int64(max(s.o.MaxFacts/factParts, 1)) }

// factBytes is what a fact takes, and more.
const factBytes = 256

// factsSize bounds a generation of facts: all of them get a quarter of the storage at most.
func (s *Store) factsSize() int64 {
	size := min(max(s.factsPart()*factBytes, leastGeneration), maxGeneration/4)
	if s.o.MaxBytes > 0 {
		size = min(size, max(s.o.MaxBytes/(4*(factParts+1)), leastGeneration))
	}
	return size
}

func (s *Store) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.expireLocked()
	}
}

// expireLocked removes generations whose facts are all too old, or more than enough, or take too
// much room.
func (s *Store) expireLocked() {
	for len(s.facts) > 0 {
		rest, bytes := int64(0), s.facts[0].used.Load()
		for _, g := range s.facts[1:] {
			rest, bytes = rest+g.live.Load(), bytes+g.used.Load()
		}
		if s.o.now().Before(s.facts[0].fresh) && rest < int64(s.o.MaxFacts) && bytes <= (factParts+1)*s.factsSize() {
			return
		}
		s.destroy(s.facts[0])
		s.facts = slices.Delete(s.facts, 0, 1)
	}
}

// startTime begins the time by which facts age: it goes on from the last of them, and only while a Store is
// open. A wall clock that stepped, while one was open or not, so makes no fact too old; that none was open
// for long does neither.
func (s *Store) startTime() {
	s.began = s.o.now()
	s.base = s.began.UnixNano()
	if n := len(s.facts); n > 0 {
		s.base = s.facts[n-1].newest
	}
	for _, g := range s.facts {
		g.born, g.fresh = s.began, s.began.Add(s.o.FactsFor-s.age(g.newest))
	}
}

// time is now, in ns since 1970 by the wall clock when the directory was new.
func (s *Store) time() int64 { return s.base + int64(s.o.now().Sub(s.began)) }

// age of what was stored at, by time, and no more than facts are kept.
func (s *Store) age(at int64) time.Duration {
	return min(max(time.Duration(s.time()-at), 0), s.o.FactsFor)
}

// Recall calls fn with what Remember was given and how old it is, oldest first; facts are valid during the
// call. Call it before the first Remember.
func (s *Store) Recall(fn func(age time.Duration, count int, facts []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked()
	surplus := -int64(s.o.MaxFacts)
	for _, g := range s.facts {
		surplus += g.live.Load()
	}
	for i, g := range s.facts {
		err := g.db.View(func(t *badger.Txn) error { return s.recall(g, t, &surplus, fn) })
		if err != nil {
			return err
		}
		if i < len(s.facts)-1 {
			// Only the last one takes more; the others are not read again.
			if err := g.shut(s.number.Load()); err != nil {
				s.fail("database", err)
			}
		}
	}
	return nil
}

// recall reads one generation but for the surplus oldest facts.
func (s *Store) recall(g *generation, t *badger.Txn, surplus *int64, fn func(time.Duration, int, []byte) error) error {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.Prefix = false, []byte{'f'}
	it := t.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n, count, at, err := parseKey(it.Item().Key())
		if err != nil {
			return corrupt(g.dir, err)
		}
		if *surplus >= count {
			*surplus -= count
			continue
		}
		*surplus = 0
		var ferr error
		err = value(t, it.Item().KeyCopy(nil), func(v []byte) error {
			facts, err := decodeFacts(v)
			if err == nil {
				ferr = fn(s.age(at), int(count), facts)
			}
			return err
		})
		switch {
		case ferr != nil:
			return ferr
		case err != nil && g.durable(n):
			return corrupt(g.dir, fmt.Errorf("facts %d: %w", n, err))
		case err != nil:
			s.fail("replay", fmt.Errorf("facts of %d spans in %s were not synced yet and are lost, as storage::sync allows after a power cut: %w", count, g.dir, err))
		}
	}
	return nil
}
