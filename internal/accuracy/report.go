package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what a run found.
type report struct {
	covers  covers
	began   time.Time
	took    time.Duration
	machine machine
	// later says what is of later runs: see join.
	later []string
	// skipped are workloads that this machine cannot run, with the reason.
	skipped []string
	// broken are cells that could not be measured.
	broken []error
	cells  []cell
	cost   []cost
	probes []probe
}

// covers is what of docs/accuracy.md a report can write.
type covers string

const (
	coversNone  covers = "nothing"
	coversCosts covers = "costs"
	coversAll   covers = "everything"
)

// machine is where a run was.
type machine struct {
	kernel string
	cpus   int
	golang string
}

func thisMachine() machine {
	kernel := "of unknown release"
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(text))
	}
	return machine{kernel, runtime.NumCPU(), runtime.Version()}
}

// publish writes the files that were asked for, and what it is good for of docs/accuracy.md.
func (r *report) publish(o options) error {
	// One file that cannot be written does not keep the others from it.
	var errs []error
	switch {
	case o.out == "":
	case r.covers == coversAll:
		errs = append(errs, writeFile(o.out, r.document))
	case r.covers == coversCosts:
		errs = append(errs, r.replaceCosts(o.out))
	case o.from != "":
		errs = append(errs, fmt.Errorf("%s is of some workloads or settings: nothing is written to %s", o.from, o.out))
	}
	if o.cells != "" {
		errs = append(errs, writeFile(o.cells, r.list))
	}
	if o.save != "" {
		errs = append(errs, r.save(o.save))
	}
	return errors.Join(errs...)
}

// failures are what could not be measured, and the cells that are not good enough.
func (r *report) failures() []error {
	errs := slices.Clone(r.broken)
	for i := range r.cells {
		if why := r.cells[i].failure(); why != "" {
			errs = append(errs, errors.New(why))
		}
	}
	return errs
}

// unclaimed are the workloads that reach what a goal asks and have none: nothing would say that they do no more.
func (r *report) unclaimed() []string {
	var out []string
	for _, g := range r.groups() {
		if low, _ := g.recalls(); g.workload.goal == 0 && low >= enough {
			out = append(out, g.workload.String())
		}
	}
	return out
}

// summary is the line of the cells. recall_exact is that of all cells together; whole_traces are requests whose
// finished trace has exactly the calls that were made for it.
func (r *report) summary() string {
	lowest := 1.0
	var right, calls, falseParents, whole, requests int
	for i := range r.cells {
		c := &r.cells[i]
		for _, p := range []float64{c.precision(), c.traces.precision()} {
			if p >= 0 {
				lowest = min(lowest, p)
			}
		}
		right, calls = right+c.traces.right, calls+c.calls
		falseParents += c.strays()
		whole, requests = whole+c.traces.whole, requests+c.requests
	}
	return fmt.Sprintf("accuracy: cells=%d precision_min=%.4f recall_exact=%.4f false_parents=%d whole_traces=%d/%d",
		len(r.cells), lowest, max(0, share(right, calls)), falseParents, whole, requests)
}

// costSummary is the line of the costs, "" where none were measured.
func (r *report) costSummary() string {
	if len(r.cost) == 0 {
		return ""
	}
	met := 0
	for i := range r.cost {
		if r.cost[i].met() {
			met++
		}
	}
	return fmt.Sprintf("costs: rows=%d met=%d", len(r.cost), met)
}

// lastLines are the figures of the whole, the summary last.
func (r *report) lastLines() []string {
	var lines []string
	if of := r.costSummary(); of != "" {
		lines = append(lines, of)
	}
	if len(r.cells) > 0 {
		lines = append(lines, r.summary())
	}
	return lines
}

// list writes every figure of every cell.
func (r *report) list(w io.Writer) {
	fmt.Fprint(w, "workload\tconcurrency\tpool\tattach\tnoise\trequests\tcalls\tcaptured\tlinked\tright\twrong\tbackground\tfalse_parents\t"+
		"trace_right\ttrace_wrong\twhole_traces\toutcomes\tevidence\tlost")
	for _, b := range baselines {
		fmt.Fprintf(w, "\t%s_linked\t%[1]s_right", b.name)
	}
	fmt.Fprintln(w)
	for i := range r.cells {
		c := &r.cells[i]
		fmt.Fprintf(w, "%s\t%d\t%g\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s", c.workload, c.setting.Concurrency,
			c.setting.Pool, c.setting.attach(), c.setting.Noise, c.requests, c.calls, c.captured, c.linked, c.right, c.wrongs(),
			c.background, c.strays(), c.traces.right, c.traces.wrong(), c.traces.whole, counted(c.outcomes), counted(c.evidence), counted(c.lost))
		for j := range c.baselines {
			fmt.Fprintf(w, "\t%d\t%d", c.baselines[j].linked, c.baselines[j].right)
		}
		fmt.Fprintln(w)
	}
}

func writeFile(name string, write func(io.Writer)) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f) // remembers what could not be written
	write(w)
	return errors.Join(w.Flush(), f.Close())
}
