//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// Why says what made a process worth another look, or why one is no longer selected.
type Why uint8

// Causes of Consider.
const (
	WhyScan   Why = iota // found in procfs
	WhyFork              // a new process, of the same program and environment as its parent
	WhyExec              // a new program in an old process
	WhyListen            // a socket began to listen
	// Causes of Deselected.
	WhyExit     // the process ended
	WhyReused   // the process ended unseen; its id is another's now
	WhyRules    // it runs another program or listens elsewhere, and the rules leave it out
	WhyShutdown // the scanner was closed
)

var whyNames = [...]string{"scan", "fork", "exec", "listen", "exit", "reused", "rules", "shutdown"}

func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return "unknown"
}

// DefaultMaxSelected bounds the processes selected at a time, unless Options says otherwise.
const DefaultMaxSelected = 4096

// Options configure a Scanner.
type Options struct {
	// Proc is where procfs is mounted; "" means /proc.
	Proc  string
	Rules Rules
	Host  Host
	// Self is the collector's process id as Proc shows it; 0 means find out.
	Self int
	// MaxSelected bounds the selected processes; 0 means DefaultMaxSelected.
	MaxSelected int
	// Selected is called when a process is selected, and again with a new description when a
	// selected process has executed another program and still matches.
	Selected func(*Process)
	// Deselected is called once for each process selected before.
	Deselected func(pid int, why Why)
	// Inherited is called with the description of a process that ended before it could be selected, and that of the
	// selected process that it was forked from; Deselected is not called for it.
	Inherited func(p, from *Process)
	// The callbacks run one at a time, each process's in order, on the goroutine that called the
	// Scanner. They may call Lookup and Len, nothing else of it.
}

// Scanner keeps the set of selected processes. Its methods may be called from several goroutines.
type Scanner struct {
	o      Options
	rules  *compiledRules
	reader *Reader
	self   int

	// turn is held while one process is considered, callbacks included, so decisions about a
	// process are reported in the order they were made. seen and past are written under it.
	turn sync.Mutex
	// seen remembers unselected processes, so a rescan only reads their stat.
	seen   map[int]seenProcess
	closed bool
	past   past
	// listeners is the state of each network namespace at the last scan.
	listeners map[uint64]uint64
	// recent is what fork and exec events share until a socket begins to listen.
	recent   listenCache
	recentAt time.Time

	scan sync.Mutex // one scan at a time; taken before turn

	mu       sync.RWMutex // guards selected
	selected map[int]*Process
}

type seenProcess struct {
	exec  uint64
	netns uint64
	ports bool // unselected only for want of a listening port
}

// NewScanner checks the options. Nothing is read before Scan or Consider.
func NewScanner(o Options) (*Scanner, error) {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.MaxSelected < 0 {
		return nil, fmt.Errorf("discovery.max_processes: %d: allowed is 1 or more, or 0 for %d",
			o.MaxSelected, DefaultMaxSelected)
	}
	if o.MaxSelected == 0 {
		o.MaxSelected = DefaultMaxSelected
	}
	rules, err := o.Rules.compile()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.Proc); err != nil {
		return nil, fmt.Errorf("process discovery: %w: mount procfs at %s", err, o.Proc)
	}
	s := &Scanner{
		o: o, rules: rules, reader: NewReader(o.Proc, o.Host), self: o.Self,
		seen: map[int]seenProcess{}, listeners: map[uint64]uint64{}, selected: map[int]*Process{},
	}
	s.reader.names = rules.names
	if s.self == 0 {
		s.self = ownPID(o.Proc)
	}
	return s, nil
}

// Counters counts what was skipped, by reason.
func (s *Scanner) Counters() *Counters { return s.reader.Counters }

// Reader is the scanner's own, with its counters.
func (s *Scanner) Reader() *Reader { return s.reader }

// Lookup returns the description of a selected process, nil for any other. It costs a map look-up.
func (s *Scanner) Lookup(pid int) *Process {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.selected[pid]
}

// Len is the number of selected processes.
func (s *Scanner) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.selected)
}

// Scan applies the rules to every process, and after that is Rescan. An error means that procfs
// could not be listed or ctx is done; processes that could not be read are counted instead.
func (s *Scanner) Scan(ctx context.Context) error {
	s.scan.Lock()
	defer s.scan.Unlock()
	all, err := pids(s.o.Proc)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	cache := listenCache{}
	for _, pid := range all {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list processes: %w", err)
		}
		s.turn.Lock()
		s.rescanOne(pid, cache)
		s.turn.Unlock()
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	s.forget(all)
	clear(s.listeners)
	for ns, wanted := range cache {
		s.listeners[ns] = signature(wanted)
	}
	return nil
}

