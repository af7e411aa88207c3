//go:build linux

package ebpfspanreceiver

import (
	"errors"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/haproxyruntime"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/mapped"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// haproxy tells the kernel side where HAProxy notes which stream it works for.
type haproxy struct {
	tracer *probe.Tracer
	log    *zap.Logger
	// missing is told what cannot be read.
	missing *missing

	mu   sync.Mutex // guards pids
	pids map[int]struct{}
}

func newHAProxy(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	return &haproxy{tracer: t, log: log, missing: &counts.missing, pids: map[int]struct{}{}}
}

// use notes p, if it is HAProxy and can be read. Without it is an event loop like any other, with few links.
func (h *haproxy) use(p *process.Process, target *target) {
	h.drop(p.PID)
	if filepath.Base(p.Exe) != "haproxy" {
		return
	}
	l, err := haproxyruntime.Inspect(p.ExeFile())
	if errors.Is(err, haproxyruntime.ErrOther) {
		return
	}
	base := uint64(0)
	if err == nil && l.Relocated {
		base, err = mapped.Executable(filepath.Dir(p.ExeFile()))
	}
	if err == nil {
		err = h.tracer.HAProxy(uint32(p.PID), probe.HAProxyTarget{
			TLS: l.TLS, ProcessStream: base + l.ProcessStream, Current: l.Current,
		})
	}
	if err != nil {
		h.missing.note(p.ServiceName, "the streams of its HAProxy")
		h.log.Warn("The streams of this HAProxy cannot be read: most of its calls are not linked to its requests",
			zap.String("executable", p.Exe), zap.Int("pid", p.PID), zap.Error(err))
		return
	}
	target.HAProxy = true
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pids[p.PID] = struct{}{}
}

// drop says that a process is not selected any more.
func (h *haproxy) drop(pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.pids[pid]; ok {
		delete(h.pids, pid)
		h.forget(pid)
	}
}

func (h *haproxy) forget(pid int) {
	if err := h.tracer.ForgetHAProxy(uint32(pid)); err != nil {
		h.log.Warn("An HAProxy cannot be forgotten", zap.Error(err))
	}
}

// close forgets every process.
func (h *haproxy) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid := range h.pids {
		h.forget(pid)
	}
	clear(h.pids)
}
