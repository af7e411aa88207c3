// Command accuracy measures whether calls are linked to the request that they were made for.
//
// Real programs serve requests on loopback and make calls to a backend, in one of the ways in which
// programs do (a workload), traced by the real receiver in this process, which selects exactly the
// program that was started; its spans go through ebpf_link. The truth is in the paths: GET /r/<id> makes
// calls GET /d/<id>/<op>, and /d/bg/<n> belongs to no request. The tracer never looks at it. Each cell is a
// workload in one setting, with a fresh process and a fresh receiver. What is compared with the truth is
// the request that the receiver names on the span of a call, and the parent that the call has in the end.
//
//	go run ./internal/accuracy -plan real
//	go run ./internal/accuracy -workloads go/handler,go/fanout -concurrency 16 -explain 5
//	go run ./internal/accuracy -workloads 'java/*' -concurrency 16,64 -attach warm,cold -noise hog
//	go run ./internal/accuracy -cost # writes its section of docs/accuracy.md
//	go run ./internal/accuracy -from build/accuracy-real.json # writes it again, from what `make accuracy-real` measured
//
// The rows go to standard output as they come, and a run of -plan real with all workloads also writes
// docs/accuracy.md. It fails when a cell has a wrong link, or less recall than its row promises.
//
// A change of a text or of a goal needs no new run: -save keeps what was measured, and -from goes on from there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == hogArgument {
		beHog()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.packages {
		return writePackages(os.Stdout, o.workloads)
	}
	if o.from != "" {
		r, err := readReports(strings.Split(o.from, ","))
		if err != nil {
			return err
		}
		return r.end(o)
	}
	if os.Geteuid() != 0 {
		return errors.New("the receiver needs root to load BPF programs: run this as root")
	}
	dir, err := os.MkdirTemp("", "accuracy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Servers give up root for their workers, which must be able to read what is here.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	programs := &builder{dir: dir, built: map[string]command{}}
	needed := lacking(o.workloads)
	r := &report{covers: coversNone, began: time.Now(), machine: thisMachine()}
	complete := len(o.workloads) == len(workloads())
	o.workloads = slices.DeleteFunc(o.workloads, func(w *workload) bool {
		missing := w.missing()
		if len(missing) > 0 {
			fmt.Printf("accuracy: skipped %s: missing here: %s\n", w, strings.Join(missing, " "))
		}
		for _, p := range missing {
			r.skipped = append(r.skipped, fmt.Sprintf("%s: %s is missing", w, p))
		}
		return len(missing) > 0
	})
	// What was measured before an interrupt, or before something went wrong, is written all the same, and says so.
	var stopped error
	if !o.cost {
		stopped = r.links(ctx, programs, o)
	}
	document := o.plan != nil && o.plan.document && !o.cost
	if stopped == nil && (o.cost || document) {
		stopped = r.costs(ctx, programs, o.workloads, o.costAt)
	}
	if stopped != nil {
		r.broken = append(r.broken, fmt.Errorf("the rest, after %d cells and %d costs: %w", len(r.cells), len(r.cost), stopped))
	}
	r.took = time.Since(r.began)
	switch {
	case !complete:
	case document:
		r.covers = coversAll
	case o.cost && stopped == nil:
		r.covers = coversCosts
	}
	err = r.end(o)
	if len(needed) > 0 {
		err = errors.Join(err, fmt.Errorf("workloads were skipped: ./internal/tools/apt-install %s", strings.Join(needed, " ")))
	}
	return err
}

// end writes what was found and returns what is wrong with it.
func (r *report) end(o options) error {
	err := r.publish(o)
	if r.covers == coversAll {
		for _, name := range r.unclaimed() {
			fmt.Printf("accuracy: %s has no goal, and recall of %g %% or more in all its cells\n", name, 100*enough)
		}
	}
	for _, line := range r.lastLines() {
		fmt.Println(line)
	}
	return errors.Join(append(r.failures(), err)...)
}

// ahead is how many programs are started before it is their turn, and how many cells' last spans are
// waited for: starting and ending is mostly waiting.
const ahead = 2

// links measures the cells, one after the other. A cell that cannot be measured does not keep the others
// from it.
func (r *report) links(ctx context.Context, programs *builder, o options) error {
	t := table{os.Stdout}
	t.head()
	type step struct {
		job   job
		trial *trial
		cell  cell
		err   error
	}
	broke := func(s step) {
		if ctx.Err() != nil {
			return // it was the interrupt
		}
		err := fmt.Errorf("%s, %s: %w", s.job.workload, s.job.setting, s.err)
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		r.broken = append(r.broken, err)
	}
	var settling []chan step
	collect := func(leave int) {
		for len(settling) > leave {
			s := <-settling[0]
			settling = settling[1:]
			if s.err != nil {
				broke(s)
				continue
			}
			r.cells = append(r.cells, s.cell)
			t.row(&s.cell)
			s.cell.explain(os.Stderr)
		}
	}
	defer collect(0)
	var prepared []chan step
	defer func() {
		for _, p := range prepared {
			if s := <-p; s.trial != nil {
				_ = s.trial.abandon()
			}
		}
	}()
	jobs := o.jobs()
	for begun := 0; ctx.Err() == nil; {
		for ; begun < len(jobs) && len(prepared) <= ahead; begun++ {
			j, p := jobs[begun], make(chan step, 1)
			prepared = append(prepared, p)
			go func() {
				trial, err := prepare(ctx, programs, j, o.explain)
				p <- step{job: j, trial: trial, err: err}
			}()
		}
		if len(prepared) == 0 {
			break
		}
		s := <-prepared[0]
		prepared = prepared[1:]
		if s.err == nil {
			s.err = s.trial.run(ctx)
		}
		if s.err != nil {
			broke(s)
			continue
		}
		done := make(chan step, 1)
		settling = append(settling, done)
		go func() {
			s.cell, s.err = s.trial.settle(ctx)
			done <- s
		}()
		collect(ahead)
	}
	return context.Cause(ctx)
}