// Rescan finds what events did not tell: it reads one small file of each process that it has seen
// before, and the socket tables once per network namespace when rules name ports. Call it rarely
// (a minute or so), and after events were lost.
func (s *Scanner) Rescan(ctx context.Context) error { return s.Scan(ctx) }

// open is for who considers pid, false where nobody is to: it counts why.
func (s *Scanner) open(pid int) (procDir, bool) {
	if pid == s.self {
		s.reader.Counters.add(Self)
		return procDir{}, false
	}
	d, err := openProc(s.o.Proc, pid)
	if err != nil {
		s.skip(pid, err)
		return procDir{}, false
	}
	return d, true
}

// rescanOne considers pid unless it is known and as it was.
func (s *Scanner) rescanOne(pid int, cache listenCache) {
	d, ok := s.open(pid)
	if !ok {
		return
	}
	defer d.close()
	known, isSeen := s.seen[pid]
	old := s.Lookup(pid)
	if isSeen || old != nil {
		st, err := s.reader.readStat(d)
		if err != nil {
			s.skip(pid, err)
			return
		}
		exec := st.execID()
		switch {
		case st.firstEnded(): // consider says what that means
		case old != nil && old.exec == exec &&
			(!s.rules.ports || !s.moved(d, seenProcess{netns: old.NetNS}, cache)):
			return
		case old == nil && known.exec == exec && !known.ports:
			return
		case old == nil && known.exec == exec && !s.moved(d, known, cache):
			return
		}
	}
	s.consider(d, WhyScan, cache)
}

// moved: the listeners that the rules care about have changed since the last scan, in the network
// namespace of a process.
func (s *Scanner) moved(d procDir, known seenProcess, cache listenCache) bool {
	if known.netns == 0 {
		return true
	}
	if _, ok := cache[known.netns]; !ok {
		// A namespace does not change under a process without setns(2) or unshare(2): consider, which
		// reads it again, then files the listeners under the right one.
		ns, err := d.link("ns/net")
		if err != nil || nsInode(ns) != known.netns {
			return true
		}
		if err := s.reader.fillListeners(d, known.netns, s.rules, cache); err != nil {
			return true
		}
	}
	last, ok := s.listeners[known.netns]
	return !ok || last != signature(cache[known.netns])
}

// forget drops what is known of processes that are no longer there.
func (s *Scanner) forget(alive []int) {
	alive = slices.Clone(alive)
	slices.Sort(alive)
	here := func(pid int) bool { _, ok := slices.BinarySearch(alive, pid); return ok }
	for pid := range s.seen {
		if !here(pid) {
			delete(s.seen, pid)
		}
	}
	var gone []int
	s.mu.RLock()
	for pid, p := range s.selected {
		if here(pid) {
			continue
		}
		// It may have been selected after the list was made.
		if d, err := openProc(s.o.Proc, pid); err == nil {
			st, err := s.reader.readStat(d)
			d.close()
			if err == nil && st.start == p.Start && !st.ended() {
				continue
			}
		}
		gone = append(gone, pid)
	}
	s.mu.RUnlock()
	for _, pid := range gone {
		s.drop(pid, WhyExit)
	}
}

// Consider looks at one process again because of an event. pid is a process's, never a thread's.
// It reads procfs, which takes some 100 µs: call it from a goroutine that may wait, or use a Watch.
func (s *Scanner) Consider(pid int, why Why) {
	s.turn.Lock()
	defer s.turn.Unlock()
	d, ok := s.open(pid)
	if !ok {
		return
	}
	defer d.close()
	s.consider(d, why, s.listenersFor(why))
}

// listenerAge bounds how old the socket tables may be that a new process is compared with. A kernel
// walks its whole table of connections to print them, and a build makes hundreds of processes a
// second.
const listenerAge = time.Second

func (s *Scanner) listenersFor(why Why) listenCache {
	if now := time.Now(); s.recent == nil || why == WhyListen || now.Sub(s.recentAt) > listenerAge {
		s.recent, s.recentAt = listenCache{}, now
	}
	return s.recent
}

// Exit says that the last thread of a process has ended. Where procfs shows a living process under
// the id it is another, or the event was late: that process is then considered.
func (s *Scanner) Exit(pid int, made Fork) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if pid == s.self {
		return
	}
	d, err := openProc(s.o.Proc, pid)
	if err == nil {
		defer d.close()
		st, err := s.reader.readStat(d)
		if err == nil && !st.firstEnded() {
			s.consider(d, WhyScan, s.listenersFor(WhyFork))
			return
		}
	}
	s.inherit(pid, made)
	delete(s.seen, pid)
	s.drop(pid, WhyExit)
}

