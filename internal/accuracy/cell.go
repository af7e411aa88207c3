package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// cell is the result of one workload in one setting.
type cell struct {
	workload *workload
	setting  setting
	requests int
	score          // of the raw spans
	traces   score // of what ebpf_link made of them
	// baselines have the score that a rule of others reaches on the same spans.
	baselines                []score
	outcomes, evidence, lost map[string]int
	// discarded is what the receiver has given up, by metric and reason: why calls have no span.
	discarded map[string]int
}

// wrongs are the links that should not be, wherever they were made.
func (c *cell) wrongs() int { return max(c.wrong(), c.traces.wrong()) }

// strays are the background calls in a trace of a request.
func (c *cell) strays() int { return max(c.falseParents, c.traces.falseParents) }

// failure says why the cell is not good enough, "" when it is.
func (c *cell) failure() string {
	var why []string
	if n := c.wrongs(); n > 0 {
		why = append(why, fmt.Sprintf("%d wrong links", n))
	}
	if n := c.strays(); n > 0 {
		why = append(why, fmt.Sprintf("%d background calls with a parent", n))
	}
	if n := c.traces.lateWrong; n > 0 {
		why = append(why, fmt.Sprintf("%d late calls linked to a request that they do not come from", n))
	}
	if n := c.miscounted; n > 0 {
		why = append(why, fmt.Sprintf("%d requests of which the number of calls is not so", n))
	}
	if r := min(c.recall(), c.traces.recall()); r < c.workload.goal-deviations*deviation(c.workload.goal, c.calls) {
		why = append(why, fmt.Sprintf("recall %.4f is below %.4f", r, c.workload.goal))
	}
	if len(why) == 0 {
		return ""
	}
	return fmt.Sprintf("%s, %s: %s", c.workload, c.setting, strings.Join(why, ", "))
}

// deviations from its goal that a cell of few calls may have by chance.
const deviations = 3

// deviation is the standard deviation of the share that is found in n calls, where the true one is p.
func deviation(p float64, n int) float64 { return math.Sqrt(p * (1 - p) / float64(max(1, n))) }

const (
	// warmRequests are served before a warm attach.
	warmRequests = 100
	// firstID leaves room for them.
	firstID = 1_000_000
	// quietFor is more than the receiver's quietAfter: the first exchange of a connection that is older
	// than the tracer is told apart from the rest of one only after a silence.
	quietFor = 600 * time.Millisecond
)

// trial is a cell on its way: prepare, run, settle. Only run needs the machine for itself.
type trial struct {
	cell    cell
	backend backend
	program *program
	loader  *loader
	tracer  *tracer
	made    map[string]int // the truth
	// explained is how many examples are kept of each kind of call that went wrong.
	explained int
}

// startWithin is for a program that is compiled first, with tokio, while other cells run.
const startWithin = 3 * time.Minute

// prepare starts a workload's program and traces it.
func prepare(ctx context.Context, programs *builder, j job, explained int) (_ *trial, err error) {
	w, s := j.workload, j.setting
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("it took more than %s to build and start", startWithin))
	defer cancel()
	t := &trial{cell: cell{workload: w, setting: s, requests: j.requests}, explained: explained}
	if s.Concurrency == 1 {
		t.cell.requests /= 5
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.abandon())
		}
	}()
	if t.backend, err = startBackend(ctx, w); err != nil {
		return nil, fmt.Errorf("start the backend: %w", err)
	}
	if t.program, err = programs.start(ctx, w, t.backend.addr(), s); err != nil {
		return nil, err
	}
	t.loader = newLoader(t.program.addr, s.Concurrency)
	if s.Warm {
		if _, err := t.loader.send(ctx, 0, warmRequests); err != nil {
			return nil, fmt.Errorf("before tracing: %w", err)
		}
	}
	if t.tracer, err = startTracer(ctx, t.program, tracing{s.hold(), s.Guess, explained > 0}); err != nil {
		return nil, fmt.Errorf("start the receiver: %w", err)
	}
	time.Sleep(quietFor)
	return t, nil
}

// abandon ends what a trial has started.
func (t *trial) abandon() error {
	err := t.end()
	if t.tracer != nil {
		err = errors.Join(err, t.tracer.stop())
		t.tracer = nil
	}
	return err
}

// end stops everything but the tracer.
func (t *trial) end() error {
	var err error
	if t.loader != nil {
		t.loader.close()
		t.loader = nil
	}
	if t.program != nil {
		if err = t.program.stop(); err != nil {
			err = fmt.Errorf("stop the program: %w", err)
		}
		t.program = nil
	}
	if t.backend != nil {
		t.backend.close()
		t.backend = nil
	}
	return err
}

// run sends the requests and ends the program. The result is not there yet: settle waits for it.
func (t *trial) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the requests took more than 2 minutes"))
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, t.abandon())
		}
	}()
	if t.cell.setting.Noise == hog {
		stop, err := startHog(ctx)
		if err != nil {
			return fmt.Errorf("start the hog: %w", err)
		}
		defer stop()
	}
	t.backend.forget()
	if _, err := t.loader.send(ctx, firstID, t.cell.requests); err != nil {
		return err
	}
	t.made = t.backend.seen()
	return t.end() // no more background calls
}

// settle waits for the last spans and judges them.
func (t *trial) settle(ctx context.Context) (_ cell, err error) {
	c, from := t.cell, t.tracer
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, from.stop())
		}
	}()
	if err := from.settle(ctx); err != nil {
		return cell{}, err
	}
	for metric, to := range map[string]*map[string]int{
		"calls": &c.outcomes, "evidence": &c.evidence, "events_lost": &c.lost,
	} {
		if *to, err = from.counts(metric); err != nil {
			return cell{}, err
		}
	}
	c.discarded = map[string]int{}
	for _, metric := range discards {
		reasons, err := from.counts(metric)
		if err != nil {
			return cell{}, err
		}
		for reason, n := range reasons {
			c.discarded[metric+"."+reason] = n
		}
	}
	stopped = true
	if err := from.stop(); err != nil {
		return cell{}, fmt.Errorf("stop the receiver: %w", err)
	}
	if len(from.raw) != len(from.finished) {
		return cell{}, fmt.Errorf("ebpf_link was given %d spans and let %d go on", len(from.raw), len(from.finished))
	}
	c.score = judge(from.raw, t.made, c.requests, t.explained)
	c.traces = judge(from.finished, t.made, c.requests, t.explained)
	for _, of := range baselines {
		c.baselines = append(c.baselines, judge(of.apply(from.raw, c.workload.calls), t.made, c.requests, 0))
	}
	return c, nil
}

// discards are the receiver's metrics of what does not become a span.
var discards = []string{
	"bytes_skipped", "connections_ignored", "exchanges_dropped", "records_irregular", "spans_dropped",
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
