//go:build linux

package ebpfspanreceiver

import (
	"errors"
	"io"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/mapped"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/tokioruntime"
)

// tokioPrograms knows which BPF program sits on which kind of site.
var tokioPrograms = map[tokioruntime.Kind]string{
	tokioruntime.Poll: "tokio_poll", tokioruntime.Made: "tokio_made", tokioruntime.Gone: "tokio_gone",
	tokioruntime.Wake: "tokio_wake",
}

// tokioCodes knows what the kernel side calls functions that have no sites.
var tokioCodes = map[tokioruntime.Kind]probe.TokioCode{
	tokioruntime.Lock: probe.TokioLock, tokioruntime.Pass: probe.TokioPass, tokioruntime.Time: probe.TokioTime,
}

// tokio attaches the probes of executables that tokio is linked into, once for each file, for as long as a process
// that runs it is selected.
type tokio struct {
	tracer *probe.Tracer
	log    *zap.Logger
	// missing is told what cannot be read or attached.
	missing *missing

	mu    sync.Mutex // guards files
	files attachments[*tokioFile]
}

// tokioFile is one executable. probes is nil where it has no tasks, or they cannot be told apart: missing.
type tokioFile struct {
	layout  tokioruntime.Layout
	probes  io.Closer
	missing bool
}

func newTokio(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	o := &tokio{tracer: t, log: log, missing: &counts.missing}
	o.files = newAttachments(o.detach)
	return o
}

// use attaches the probes of p's executable, if that is native code with tokio.
func (o *tokio) use(p *process.Process, target *target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files.leave(p.PID)
	if p.Runtime != process.RuntimeUnknown {
		return
	}
	f := o.files.use(p.PID, p.ExeKey, func() *tokioFile { return o.inspect(p) })
	target.tell(func(h *causality.Habits) { h.Queues = f.probes != nil || f.missing })
	target.Tokio = f.probes != nil
	if f.missing {
		o.missing.note(p.ServiceName, "the tasks of its tokio")
	}
	if f.probes != nil {
		o.noteWakes(p, &f.layout)
	}
}

// noteWakes tells the kernel side which functions of p wake tasks for a lock, without which no wake-up is believed.
func (o *tokio) noteWakes(p *process.Process, l *tokioruntime.Layout) {
	base, err := mapped.Executable(filepath.Dir(p.ExeFile()))
	if err == nil {
		base -= l.Base
		t := probe.TokioTarget{Text: base + l.TextStart, Size: l.TextSize}
		for _, w := range l.Wakes {
			t.Wakes = append(t.Wakes, probe.TokioWakes{Code: tokioCodes[w.Kind], Start: base + w.Start, Size: uint32(w.Size)})
		}
		err = o.tracer.Tokio(uint32(p.PID), t)
	}
	if err != nil {
		o.missing.note(p.ServiceName, "what the tasks of its tokio wait for")
		o.log.Warn("What wakes the tasks of this tokio is not known: a task that is woken by another is not believed to have waited "+
			"for its call", zap.String("executable", p.Exe), zap.Int("pid", p.PID), zap.Error(err))
	}
}

func (o *tokio) inspect(p *process.Process) *tokioFile {
	log := o.log.With(zap.String("executable", p.Exe), zap.Int("pid", p.PID))
	found, err := tokioruntime.Inspect(p.ExeFile())
	if errors.Is(err, tokioruntime.ErrOther) {
		return &tokioFile{}
	}
	if err != nil {
		log.Warn("The tasks of this tokio are not told apart: calls are linked only where a loop shows what they are for",
			zap.Error(err))
		return &tokioFile{missing: true}
	}
	var sites []probe.Site
	for _, s := range found.Sites {
		sites = append(sites, probe.Site{Program: tokioPrograms[s.Kind], Offset: s.Offset, Return: s.Return})
	}
	probes, err := o.tracer.AttachSites(p.ExeFile(), sites)
	if err != nil {
		log.Warn("Tokio probes cannot be attached: calls are linked only where a loop shows what they are for", zap.Error(err))
		return &tokioFile{missing: true}
	}
	log.Debug("Tokio probes are attached", zap.Int("sites", len(sites)))
	return &tokioFile{layout: found, probes: probes}
}

// drop says that a process is not selected any more.
func (o *tokio) drop(pid int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files.leave(pid)
	if err := o.tracer.ForgetTokio(uint32(pid)); err != nil {
		o.log.Warn("A tokio cannot be forgotten", zap.Error(err))
	}
}

func (o *tokio) detach(f *tokioFile) {
	if f.probes == nil {
		return
	}
	if err := f.probes.Close(); err != nil {
		o.log.Warn("Detaching tokio probes failed", zap.Error(err))
	}
}

// close detaches everything.
func (o *tokio) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files.close()
}
