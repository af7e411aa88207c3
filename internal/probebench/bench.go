package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

type variant string

const (
	plain variant = "A" // no tracing
	empty variant = "B" // empty programs on the same hooks
	full  variant = "C" // the receiver
)

type bench struct {
	opts   options
	work   string
	self   string
	tracer string
}

// sample is one run.
type sample struct {
	loadResult
	serverCPU time.Duration
	tracerCPU time.Duration
	others    float64        // share of the machine that other processes used
	programs  []programStats // only with stats
	report    message        // of B nothing
}

// server measures one server: rounds for the throughput, then one run of B and C each with the
// kernel's program statistics on, which cost time themselves and so stay out of the ratios.
func (b *bench) server(ctx context.Context, name string) (f figures, err error) {
	t, err := startTarget(ctx, name, b.work)
	if err != nil {
		return f, err
	}
	defer t.stop()
	f = figures{server: name, runs: map[variant][]sample{}, stats: map[variant]sample{}}
	if _, err := load(ctx, b.opts, time.Second, t.url); err != nil { // warm-up
		return f, err
	}
	order := []variant{plain}
	if b.opts.empty {
		order = append(order, empty)
	}
	if b.opts.full {
		order = append(order, full)
	}
	for round := range b.opts.rounds {
		for i := range order {
			// Each round begins with another variant, so none always follows the same one.
			v := order[(round+i)%len(order)]
			s, err := b.measure(ctx, t, v, false)
			if err != nil {
				return f, fmt.Errorf("round %d of %s: %w", round+1, v, err)
			}
			f.runs[v] = append(f.runs[v], s)
			fmt.Fprintf(os.Stderr, "probe: %s round %d/%d %s: %.0f requests/s\n", name, round+1, b.opts.rounds, v, s.perSecond)
		}
	}
	for _, v := range order[1:] {
		if f.stats[v], err = b.measure(ctx, t, v, true); err != nil {
			return f, fmt.Errorf("statistics of %s: %w", v, err)
		}
	}
	return f, nil
}

func (b *bench) measure(ctx context.Context, t *target, v variant, stats bool) (s sample, err error) {
	var c *child
	switch v {
	case empty:
		c, err = startChild(ctx, b.self, emptyArg)
	case full:
		var pids []byte
		if pids, err = json.Marshal(t.pids); err == nil {
			c, err = startChild(ctx, b.tracer, string(pids))
		}
	}
	if err != nil {
		return s, err
	}
	var ids []ebpf.ProgramID
	var before []programStats
	if c != nil {
		defer func() { err = errors.Join(err, c.stop()) }()
		if stats {
			on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
			if err != nil {
				return s, fmt.Errorf("enable BPF statistics: %w", err)
			}
			defer on.Close()
			if ids, err = programsOf(c.cmd.Process.Pid); err != nil {
				return s, err
			}
			if before, err = readStats(ids); err != nil {
				return s, err
			}
		}
	}
	cpu := func() (server, tracer time.Duration, err error) {
		if server, err = cpuTime(t.pids...); err == nil && c != nil {
			tracer, err = cpuTime(c.cmd.Process.Pid)
		}
		return server, tracer, err
	}
	server, tracer, err := cpu()
	if err != nil {
		return s, err
	}
	all, busy, err := machineTime()
	if err != nil {
		return s, err
	}
	if s.loadResult, err = load(ctx, b.opts, b.opts.time, t.url); err != nil {
		return s, err
	}
	// The load is the tracer's main work: what it does after that is not in this share.
	serverNow, tracerNow, err := cpu()
	if err != nil {
		return s, err
	}
	allEnd, busyEnd, err := machineTime()
	if err != nil {
		return s, err
	}
	if allEnd > all {
		ours := serverNow - server + tracerNow - tracer + s.cpu
		s.others = max(0, float64(busyEnd-busy-ours)/float64(allEnd-all))
	}
	if v == full {
		// What was captured last still has to pass through the receiver.
		if s.report, err = drained(ctx, c); err != nil {
			return s, err
		}
	}
	if v == empty {
		if s.report, err = c.ask(); err != nil {
			return s, err
		}
	}
	serverEnd, tracerEnd, err := cpu()
	if err != nil {
		return s, err
	}
	s.serverCPU, s.tracerCPU = serverEnd-server, tracerEnd-tracer
	if ids != nil {
		after, err := readStats(ids)
		if err != nil {
			return s, err
		}
		s.programs = since(before, after)
	}
	return s, nil
}

// drained waits until the number of spans no longer grows.
func drained(ctx context.Context, c *child) (message, error) {
	const step, quiet, most = 100 * time.Millisecond, 10, 100
	var last message
	same := 0
	for range most {
		m, err := c.ask()
		if err != nil {
			return m, err
		}
		if total(m.Spans) == total(last.Spans) {
			if same++; same == quiet {
				return m, nil
			}
		} else {
			same = 0
		}
		last = m
		select {
		case <-ctx.Done():
			return m, context.Cause(ctx)
		case <-time.After(step):
		}
	}
	return last, fmt.Errorf("spans still arrive %v after the load has ended", step*most)
}

func total(m map[string]uint64) uint64 {
	var n uint64
	for _, v := range m {
		n += v
	}
	return n
}
