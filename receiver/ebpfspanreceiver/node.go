//go:build linux

package ebpfspanreceiver

import (
	"errors"
	"io"
	"sync"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/noderuntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// nodePrograms knows which BPF program sits on which kind of site.
var nodePrograms = map[noderuntime.Kind]string{
	noderuntime.Callback: "node_callback", noderuntime.WrapCallback: "node_callback_wrap",
	noderuntime.Init: "node_init", noderuntime.Check: "node_check", noderuntime.Timers: "node_timers",
}

// node attaches the probes of Node.js executables, once for each file, for as long as a process that runs
// it is selected.
type node struct {
	tracer *probe.Tracer
	log    *zap.Logger
	counts *nodeCounts
	// missing is told what cannot be read or attached.
	missing *missing

	mu    sync.Mutex // guards files
	files attachments[*nodeFile]
}

// nodeFile is one executable. probes is nil when its loops cannot be read.
type nodeFile struct {
	layout noderuntime.Layout
	probes io.Closer
}

func newNode(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	n := &node{tracer: t, log: log, counts: &counts.node, missing: &counts.missing}
	n.files = newAttachments(n.detach)
	return n
}

// use attaches the probes of p's executable.
func (n *node) use(p *process.Process, target *target) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leave(p.PID)
	if p.Runtime != process.RuntimeNode {
		return
	}
	f := n.files.use(p.PID, p.ExeKey, func() *nodeFile { return n.inspect(p) })
	if f.probes == nil {
		n.missing.note(p.ServiceName, "the asynchronous ids of its Node.js")
		return
	}
	l := f.layout
	if err := n.tracer.Node(uint32(p.PID), probe.NodeTarget{
		AsyncIDs: l.AsyncIDs, Depth: l.Depth, WrapIDs: l.WrapIDs, Check: l.Check, Stack: l.Stack, Fields: l.Fields,
	}); err != nil {
		n.missing.note(p.ServiceName, "the asynchronous ids of its Node.js")
		n.log.Warn("The event loops of a Node.js process cannot be noted", zap.Int("pid", p.PID), zap.Error(err))
		return
	}
	target.Node = true
}

func (n *node) inspect(p *process.Process) *nodeFile {
	f := &nodeFile{}
	log := n.log.With(zap.String("executable", p.Exe), zap.Int("pid", p.PID))
	info, err := noderuntime.Inspect(p.ExeFile())
	if err != nil {
		n.counts.Unreadable.Add(1)
		log.Warn("The asynchronous ids of this Node.js cannot be read: calls are linked only where one event did everything",
			zap.Error(err))
		return f
	}
	f.layout = info.Layout
	if info.Entries != "" {
		log.Info("Every callback scope of this Node.js is probed, which costs it more", zap.String("reason", info.Entries))
	}
	var sites []probe.Site
	for _, s := range info.Sites {
		sites = append(sites, probe.Site{Program: nodePrograms[s.Kind], Offset: s.Offset})
		if s.Expensive {
			log.Info("A Node.js probe is on an instruction that the kernel single-steps", zap.Stringer("site", s.Kind))
		}
	}
	if f.probes, err = n.tracer.AttachSites(p.ExeFile(), sites); err != nil {
		f.probes = nil
		n.counts.Failed.Add(1)
		log.Warn("Node.js probes cannot be attached: calls are linked only where one event did everything", zap.Error(err))
		return f
	}
	n.counts.Attached.Add(1)
	return f
}

// drop says that a process is not selected any more.
func (n *node) drop(pid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leave(pid)
}

func (n *node) leave(pid int) {
	if !n.files.leave(pid) {
		return
	}
	if err := n.tracer.ForgetNode(uint32(pid)); err != nil {
		n.log.Warn("A Node.js process cannot be forgotten", zap.Int("pid", pid), zap.Error(err))
	}
}

func (n *node) detach(f *nodeFile) {
	if f.probes == nil {
		return
	}
	n.counts.Attached.Add(-1)
	if err := f.probes.Close(); err != nil {
		n.log.Warn("Detaching Node.js probes failed", zap.Error(err))
	}
}

// close detaches everything.
func (n *node) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for pid := range n.files.users {
		errs = append(errs, n.tracer.ForgetNode(uint32(pid)))
	}
	if err := errors.Join(errs...); err != nil {
		n.log.Warn("Node.js processes cannot be forgotten", zap.Error(err))
	}
	n.files.close()
}
