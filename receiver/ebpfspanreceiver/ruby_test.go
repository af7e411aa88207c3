package ebpfspanreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/rubyruntime"
)

// TestRuby: the kernel side is told of an interpreter when it can be read, and until then not to believe it.
func TestRuby(t *testing.T) {
	starting, other := fmt.Errorf("%w: yet", rubyruntime.ErrNotReady), errors.New("another")
	layout := rubyruntime.Layout{Slot: 16, Current: 8, Thread: 48, EC: 40, Unblock: 248, Locking: 264}
	for name, tc := range map[string]struct {
		runtime process.Runtime
		errs    []error // of the attempts, and then none
		told    bool
		missing bool
	}{
		"ready":       {runtime: process.RuntimeRuby, told: true},
		"starting":    {runtime: process.RuntimeRuby, errs: []error{starting, starting}, told: true},
		"unreadable":  {runtime: process.RuntimeRuby, errs: []error{other}, missing: true},
		"later so":    {runtime: process.RuntimeRuby, errs: []error{starting, other}, missing: true},
		"not of Ruby": {runtime: process.RuntimePython},
	} {
		t.Run(name, func(t *testing.T) {
			var c counts
			told, forgotten := make(chan probe.RubyTarget, 1), make(chan uint32, 1)
			r := &ruby{
				log: zap.NewNop(), missing: &c.missing, stops: map[int]context.CancelFunc{},
				tell:   func(_ uint32, t probe.RubyTarget) error { told <- t; return nil },
				forget: func(pid uint32) error { forgotten <- pid; return nil },
				inspect: func(string) (rubyruntime.Layout, error) {
					if len(tc.errs) == 0 {
						return layout, nil
					}
					err := tc.errs[0]
					tc.errs = tc.errs[1:]
					return rubyruntime.Layout{}, err
				},
			}
			var to target
			r.use(&process.Process{PID: 7, Runtime: tc.runtime, ServiceName: "cart"}, &to)
			require.Equal(t, tc.runtime == process.RuntimeRuby, to.Ruby)
			if tc.told {
				select {
				case got := <-told:
					require.Equal(t, probe.RubyTarget(layout), got)
				case <-time.After(10 * time.Second):
					t.Fatal("not told")
				}
			}
			if tc.missing {
				require.Eventually(t, func() bool { return len(c.missing.of("cart")) == 1 }, 10*time.Second, time.Millisecond)
			}
			r.close()
			require.Equal(t, tc.runtime == process.RuntimeRuby, len(forgotten) == 1)
			require.Empty(t, told)
			require.Equal(t, tc.missing, len(c.missing.of("cart")) == 1)
		})
	}
}

// TestRubyGone: an interpreter that is not selected any more is not told of.
func TestRubyGone(t *testing.T) {
	var c counts
	var ready atomic.Bool
	r := &ruby{
		log: zap.NewNop(), missing: &c.missing, stops: map[int]context.CancelFunc{},
		tell:   func(uint32, probe.RubyTarget) error { t.Error("told"); return nil },
		forget: func(uint32) error { return nil },
		inspect: func(string) (rubyruntime.Layout, error) {
			if ready.Load() {
				return rubyruntime.Layout{}, nil
			}
			return rubyruntime.Layout{}, rubyruntime.ErrNotReady
		},
	}
	r.use(&process.Process{PID: 7, Runtime: process.RuntimeRuby}, &target{})
	r.drop(7)
	ready.Store(true)
	time.Sleep(2 * rubyRetry)
	r.close()
	require.Empty(t, r.stops)
}
