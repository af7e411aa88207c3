package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// table prints rows as cells end.
type table struct{ w io.Writer }

func newTable(w io.Writer) table { return table{w} }

const columns = "| %-21s | %4v | %6v | %6v | %6v | %5v | %9v | %8v | %9v | %11v | %s |\n"

func (t table) head() {
	fmt.Fprintf(t.w, columns, "workload", "conc", "calls", "linked", "right", "wrong", "precision", "recall",
		"false/bg", "whole", "outcomes")
	fmt.Fprintf(t.w, columns, "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "---")
}

func (t table) row(c cell) {
	outcomes := counted(c.outcomes)
	if c.captured != c.calls {
		outcomes += fmt.Sprintf(" · %d calls without a span", c.calls-c.captured)
	}
	if c.served != c.requests {
		outcomes += fmt.Sprintf(" · %d requests without a span", c.requests-c.served)
	}
	if lost := counted(c.lost); lost != "" {
		outcomes += " · lost: " + lost
	}
	fmt.Fprintf(t.w, columns, c.workload, c.concurrency, c.calls, c.linked, c.right, c.wrong(),
		percent(c.precision()), percent(c.recall()), fmt.Sprintf("%d/%d", c.falseParents, c.background),
		fmt.Sprintf("%d/%d", c.whole, c.requests), outcomes)
}

func percent(p float64) string {
	if p < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", 100*p)
}

// summarize is the last line. recall_exact is that of all cells together.
func summarize(cells []cell) string {
	lowest := 1.0
	var right, calls, falseParents, whole, requests int
	for i := range cells {
		c := &cells[i]
		if p := c.precision(); p >= 0 {
			lowest = min(lowest, p)
		}
		right, calls = right+c.right, calls+c.calls
		falseParents += c.falseParents
		whole, requests = whole+c.whole, requests+c.requests
	}
	return fmt.Sprintf("accuracy: cells=%d precision_min=%.4f recall_exact=%.4f false_parents=%d whole_traces=%d/%d",
		len(cells), lowest, max(0, share(right, calls)), falseParents, whole, requests)
}

func document(w io.Writer, cells []cell, summary string, took time.Duration) {
	fmt.Fprintf(w, `# Accuracy of links inside a process

Written by `+"`go run ./internal/accuracy`"+` (%s, %d CPUs, %s). Real programs, traced by the receiver;
each call is compared with the request that it was made for, which is known from ids in the paths that
the tracer does not look at. Pools have a quarter of the concurrency, the backend answers after 1 to
10 ms, and all the while the program makes calls that belong to no request.

precision: right of linked, in percent. recall: right of all calls that the backend saw. false/bg:
background calls that were given a parent, of those seen. whole: requests of which every call was
linked right and to which nothing else was linked. Outcomes are the receiver's, background included.

`, runtime.Version(), runtime.NumCPU(), took.Round(time.Second))
	t := newTable(w)
	t.head()
	for _, c := range cells {
		t.row(c)
	}
	fmt.Fprintf(w, "\n| workload | what it does |\n| --- | --- |\n")
	for _, wl := range workloads() {
		fmt.Fprintf(w, "| %s | %s |\n", wl, wl.what)
	}
	fmt.Fprintf(w, "\n    %s\n", summary)
}
