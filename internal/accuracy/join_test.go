package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJoin(t *testing.T) {
	all := workloads()
	made := func(w *workload, concurrency, requests int) cell {
		return cell{
			workload: w, setting: setting{concurrency, quarter, false, quiet, false, false}, requests: requests,
			baselines: make([]score, len(baselines)),
		}
	}
	first := report{
		covers: coversAll, took: time.Hour, skipped: []string{"a", "b"},
		cells: []cell{made(all[0], 1, 10), made(all[0], 16, 11), made(all[5], 1, 12)},
		cost:  []cost{{workload: all[0], at: 8, requests: 13}},
	}
	second := report{
		covers: coversNone, took: time.Minute, began: time.Date(2026, 11, 22, 3, 4, 0, 0, time.UTC), skipped: []string{"b", "c"},
		cells: []cell{made(all[0], 16, 20), made(all[3], 1, 21)},
		cost:  []cost{{workload: all[0], at: 8, requests: 22}, {workload: all[0], at: 32, requests: 23}},
	}
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "1.json"), filepath.Join(dir, "2.json")}
	require.NoError(t, first.save(names[0]))
	require.NoError(t, second.save(names[1]))
	r, err := readReports(names)
	require.NoError(t, err)

	var cells, costs []int
	for _, c := range r.cells {
		cells = append(cells, c.requests)
	}
	for _, c := range r.cost {
		costs = append(costs, c.requests)
	}
	require.Equal(t, []int{10, 20, 21, 12}, cells)
	require.Equal(t, []int{22, 23}, costs)
	require.Equal(t, coversAll, r.covers)
	require.Equal(t, []string{"a", "b", "c"}, r.skipped)
	require.Equal(t, time.Hour+time.Minute, r.took)
	var text strings.Builder
	r.document(&text)
	require.Contains(t, text.String(), "\n2 cells and 2 costs are of a run of 2026-11-22 03:04, which took 1m0s.\n")

	_, err = readReports([]string{names[0], filepath.Join(dir, "3.json")})
	require.ErrorContains(t, err, "3.json")
}

// Runs that make up the whole together write the document, but for what no machine at hand can run.
func TestJoinedIsWhole(t *testing.T) {
	var real plan
	for _, p := range plans {
		if p.document {
			real = p
		}
	}
	var r report
	for _, j := range real.jobs(workloads()) {
		r.cells = append(r.cells, cell{workload: j.workload, setting: j.setting, baselines: make([]score, len(baselines))})
	}
	for _, w := range workloads() {
		for _, at := range costConcurrencies {
			if w.expensive() {
				r.cost = append(r.cost, cost{workload: w, at: at})
			}
		}
	}
	require.NotEmpty(t, r.cells)
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "1.json"), filepath.Join(dir, "2.json")}
	covered := func(parts ...report) covers {
		for i := range parts {
			parts[i].covers = coversNone
			require.NoError(t, parts[i].save(names[i]))
		}
		read, err := readReports(names[:len(parts)])
		require.NoError(t, err)
		return read.covers
	}
	last := len(r.cells) - 1
	begin, rest := report{cells: r.cells[:last], cost: r.cost[:1]}, report{cells: r.cells[last:], cost: r.cost[1:]}
	require.Equal(t, coversAll, covered(begin, rest))
	require.Equal(t, coversNone, covered(begin))
	require.Equal(t, coversNone, covered(begin, report{cells: rest.cells}), "a cost is not there")
	require.Equal(t, coversNone, covered(begin, report{cost: rest.cost}), "a cell is not there")
	begin.skipped = []string{r.cells[last].workload.String() + ": a package is missing"}
	require.Equal(t, coversAll, covered(begin, report{cost: rest.cost}))
}
