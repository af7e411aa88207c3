//go:build linux

package process

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Fork says of which selected process another one was forked that ran the same program until it ended, and when: in
// nanoseconds since boot (CLOCK_BOOTTIME). The zero value: of none, or it ran another program.
type Fork struct {
	From int
	At   uint64
}

// sinceBoot is CLOCK_BOOTTIME, of which stat(5) has the time when a process was made.
func sinceBoot() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano())
}

// maxPast bounds the processes that are remembered when they have ended.
const maxPast = 4096

// past are selected processes that have ended: the ends of those that they forked may be told later.
type past struct {
	by    map[int]*Process
	order []*Process
}

func (a *past) add(p *Process) {
	if a.by == nil {
		a.by = map[int]*Process{}
	}
	a.by[p.PID] = p
	if a.order = append(a.order, p); len(a.order) > maxPast {
		first := a.order[0]
		a.order[0], a.order = nil, a.order[1:]
		if a.by[first.PID] == first {
			delete(a.by, first.PID)
		}
	}
}

// inherit describes a process that ended before anybody read it as what it was forked from: the program, the environment
// and the open files were the same, and so was what the rules made of them. s.turn is held.
func (s *Scanner) inherit(pid int, made Fork) {
	if s.closed || s.o.Inherited == nil || made.From == 0 {
		return
	}
	if _, read := s.seen[pid]; read || s.Lookup(pid) != nil {
		return
	}
	// What was read after the fork may be of another program.
	from := s.Lookup(made.From)
	if from == nil || from.Start > made.At/uint64(tick) {
		from = s.past.by[made.From]
	}
	if from == nil || from.read == 0 || from.read > made.At {
		return
	}
	p := s.reader.forked(from, pid, made.At)
	switch s.rules.decide(p, portFacts{}) {
	case selected, needPorts:
		s.o.Inherited(p, from)
	}
}

// forked is a child of p, which nobody else has read.
func (r *Reader) forked(p *Process, pid int, at uint64) *Process {
	child := *p
	child.PID, child.PPID = pid, p.PID
	child.Start = at / uint64(tick)
	child.Started = r.boot.Add(time.Duration(min(child.Start, 1<<38)) * tick)
	child.attrs = slices.Clone(p.attrs)
	for i := range child.attrs {
		switch a := &child.attrs[i]; a.Key {
		case "process.pid":
			a.Int = int64(pid)
		case "service.instance.id":
			if a.Str == instanceID(&r.host, p.PID, p.Start) { // else it is declared
				a.Str = instanceID(&r.host, pid, child.Start)
			}
		}
	}
	return &child
}
