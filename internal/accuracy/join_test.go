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
