//go:build linux

package ebpfspanreceiver

import (
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// inheritFor is how long a forked child is traced at least before the rules have been applied to it.
const inheritFor = time.Second

// selected is called by the scanner when a process is to be traced.
func (r *ebpfReceiver) selected(p *process.Process) {
	r.processes.add(p)
	r.counts.missing.hooks(p.ServiceName, r.tracer.Status())
	r.listening(p)
	r.loops(p)
	tgid := uint32(p.PID)
	target := target{learn: func(set func(*causality.Habits)) { r.processes.learn(tgid, set) }}
	for _, of := range r.runtimes {
		of.use(p, &target)
	}
	if err := r.tracer.Select(tgid, target.Target); err != nil {
		r.log.Error("A process cannot be traced", zap.Int("pid", p.PID), zap.Error(err))
		return
	}
	r.processes.traced(tgid, r.writer.clock.Now())
	r.log.Info("Tracing process", zap.Int("pid", p.PID), zap.String("service.name", p.ServiceName),
		zap.String("executable", p.Exe))
}

// listening tells the kernel side which ports are server ports where p lives, so that connections
// which are already open get their role.
func (r *ebpfReceiver) listening(p *process.Process) {
	if p.NetNS == 0 {
		return
	}
	ports, err := r.scanner.Reader().Listening(p.PID)
	if err != nil {
		r.log.Debug("Listening ports cannot be read", zap.Int("pid", p.PID), zap.Error(err))
		return
	}
	for _, port := range ports {
		if err := r.tracer.Listening(uint32(p.NetNS), port.Addr.Port()); err != nil {
			r.log.Warn("A listening port cannot be noted", zap.Error(err))
			return
		}
	}
}

// loops tells the kernel side which threads of p are event loops that wait already.
func (r *ebpfReceiver) loops(p *process.Process) {
	threads, err := r.scanner.Reader().EventLoops(p.PID)
	if err != nil {
		r.log.Debug("Threads cannot be listed", zap.Int("pid", p.PID), zap.Error(err))
	}
	for _, tid := range threads {
		if err := r.tracer.EventLoop(uint32(p.PID), uint32(tid)); err != nil {
			r.log.Warn("An event loop cannot be noted", zap.Error(err))
		}
	}
}

// deselected is called by the scanner when a process has ended, or is not to be traced any more.
func (r *ebpfReceiver) deselected(pid int, why process.Why) {
	if err := r.tracer.Deselect(uint32(pid)); err != nil {
		r.log.Warn("A process cannot be deselected", zap.Int("pid", pid), zap.Error(err))
	}
	for _, of := range r.runtimes {
		of.drop(pid)
	}
	r.processes.ended(uint32(pid), time.Now())
	r.log.Debug("No longer tracing process", zap.Int("pid", pid), zap.Stringer("why", why))
}

// inherited is called by the scanner for a process that has ended before it could be selected: its spans are there.
func (r *ebpfReceiver) inherited(p, from *process.Process) {
	r.processes.inherit(p, uint32(from.PID), time.Now())
	r.log.Debug("A process ended before it was read: described as the one that it was forked from",
		zap.Int("pid", p.PID), zap.Int("from", from.PID), zap.String("service.name", p.ServiceName))
}

func (r *ebpfReceiver) readProcesses() {
	defer r.readers.Done()
	why := map[uint8]process.Why{
		event.Exec: process.WhyExec, event.Fork: process.WhyFork, event.Listen: process.WhyListen,
	}
	var e event.Event
	forked := map[uint32]time.Time{}
	err := r.tracer.ReadProcesses(func(raw []byte) {
		if err := event.Decode(raw, &e); err != nil || e.Kind != event.KindProcess {
			r.counts.undecodable.Add(1)
			return
		}
		if w, ok := why[e.Process.What]; ok {
			r.watch.Notify(int(e.Process.Tgid), w)
		}
		if e.Process.What == event.Exit {
			r.watch.Exit(int(e.Process.Tgid), process.Fork{From: int(e.Process.Ppid), At: e.Process.Ts})
		}
		if e.Process.What == event.Fork {
			forked[e.Process.Tgid] = time.Now()
		}
	}, func() { r.disown(forked) })
	if err != nil {
		r.log.Error("Reading process events ended", zap.Error(err))
	}
}

// disown ends what the kernel side does for the children of selected processes by itself: it traces
// them from their first moment, whether or not the rules mean them. Those that were looked at meanwhile
// and were not selected are dropped.
func (r *ebpfReceiver) disown(forked map[uint32]time.Time) {
	for pid, at := range forked {
		if time.Since(at) < inheritFor || r.watch.Waiting(int(pid)) {
			continue
		}
		delete(forked, pid)
		if r.scanner.Lookup(int(pid)) != nil {
			continue
		}
		if err := r.tracer.Deselect(pid); err != nil {
			r.log.Warn("A forked process cannot be deselected", zap.Uint32("pid", pid), zap.Error(err))
		}
	}
}

// rescanLost has /proc read soon where records of processes were lost, instead of when it is due.
func (r *ebpfReceiver) rescanLost() {
	losses, err := r.losses()
	if err != nil {
		return // said where they are read for the solver
	}
	for _, l := range losses {
		if l.Reason == probe.ProcessesFull && l.Count != r.unseen {
			r.unseen = l.Count
			r.watch.RescanSoon()
		}
	}
}
