package main

import (
	"fmt"
	"slices"
)

// job is a cell to be measured.
type job struct {
	workload *workload
	setting  setting
	requests int
}

// product is every meaningful combination of the axes.
func product(ws []*workload, a axes, requests int) []job {
	var out []job
	for _, w := range ws {
		for _, c := range a.concurrency {
			for _, p := range a.pool {
				for _, warm := range a.warm {
					for _, n := range a.noise {
						if s := (setting{c, p, warm, n, false, false}); s.meaningful(w) {
							out = append(out, job{w, s, requests})
						}
					}
				}
			}
		}
	}
	return out
}

// axes are the values that a run goes through.
type axes struct {
	concurrency []int
	pool        []float64
	warm        []bool
	noise       []noise
}

// plan is a selection of cells: everything at all settings would take hours.
type plan struct {
	name, what string
	requests   int
	// settings: a cell is measured once, however many of them it is in.
	settings []axes
	// document says that the run makes docs/accuracy.md.
	document bool
}

var plans = []plan{
	{
		name: "check", what: "every workload once", requests: 200,
		settings: []axes{{[]int{16}, []float64{quarter}, []bool{false}, []noise{quiet}}},
	},
	{
		name: "real", what: "every workload at each concurrency; the other axes one by one at concurrency 16", requests: 600, document: true,
		settings: []axes{
			{[]int{1, 16, 64, 128}, []float64{quarter}, []bool{false}, []noise{quiet}},
			{[]int{16}, []float64{1, 2}, []bool{false}, []noise{quiet}},
			{[]int{16}, []float64{quarter}, []bool{true}, []noise{quiet}},
			{[]int{16}, []float64{quarter}, []bool{false}, []noise{hog, gc}},
		},
	},
}

// jobs are the cells of the plan, those of a workload together.
func (p plan) jobs(ws []*workload) []job {
	var out []job
	for _, w := range ws {
		if w.open != "" && !p.document {
			fmt.Printf("accuracy: not checked: %s: %s\n", w, w.open)
			continue
		}
		for _, a := range p.settings {
			for _, j := range product([]*workload{w}, a, p.requests) {
				if (j.setting.Noise != gc || w.pauses()) && !slices.Contains(out, j) {
					out = append(out, j)
				}
			}
		}
	}
	return out
}
