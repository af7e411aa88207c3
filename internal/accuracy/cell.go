package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// cell is the result of one workload at one concurrency.
type cell struct {
	workload    *workload
	concurrency int
	requests    int
	score
	outcomes, evidence, lost map[string]int
}

func runCell(ctx context.Context, programs *builder, w *workload, concurrency int, o options) (_ cell, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the cell took more than 2 minutes"))
	defer cancel()
	b, err := newBackend()
	if err != nil {
		return cell{}, err
	}
	defer b.close()
	pool := max(2, int(math.Round(o.pool*float64(concurrency))))
	p, err := programs.start(ctx, w, b.addr(), pool)
	if err != nil {
		return cell{}, err
	}
	running := true
	defer func() {
		if running {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := load(ctx, p.addr, 0, o.warm, concurrency); err != nil {
		return cell{}, fmt.Errorf("before tracing: %w", err)
	}
	t, err := startTracer(ctx, p)
	if err != nil {
		return cell{}, fmt.Errorf("start the receiver: %w", err)
	}
	// The first exchange of a connection that is older than the tracer is told apart from the rest of
	// one only after a silence, see quietAfter in the receiver.
	time.Sleep(600 * time.Millisecond)
	b.forget()
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, t.stop())
		}
	}()
	requests := o.requests
	if concurrency == 1 {
		requests /= 5
	}
	if err := load(ctx, p.addr, 1_000_000, requests, concurrency); err != nil {
		return cell{}, err
	}
	made := b.seen()
	running = false // no more background calls
	if err := p.stop(); err != nil {
		return cell{}, fmt.Errorf("stop the program: %w", err)
	}
	if err := t.settle(ctx); err != nil {
		return cell{}, err
	}
	c := cell{workload: w, concurrency: concurrency, requests: requests}
	for metric, to := range map[string]*map[string]int{
		"calls": &c.outcomes, "evidence": &c.evidence, "events_lost": &c.lost,
	} {
		if *to, err = t.counts(metric); err != nil {
			return cell{}, err
		}
	}
	stopped = true
	if err := t.stop(); err != nil {
		return cell{}, fmt.Errorf("stop the receiver: %w", err)
	}
	c.score = judge(t.result(), made, requests)
	return c, nil
}

// explain prints some of the calls that went wrong, with the link attributes of their spans.
func (c *cell) explain(w io.Writer, n int) {
	for _, list := range []struct {
		what  string
		calls []verdict
	}{{"wrong", c.wrongCalls}, {"unlinked", c.unlinked}, {"false parent", c.falseCalls}} {
		for _, v := range list.calls[:min(n, len(list.calls))] {
			fmt.Fprintf(w, "%s c=%d %s: %s\n", c.workload, c.concurrency, list.what, v)
		}
	}
	for _, path := range c.unseen[:min(n, len(c.unseen))] {
		fmt.Fprintf(w, "%s c=%d no span: %s\n", c.workload, c.concurrency, path)
	}
}

// counted writes the counts that are not zero, by name.
func counted(m map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != 0 {
			out = append(out, fmt.Sprintf("%s=%d", k, m[k]))
		}
	}
	return strings.Join(out, " ")
}
