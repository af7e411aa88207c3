package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// readReports reads a run, and those that were joined to it.
func readReports(names []string) (*report, error) {
	r, err := readReport(names[0])
	if err != nil {
		return nil, err
	}
	for _, name := range names[1:] {
		later, err := readReport(name)
		if err != nil {
			return nil, err
		}
		r.join(later)
	}
	if r.whole() {
		r.covers = coversAll
	}
	return r, nil
}

// whole: every cell of a plan that makes the document was measured, though it be in several runs, and every cost.
func (r *report) whole() bool {
	skipped := func(w *workload) bool {
		return slices.ContainsFunc(r.skipped, func(s string) bool { return strings.HasPrefix(s, w.String()+":") })
	}
	for _, w := range workloads() {
		if skipped(w) || !w.expensive() {
			continue
		}
		for _, at := range costConcurrencies {
			if !slices.ContainsFunc(r.cost, func(c cost) bool { return c.workload == w && c.at == at }) {
				return false
			}
		}
	}
	for _, p := range plans {
		if !p.document {
			continue
		}
		for _, j := range p.jobs(workloads()) {
			if !skipped(j.workload) && !slices.ContainsFunc(r.cells, func(c cell) bool { return c.workload == j.workload && c.setting == j.setting }) {
				return false
			}
		}
	}
	return true
}

// join takes over what a later run has measured: again, where it is there already. One line of the document says
// so. The time that the whole took, and what could not be measured, is that of both.
func (r *report) join(later *report) {
	order := map[*workload]int{}
	for i, w := range workloads() {
		order[w] = i
	}
	sameCell := func(a, b cell) bool { return a.workload == b.workload && a.setting == b.setting }
	sameCost := func(a, b cost) bool { return a.workload == b.workload && a.at == b.at }
	r.cells = joined(r.cells, later.cells, sameCell, func(c cell) int { return order[c.workload] })
	r.cost = joined(r.cost, later.cost, sameCost, func(c cost) int { return order[c.workload] })
	if len(later.probes) > 0 {
		r.probes = later.probes
	}
	for _, s := range later.skipped {
		if !slices.Contains(r.skipped, s) {
			r.skipped = append(r.skipped, s)
		}
	}
	r.broken = append(r.broken, later.broken...)
	r.took += later.took
	r.later = append(r.later, fmt.Sprintf("%d cells and %d costs are of a run of %s, which took %s.",
		len(later.cells), len(later.cost), later.began.UTC().Format("2006-01-02 15:04"), later.took.Round(time.Second)))
}

// joined puts rows beside those of the same workload, and in the place of the same ones.
func joined[T any](rows, later []T, same func(a, b T) bool, order func(T) int) []T {
	rows = slices.DeleteFunc(slices.Clone(rows), func(old T) bool {
		return slices.ContainsFunc(later, func(row T) bool { return same(old, row) })
	})
	rows = append(rows, later...)
	slices.SortStableFunc(rows, func(a, b T) int { return cmp.Compare(order(a), order(b)) })
	return rows
}
