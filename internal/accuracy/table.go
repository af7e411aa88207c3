package main

import (
	"fmt"
	"io"
)

// table prints rows as cells end.
type table struct{ w io.Writer }

const columns = "| %-24s | %4v | %4v | %-6v | %-5v | %5v | %6v | %6v | %5v | %6v | %6v | %9v | %9v | %s |\n"

func (t table) head() {
	fmt.Fprintf(t.w, columns, "workload", "conc", "pool", "attach", "noise", "calls", "linked", "right", "wrong", "prec.", "recall",
		"false/bg", "whole", "outcomes")
	fmt.Fprintf(t.w, columns, "---", "--:", "--:", "---", "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "---")
}

func (t table) row(c *cell) {
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
	if c.traces.right != c.right || c.traces.wrong() != c.wrong() || c.traces.falseParents != c.falseParents {
		outcomes += fmt.Sprintf(" · in traces: %d right, %d wrong, %d false", c.traces.right, c.traces.wrong(), c.traces.falseParents)
	}
	if c.tallied > 0 {
		outcomes += fmt.Sprintf(" · calls counted of %d requests, wrong %d", c.tallied, c.miscounted)
	}
	if c.traces.late > 0 {
		outcomes += fmt.Sprintf(" · late links: %d, wrong %d", c.traces.late, c.traces.lateWrong)
	}
	fmt.Fprintf(t.w, columns, c.workload, c.setting.Concurrency, c.setting.Pool, c.setting.attach(), c.setting.Noise,
		c.calls, c.linked, c.right, c.wrongs(), percent(c.precision()), percent(c.recall()),
		fmt.Sprintf("%d/%d", c.strays(), c.background), fmt.Sprintf("%d/%d", c.traces.whole, c.requests), outcomes)
}

func percent(p float64) string {
	if p < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", 100*p)
}
