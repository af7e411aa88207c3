package main

import (
	"fmt"
	"io"
	"time"
)

// report is what a run found.
type report struct {
	began time.Time
	// skipped are workloads that this machine cannot run, with the reason.
	skipped []string
	// broken are cells that could not be measured.
	broken []error
	cells  []cell
	cost   []cost
	probes []probe
}

// summary is the last line. recall_exact is that of all cells together; whole_traces are requests whose
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
		fmt.Fprintf(w, "%s\t%d\t%g\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s", c.workload, c.setting.concurrency,
			c.setting.pool, c.setting.attach(), c.setting.noise, c.requests, c.calls, c.captured, c.linked, c.right, c.wrongs(),
			c.background, c.strays(), c.traces.right, c.traces.wrong(), c.traces.whole, counted(c.outcomes), counted(c.evidence), counted(c.lost))
		for j := range c.baselines {
			fmt.Fprintf(w, "\t%d\t%d", c.baselines[j].linked, c.baselines[j].right)
		}
		fmt.Fprintln(w)
	}
}
