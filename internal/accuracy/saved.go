package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// savedReport is a report as JSON. It has what was measured. What was written about it, goals and causes, is
// that of whoever reads it.
type savedReport struct {
	Covers  covers        `json:"covers"`
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took_ns"`
	Kernel  string        `json:"kernel"`
	CPUs    int           `json:"cpus"`
	Go      string        `json:"go"`
	Later   []string      `json:"later"`
	Skipped []string      `json:"skipped"`
	Broken  []string      `json:"broken"`
	Cells   []savedCell   `json:"cells"`
	Costs   []savedCost   `json:"costs"`
	Probes  []probe       `json:"probes"`
}

type savedCell struct {
	Workload  string             `json:"workload"`
	Setting   setting            `json:"setting"`
	Requests  int                `json:"requests"`
	Raw       figures            `json:"raw"`
	Traces    figures            `json:"traces"`
	Baselines map[string]figures `json:"baselines"` // by name
	Outcomes  map[string]int     `json:"outcomes"`
	Evidence  map[string]int     `json:"evidence"`
	Lost      map[string]int     `json:"lost"`
	Discarded map[string]int     `json:"discarded"`
}

type savedCost struct {
	Workload string        `json:"workload"`
	At       int           `json:"at"`
	Requests int           `json:"requests"`
	CPU      savedStates   `json:"cpu_ns"`
	P99      savedStates   `json:"p99_ns"`
	Added    spread        `json:"added"`
	Whole    spread        `json:"whole"`
	Programs time.Duration `json:"bpf_ns"`
}

type savedStates struct {
	Untraced time.Duration `json:"untraced"`
	Beside   time.Duration `json:"beside"`
	Traced   time.Duration `json:"traced"`
}

func saveStates(s [states]time.Duration) savedStates {
	return savedStates{s[untraced], s[beside], s[traced]}
}

func (s savedStates) states() [states]time.Duration {
	return [states]time.Duration{untraced: s.Untraced, beside: s.Beside, traced: s.Traced}
}

// figures are those of a score, by name. Its examples were printed.
type figures map[string]int

// fields are what figures hold.
func (s *score) fields() map[string]*int {
	return map[string]*int{
		"calls": &s.calls, "captured": &s.captured, "linked": &s.linked, "right": &s.right, "served": &s.served,
		"background": &s.background, "false_parents": &s.falseParents, "late": &s.late, "late_wrong": &s.lateWrong,
		"tallied": &s.tallied, "miscounted": &s.miscounted, "requests": &s.requests, "whole": &s.whole,
	}
}

func figuresOf(s *score) figures {
	out := figures{}
	for name, n := range s.fields() {
		out[name] = *n
	}
	return out
}

// score fails where the figures are not the ones that there are now: none counts as zero in silence.
func (f figures) score() (score, error) {
	var s score
	fields := s.fields()
	have, want := slices.Sorted(maps.Keys(f)), slices.Sorted(maps.Keys(fields))
	if !slices.Equal(have, want) {
		return s, fmt.Errorf("figures %q, where there should be %q", have, want)
	}
	for name, n := range fields {
		*n = f[name]
	}
	return s, nil
}

func (r *report) save(name string) error {
	s := savedReport{
		Covers: r.covers, Began: r.began, Took: r.took, Kernel: r.machine.kernel, CPUs: r.machine.cpus, Go: r.machine.golang,
		Later: r.later, Skipped: r.skipped, Probes: r.probes,
	}
	for _, err := range r.broken {
		s.Broken = append(s.Broken, err.Error())
	}
	for i := range r.cells {
		s.Cells = append(s.Cells, saveCell(&r.cells[i]))
	}
	for i := range r.cost {
		c := &r.cost[i]
		s.Costs = append(s.Costs, savedCost{
			c.workload.String(), c.at, c.requests, saveStates(c.cpu), saveStates(c.p99), c.added, c.whole, c.programs,
		})
	}
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

func saveCell(c *cell) savedCell {
	out := savedCell{
		Workload: c.workload.String(), Setting: c.setting, Requests: c.requests, Raw: figuresOf(&c.score), Traces: figuresOf(&c.traces),
		Baselines: map[string]figures{},
		Outcomes:  c.outcomes, Evidence: c.evidence, Lost: c.lost, Discarded: c.discarded,
	}
	for i := range c.baselines {
		out.Baselines[baselines[i].name] = figuresOf(&c.baselines[i])
	}
	return out
}

// readReport reads what save has written.
func readReport(name string) (*report, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var s savedReport
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r, err := s.report()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func (s *savedReport) report() (*report, error) {
	if !slices.Contains([]covers{coversNone, coversCosts, coversAll}, s.Covers) {
		return nil, fmt.Errorf("covers %q: was it written by -save?", s.Covers)
	}
	r := &report{
		covers: s.Covers, began: s.Began, took: s.Took, machine: machine{s.Kernel, s.CPUs, s.Go},
		later: s.Later, skipped: s.Skipped, probes: s.Probes,
	}
	for _, why := range s.Broken {
		r.broken = append(r.broken, errors.New(why))
	}
	named := map[string]*workload{}
	for _, w := range workloads() {
		named[w.String()] = w
	}
	for i := range s.Cells {
		c, err := s.Cells[i].cell(named)
		if err != nil {
			return nil, fmt.Errorf("cell %d, of %q: %w", i, s.Cells[i].Workload, err)
		}
		r.cells = append(r.cells, c)
	}
	for i := range s.Costs {
		c := &s.Costs[i]
		w := named[c.Workload]
		if w == nil {
			return nil, fmt.Errorf("cost %d: there is no workload %q any more", i, c.Workload)
		}
		r.cost = append(r.cost, cost{
			w, c.At, c.Requests, c.CPU.states(), c.P99.states(), c.Added, c.Whole, c.Programs,
		})
	}
	return r, nil
}

func (s *savedCell) cell(named map[string]*workload) (cell, error) {
	c := cell{
		workload: named[s.Workload], setting: s.Setting, requests: s.Requests,
		outcomes: s.Outcomes, evidence: s.Evidence, lost: s.Lost, discarded: s.Discarded,
	}
	if c.workload == nil {
		return c, errors.New("there is no such workload any more")
	}
	var err error
	if c.score, err = s.Raw.score(); err != nil {
		return c, fmt.Errorf("of the raw spans: %w", err)
	}
	if c.traces, err = s.Traces.score(); err != nil {
		return c, fmt.Errorf("of the traces: %w", err)
	}
	if len(s.Baselines) != len(baselines) {
		return c, fmt.Errorf("%d rules of others, where there are %d now", len(s.Baselines), len(baselines))
	}
	for _, b := range baselines {
		other, err := s.Baselines[b.name].score()
		if err != nil {
			return c, fmt.Errorf("of the rule %s: %w", b.name, err)
		}
		c.baselines = append(c.baselines, other)
	}
	return c, nil
}
