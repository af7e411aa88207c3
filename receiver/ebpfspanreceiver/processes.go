//go:build linux

package ebpfspanreceiver

import (
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// rememberFor is how long the description of a process outlives it: its last spans come after.
const rememberFor = 2 * time.Minute

// maxPast bounds the descriptions that outlive their processes: of more, the oldest are forgotten before that.
const maxPast = 16 << 10

// processes are those that are selected, and for a while those that were. Discovery adds them while events are read.
type processes struct {
	mu sync.Mutex
	by map[uint32]*described
	// added counts them.
	added uint64
	past  []*described // those that are gone, in order
}

// described is a selected process, or one that was until gone.
type described struct {
	*process.Process
	gone time.Time
	// serving counts the open requests of each execution context. Used by the reading goroutine only.
	serving map[uint64]int
	// since is when the kernel side began to trace it; 0 before.
	since uint64
	// instance is a number of its own: process ids are used again.
	instance uint64
	// habits are those of its runtime.
	habits causality.Habits
}

// add makes p the process with its id, in the place of whatever had that before.
func (s *processes) add(p *process.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[uint32]*described{}
	}
	s.added++
	s.by[uint32(p.PID)] = &described{Process: p, serving: map[uint64]int{}, instance: s.added}
}

// inherit makes p a process that has ended, with the habits of what it was forked from.
func (s *processes) inherit(p *process.Process, from uint32, now time.Time) {
	h := s.habits(from)
	s.add(p)
	s.learn(uint32(p.PID), func(to *causality.Habits) { *to = h })
	s.ended(uint32(p.PID), now)
}

// with calls fn with the description of a process, if there is one.
func (s *processes) with(tgid uint32, fn func(*described)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.by[tgid]; d != nil {
		fn(d)
	}
}

// learn takes in what the runtime of a process makes of its evidence.
func (s *processes) learn(tgid uint32, set func(*causality.Habits)) {
	s.with(tgid, func(d *described) { set(&d.habits) })
}

// traced: the kernel side traces it, at the latest since now.
func (s *processes) traced(tgid uint32, now uint64) {
	s.with(tgid, func(d *described) {
		if d.since == 0 {
			d.since = now
		}
	})
}

// ended: its last spans may come yet.
func (s *processes) ended(tgid uint32, now time.Time) {
	s.with(tgid, func(d *described) {
		d.gone = now
		if s.past = append(s.past, d); len(s.past) > maxPast {
			s.forgetFirst()
		}
	})
}

// forget drops those that ended long ago.
func (s *processes) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.past) > 0 && now.Sub(s.past[0].gone) > rememberFor {
		s.forgetFirst()
	}
}

func (s *processes) forgetFirst() {
	d := s.past[0]
	s.past[0], s.past = nil, s.past[1:]
	if pid := uint32(d.PID); s.by[pid] == d { // else the id is another's by now
		delete(s.by, pid)
	}
}

// of finds the description of a process, nil where it was never selected, or ended long ago.
func (s *processes) of(tgid uint32) *described {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[tgid]
}

// identify says which process has a number.
func (s *processes) identify(tgid uint32) (instance uint64, service string) {
	if p := s.of(tgid); p != nil {
		return p.instance, p.ServiceName
	}
	return 0, ""
}

// habits are those of the runtime of a process.
func (s *processes) habits(tgid uint32) (h causality.Habits) {
	s.with(tgid, func(d *described) { h = d.habits })
	return h
}

// since is since when every record of a process is here, 0 while it is not traced.
func (s *processes) since(tgid uint32) (at uint64) {
	s.with(tgid, func(d *described) { at = d.since })
	return at
}

// lineage is the execution context that serves, where that is not the thread: the one that read the request; for a
// call the one that wrote it if it serves a request itself, else the one that created it. The end of a request is one
// request less that its context serves.
func (p *described) lineage(x *exchange.Exchange) uint64 {
	if x.Context == 0 {
		return 0
	}
	if x.Server {
		if !x.Pending {
			if p.serving[x.Context]--; p.serving[x.Context] <= 0 {
				delete(p.serving, x.Context)
			}
		}
		return lineageID(p.Process, x.Context)
	}
	if p.serving[x.Context] > 0 || x.ParentContext == 0 {
		return lineageID(p.Process, x.Context)
	}
	return lineageID(p.Process, x.ParentContext)
}
