//go:build linux

package ebpfspanreceiver

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/rubyruntime"
)

// An interpreter that was just started is looked at again until it can be read: until then it serves nothing.
const (
	rubyRetry    = 50 * time.Millisecond
	rubyMaxRetry = time.Second
	rubyPatience = time.Minute
)

// rubyWaits is what is missing where the threads of an interpreter cannot be read.
const rubyWaits = "what the threads of its Ruby wait for"

// ruby tells the kernel side where a thread of Ruby says what it waits for. Without it a wake-up there is as likely that
// of the interpreter's lock as that of whoever waits for a call, and none is believed.
type ruby struct {
	log     *zap.Logger
	missing *missing
	// tell and forget are those of the tracer.
	tell    func(uint32, probe.RubyTarget) error
	forget  func(uint32) error
	inspect func(proc string) (rubyruntime.Layout, error)

	mu    sync.Mutex // guards stops, and what is done with the kernel side for one
	stops map[int]context.CancelFunc
	tries sync.WaitGroup
}

func newRuby(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	return &ruby{
		log: log, missing: &counts.missing, tell: t.Ruby, forget: t.ForgetRuby, inspect: rubyruntime.Inspect,
		stops: map[int]context.CancelFunc{},
	}
}

// use reads p's interpreter, now or as soon as it is ready.
func (r *ruby) use(p *process.Process, target *target) {
	r.drop(p.PID)
	if p.Runtime != process.RuntimeRuby {
		return
	}
	target.Ruby = true
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	r.stops[p.PID] = stop
	if !r.read(p, false) {
		r.tries.Go(func() { r.await(ctx, p) })
	}
}

// await reads an interpreter that starts once it can be read, unless it is not selected any more.
func (r *ruby) await(ctx context.Context, p *process.Process) {
	retry(ctx, rubyRetry, rubyMaxRetry, rubyPatience, func(late bool) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return ctx.Err() != nil || r.read(p, late)
	})
}

// read passes on what was found, and says whether there is nothing more to find. The caller holds mu.
func (r *ruby) read(p *process.Process, late bool) bool {
	l, err := r.inspect(filepath.Dir(p.ExeFile()))
	if errors.Is(err, rubyruntime.ErrNotReady) && !late {
		return false
	}
	if err == nil {
		err = r.tell(uint32(p.PID), probe.RubyTarget(l))
	}
	if err != nil {
		r.missing.note(p.ServiceName, rubyWaits)
		r.log.Warn("What the threads of this Ruby wait for is not known: who is woken by another thread is not taken for who made "+
			"its call", zap.String("executable", p.Exe), zap.Int("pid", p.PID), zap.Error(err))
	}
	return true
}

// drop says that a process is not selected any more.
func (r *ruby) drop(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stops[pid] != nil {
		r.leave(pid)
	}
}

func (r *ruby) leave(pid int) {
	r.stops[pid]()
	delete(r.stops, pid)
	if err := r.forget(uint32(pid)); err != nil {
		r.log.Warn("An interpreter of Ruby cannot be forgotten", zap.Int("pid", pid), zap.Error(err))
	}
}

// close ends every attempt.
func (r *ruby) close() {
	r.mu.Lock()
	for pid := range r.stops {
		r.leave(pid)
	}
	r.mu.Unlock()
	r.tries.Wait()
}