// Close deselects every process; after it nothing is selected any more. It may be repeated.
func (s *Scanner) Close() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.closed = true
	s.mu.RLock()
	all := make([]int, 0, len(s.selected))
	for pid := range s.selected {
		all = append(all, pid)
	}
	s.mu.RUnlock()
	slices.Sort(all)
	for _, pid := range all {
		s.drop(pid, WhyShutdown)
	}
}

// skip counts a process that could not be read, and deselects it when it has ended.
func (s *Scanner) skip(pid int, err error) {
	_ = s.reader.count(err)
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrZombie):
		delete(s.seen, pid)
		s.drop(pid, WhyExit)
	case errors.Is(err, ErrThread), errors.Is(err, ErrKernelThread):
		s.drop(pid, WhyReused) // nothing else can have made one of a process
	}
}

func (s *Scanner) drop(pid int, why Why) {
	s.mu.Lock()
	p, was := s.selected[pid]
	delete(s.selected, pid)
	s.mu.Unlock()
	if was && why == WhyExit {
		s.past.add(p)
	}
	if was && s.o.Deselected != nil {
		s.o.Deselected(pid, why)
	}
}

// consider decides about one process and reports a change. s.turn is held.
func (s *Scanner) consider(d procDir, why Why, cache listenCache) {
	if s.closed {
		return
	}
	pid := d.pid
	p, err := s.reader.facts(d)
	if err != nil {
		s.skip(pid, err)
		if errors.Is(err, ErrKernelThread) {
			s.remember(d, seenProcess{})
		}
		return
	}
	old := s.Lookup(pid)
	if old != nil && old.Start != p.Start {
		s.drop(pid, WhyReused)
		old = nil
	}
	// The same program still, so what it was selected for still holds. The event of an exec may come
	// after a scan has read what it is about; nothing has changed then either.
	same := old != nil && old.exec == p.exec
	s.restoreEnviron(p, old, same)
	same = same && (why != WhyExec || sameProgram(old, p))

	verdict, portsAsked, err := s.verdict(d, p, same, cache)
	if err != nil {
		s.skip(pid, err)
		return
	}
	switch verdict {
	case selected:
		delete(s.seen, pid)
		if same {
			return
		}
		if old == nil && s.Len() >= s.o.MaxSelected {
			s.reader.Counters.add(TooMany) // not remembered, so a rescan tries again
			return
		}
		s.reader.complete(d, p)
		s.mu.Lock()
		s.selected[pid] = p
		s.mu.Unlock()
		if s.o.Selected != nil {
			s.o.Selected(p)
		}
		return
	case excluded:
		s.reader.Counters.add(Excluded)
	case excludedUnknown:
		s.reader.Counters.add(ExcludedUnknown)
	}
	s.drop(pid, WhyRules)
	s.seen[pid] = seenProcess{exec: p.exec, netns: p.NetNS, ports: portsAsked}
}

func (s *Scanner) remember(d procDir, e seenProcess) {
	if st, err := s.reader.readStat(d); err == nil {
		e.exec = st.execID()
		s.seen[d.pid] = e
	}
}

// sameProgram compares what identity by addresses leaves open: they are equal after an exec where
// their randomisation is switched off, or may not be seen.
func sameProgram(a, b *Process) bool {
	return a.Exe == b.Exe && a.ExeKey == b.ExeKey && a.Comm == b.Comm && maps.Equal(a.env.values, b.env.values)
}

// restoreEnviron fills in an environment that the process has written its title over, from what was read
// of the same program before that, in this process or in the parent that it was forked from.
func (s *Scanner) restoreEnviron(p, old *Process, same bool) {
	if !p.env.overwritten || len(p.env.values) > 0 {
		return
	}
	switch parent := s.Lookup(p.PPID); {
	case same:
		p.env.values = old.env.values
	case parent != nil && p.ExeKey != (FileKey{}) && parent.ExeKey == p.ExeKey && parent.Start <= p.Start:
		p.env.values = parent.env.values
	}
}

// verdict asks the rules, and for the listening ports only when all else holds. A process that was
// selected for a port stays selected when it stops listening: it may still be serving.
func (s *Scanner) verdict(d procDir, p *Process, same bool, cache listenCache) (v verdict, portsAsked bool, err error) {
	v = s.rules.decide(p, portFacts{})
	if v == needPorts {
		facts, err := s.reader.ports(d, p.NetNS, s.rules, cache)
		if errors.Is(err, ErrGone) {
			return v, true, err
		}
		_ = s.reader.count(err)
		v, portsAsked = s.rules.decide(p, facts), true
	}
	if same && (v == unselected || v == unreadable) {
		v = selected
	}
	return v, portsAsked, nil
}
