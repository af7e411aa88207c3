package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// size says how much of each fault there is.
type size struct {
	kills   int
	outage  time.Duration
	tmpfs   int // MiB
	healing time.Duration
	waiting int // MiB
}

var (
	whole = size{kills: 50, outage: time.Minute, tmpfs: 160, healing: 4 * time.Second, waiting: 3000}
	short = size{kills: 8, outage: 8 * time.Second, tmpfs: 120, healing: 3 * time.Second, waiting: 1300}
)

// row is one fault.
type row struct {
	name string
	// change is what it wants of the Collector.
	change func(*setup)
	// prepare runs before the Collector, fault while it is under load.
	prepare func(*bench, size) error
	fault   func(*bench, size) error
}

// errSkip says why a row cannot run here.
var errSkip = errors.New("skipped")

var rows = []row{
	{name: "kill -9 at random moments", fault: kills},
	{name: "kill -9, sync always", change: func(s *setup) { s.sync = "always" }, fault: func(b *bench, s size) error {
		s.kills = (s.kills + 4) / 5
		return kills(b, s)
	}},
	{name: "disk full", change: func(s *setup) { s.window = 500 * time.Millisecond }, prepare: mountSmall, fault: diskFull},
	{name: "directory removed", fault: removed},
	{name: "clock jumps", fault: clockJumps},
	{name: "more waits than memory", change: func(s *setup) {
		s.window, s.body, s.memory = 10*time.Minute, 16<<10, 768<<20
	}, fault: piles},
	{name: "downstream refuses", change: func(s *setup) { s.maxWaiting = 60_000 }, fault: refuses},
}

// some is a moment under load.
func some(most time.Duration) { time.Sleep(rand.N(most)) }

// kills: from the first moment that it listens, in the middle of anything.
func kills(b *bench, s size) error {
	for range s.kills {
		some(1800 * time.Millisecond)
		if err := b.again(); err != nil {
			return err
		}
	}
	return nil
}

// mountSmall gives the row a file system of its own.
func mountSmall(b *bench, s size) error {
	if err := os.Mkdir(b.store, 0o700); err != nil {
		return err
	}
	err := syscall.Mount("linkfaults", b.store, "tmpfs", 0, fmt.Sprintf("size=%dm", s.tmpfs))
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w: mounting a tmpfs needs root", errSkip)
	}
	return err
}

// diskFull: somebody else fills the file system, for a while, also over a kill. The Collector refuses
// meanwhile and delivers what it has.
func diskFull(b *bench, _ size) error {
	for _, killed := range []bool{false, true} {
		time.Sleep(1500 * time.Millisecond)
		filler := filepath.Join(b.store, "filler")
		if err := fill(filler); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		if killed {
			if err := b.kill(); err != nil {
				return err
			}
			b.restarts++
			if err := fill(filler); err != nil {
				return err
			}
		}
		// What an earlier Collector had reserved may be room enough to start.
		err := b.startFull()
		if rerr := os.Remove(filler); rerr != nil {
			return rerr
		}
		if err == nil && b.cmd == nil {
			err = b.start()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// startFull starts the Collector unless it runs. On a full disk it may say so and end.
func (b *bench) startFull() error {
	if b.cmd != nil {
		return nil
	}
	err := b.start()
	if err == nil {
		return nil
	}
	if b.cmd != nil || !strings.Contains(b.log.String(), "no space left in the storage directory "+b.store) {
		return err
	}
	return nil
}

// fill takes all the room that there is, and what comes free in the next moments.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for full := 0; full < 50; {
		_, err := f.Write(block)
		switch {
		case err == nil:
		case !errors.Is(err, syscall.ENOSPC):
			return err
		case len(block) > 4096:
			block = block[:len(block)/2]
		default:
			full++
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// removed: rm -rf on the storage directory. It is made anew with all that waits, as a kill then shows.
func removed(b *bench, s size) error {
	for range 2 {
		time.Sleep(1500 * time.Millisecond)
		// A file may be made while others are removed.
		err := os.RemoveAll(b.store)
		for i := 0; err != nil && i < 100; i++ {
			time.Sleep(time.Millisecond)
			err = os.RemoveAll(b.store)
		}
		if err != nil {
			return err
		}
		time.Sleep(s.healing)
		if err := b.again(); err != nil {
			return err
		}
	}
	return nil
}

// clockJumps: the wall clock steps while the Collector runs and while it does not.
func clockJumps(b *bench, _ size) error {
	for _, to := range []time.Duration{time.Hour, -time.Hour, 240 * time.Hour, 0} {
		some(1500 * time.Millisecond)
		if err := b.step(to); err != nil {
			return err
		}
		some(1500 * time.Millisecond)
		if err := b.kill(); err != nil {
			return err
		}
		if err := b.step(to / 2); err != nil {
			return err
		}
		b.restarts++
		if err := b.start(); err != nil {
			return err
		}
	}
	return nil
}

// step steps the Collector's wall clock to this far from the machine's.
func (b *bench) step(to time.Duration) error {
	b.ledger.stepped(to)
	return stepClock(b.clock(), to)
}

// piles: what waits becomes several times what the Collector may have in memory. The one after a kill has it too, and lets
// it go soon.
func piles(b *bench, s size) error {
	for enough := time.After(5 * time.Minute); b.ledger.missing()*b.body < s.waiting<<20; {
		select {
		case err := <-b.ended:
			return b.fell(err)
		case <-enough:
			return fmt.Errorf("only %d MiB wait after 5 minutes, so this shows nothing", b.ledger.missing()*b.body>>20)
		case <-time.After(50 * time.Millisecond):
		}
	}
	b.load.stopped.Store(true)
	b.window = time.Second
	return b.again()
}

// refuses: what is behind the Collector says no for a while, with one kill in it. The Collector fills up
// and refuses in turn.
func refuses(b *bench, s size) error {
	some(time.Second)
	b.sink.refusing.Store(true)
	time.Sleep(s.outage / 2)
	if err := b.again(); err != nil {
		return err
	}
	time.Sleep(s.outage / 2)
	b.sink.refusing.Store(false)
	if b.sink.refused.Load() == 0 {
		return errors.New("nothing was refused, so this shows nothing")
	}
	return nil
}
