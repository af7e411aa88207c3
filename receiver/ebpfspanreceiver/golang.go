//go:build linux

package ebpfspanreceiver

import (
	"errors"
	"io"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/goruntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// goPrograms knows which BPF program sits on which kind of site.
var goPrograms = map[goruntime.Kind]string{
	goruntime.ChanSend: "go_send", goruntime.ChanRecv: "go_recv", goruntime.NewGoroutine: "go_new",
	goruntime.BufferPut: "go_put", goruntime.BufferTake: "go_take",
	goruntime.WaitGroupAdd: "go_group",
}

// golang attaches the goroutine probes of Go executables, once for each file, for as long as a
// process that runs it is selected.
type golang struct {
	tracer *probe.Tracer
	log    *zap.Logger
	counts *goCounts
	// missing is told what cannot be read or attached.
	missing *missing

	mu    sync.Mutex // guards files
	files attachments[*goFile]
}

// goFile is one executable. target is nil when its goroutines cannot be read.
type goFile struct {
	target *probe.GoTarget
	probes io.Closer
	// missing is what it would take to link more.
	missing []string
}

func newGolang(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	g := &golang{tracer: t, log: log, counts: &counts.golang, missing: &counts.missing}
	g.files = newAttachments(g.detach)
	return g
}

// use attaches the probes of p's executable.
func (g *golang) use(p *process.Process, target *target) {
	if p.Runtime != process.RuntimeGo && !goruntime.IsGo(p.ExeFile()) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files.leave(p.PID)
	f := g.files.use(p.PID, p.ExeKey, func() *goFile { return g.inspect(p) })
	for _, part := range f.missing {
		g.missing.note(p.ServiceName, part)
	}
	if f.target == nil {
		target.NoContext = true
		return
	}
	target.Go = f.target
}

func (g *golang) inspect(p *process.Process) *goFile {
	f := &goFile{}
	log := g.log.With(zap.String("executable", p.Exe), zap.Int("pid", p.PID))
	info, err := goruntime.Inspect(p.ExeFile())
	if err == nil && !info.TLSKnown {
		err = errors.New(info.TLSReason)
	}
	if err != nil {
		g.counts.Unreadable.Add(1)
		f.missing = append(f.missing, "goroutines: "+err.Error())
		log.Warn("Goroutines of this executable cannot be read: its spans are made, its calls are not linked to its requests",
			zap.Error(err))
		return f
	}
	f.target = &probe.GoTarget{
		TLS: int32(info.TLSOffset), Goid: uint16(info.Goid), M: uint16(info.M), Curg: uint16(info.Curg),
	}
	if info.HasParentGoid {
		f.target.ParentGoid = uint16(info.ParentGoid)
	}
	f.target.NoCreation = true
	var sites []probe.Site
	for _, s := range info.Sites {
		program := goPrograms[s.Kind]
		if s.WaiterInClosure {
			program += "_inlined"
		}
		sites = append(sites, probe.Site{Program: program, Offset: s.Offset})
	}
	for _, s := range slices.Concat(info.Buffers.Sites, info.GroupSites) {
		sites = append(sites, probe.Site{Program: goPrograms[s.Kind], Offset: s.Offset})
	}
	if info.Buffers.Reason != "" {
		f.missing = append(f.missing, "the buffers of its channels: "+info.Buffers.Reason)
		log.Info("What waits in the buffers of channels is not seen: some calls of worker pools stay unlinked",
			zap.String("reason", info.Buffers.Reason))
	}
	if info.GroupReason != "" {
		f.missing = append(f.missing, "who waits in a sync.WaitGroup: "+info.GroupReason)
		log.Info("Who waits in a sync.WaitGroup is not seen: some calls of worker pools stay unlinked",
			zap.String("reason", info.GroupReason))
	}
	for _, m := range info.Missing {
		g.counts.Missing.Add(1)
		f.missing = append(f.missing, "probe site "+m.Kind.String()+": "+m.Reason)
		log.Warn("A Go probe site is missing: calls that goroutines hand over may stay unlinked",
			zap.Stringer("site", m.Kind), zap.String("reason", m.Reason))
	}
	if f.probes, err = g.tracer.AttachSites(p.ExeFile(), sites); err != nil {
		g.counts.Failed.Add(1)
		f.missing = append(f.missing, "goroutine probes: "+err.Error())
		log.Warn("Go probes cannot be attached: calls that goroutines hand over stay unlinked", zap.Error(err))
		return f
	}
	f.target.Buffers = len(info.Buffers.Sites) > 0
	f.target.ChanTimer = info.Buffers.Timer()
	for _, s := range info.Sites {
		if s.Kind == goruntime.NewGoroutine {
			f.target.NoCreation = false
		}
	}
	g.counts.Attached.Add(1)
	return f
}

// drop says that a process is not selected any more.
func (g *golang) drop(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files.leave(pid)
}

func (g *golang) detach(f *goFile) {
	if f.probes == nil {
		return
	}
	g.counts.Attached.Add(-1)
	if err := f.probes.Close(); err != nil {
		g.log.Warn("Detaching Go probes failed", zap.Error(err))
	}
}

// close detaches everything.
func (g *golang) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files.close()
}
