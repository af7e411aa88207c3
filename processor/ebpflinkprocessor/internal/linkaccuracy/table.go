package main

import (
	"fmt"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/datakit"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/deepflow"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/engine"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// baseline is a linker of others.
type baseline struct {
	name string
	link func(*forest.Forest) map[*forest.Span]*forest.Span
}

var baselines = []baseline{{"DataKit", datakit.Link}, {"DeepFlow", deepflow.Link}}

// table prints a row for each scenario and keeps the sums of the last line.
type table struct {
	verbose                        bool
	scenarios, wrong, below, fails int
	precision, recall              float64
	began                          time.Time
}

func (t *table) head() {
	t.began, t.precision, t.recall = time.Now(), 1, 1
	fmt.Println("parent edges found: P is precision, R recall, exact the recall of edges that an exact rule speaks of")
	fmt.Printf("%-21s %6s %6s |%7s%7s%7s %5s |", "scenario", "spans", "edges", "P", "R", "exact", "wrong")
	for _, b := range baselines {
		fmt.Printf(" %8s P      R |", b.name)
	}
	fmt.Println()
}

// run measures r.
func (t *table) run(r *row, seed uint64) error {
	f := forest.Grow(r.Scenario, seed)
	out, err := engine.Run(f, engine.Options{Seed: seed, Change: func(c *engine.Config) {
		if r.rules != nil {
			c.Rules = r.rules
		}
	}})
	if err != nil {
		return err
	}
	s := judge(f, parentsOf(f, out))
	fmt.Printf("%-21s %6d %6d |%7.4f%7.4f%7.4f %5d |", r.Name, len(f.Spans), s.edges, s.precision(), s.recall(), s.recallExact(), s.wrong)
	below := 0
	for _, b := range baselines {
		o := judge(f, b.link(f))
		fmt.Printf(" %10.4f%7.4f |", o.precision(), o.recall())
		if (o.precision() > s.precision() && !r.guesses) || (r.unequal == "" && o.recall() > s.recall()) {
			below++
		}
	}
	fmt.Printf(" %s\n", r.What)
	if r.unequal != "" {
		fmt.Printf("    recall not compared: %s\n", r.unequal)
	}
	faults := t.faults(r, f, out, &s)
	if g := guessed(f, out); r.guesses {
		fmt.Printf("    links by time alone: %d, right %.4f, confidence %.4f on average\n", g.links, g.precision(), g.confidence())
		if g.precision() < g.confidence() {
			faults = append(faults, "the rule timing is wrong more often than it says")
		}
	}
	if below > 0 {
		faults = append(faults, "a baseline is better")
	}
	for _, fault := range faults {
		fmt.Printf("    FAULT: %s\n", fault)
	}
	if t.verbose {
		describe("missed", s.firstMiss)
		describe("not found", s.unfound)
		describe("wrong", s.firstWrong)
		if w := s.firstWrong; w != nil {
			describe("its parent", w.Parent)
			describe("found by "+out[w].Rule, parentsOf(f, out)[w])
		}
	}
	t.scenarios++
	if !r.guesses {
		t.wrong += s.wrong
		t.precision = min(t.precision, s.precision())
	}
	t.below += below
	t.fails += len(faults)
	t.recall = min(t.recall, s.recallExact())
	return nil
}

// faults are what r promises and out does not keep.
func (t *table) faults(r *row, f *forest.Forest, out engine.Result, s *score) (faults []string) {
	_, came := f.Arrivals()
	lost, twice := 0, 0
	for sp := range came {
		switch n := out[sp].Times; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	split, mixed := traces(out)
	wrong := s.wrong
	if r.guesses {
		// A wrong parent of another tree makes one trace of both.
		wrong, mixed = wrong-guessed(f, out).wrong(), 0
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{wrong, "wrong links"},
		{s.exact - s.found, "links that an exact rule missed"},
		{lost, "spans lost"},
		{twice, "spans that came out twice"},
		{mixed, "traces of several requests"},
	} {
		if c.n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if r.whole && split > 0 {
		faults = append(faults, fmt.Sprintf("%d traces more than requests", split))
	}
	return faults
}

// last prints the last line and says whether all is well.
func (t *table) last() bool {
	fmt.Printf("seconds=%.0f faults=%d\n", time.Since(t.began).Seconds(), t.fails)
	fmt.Printf("accuracy-link: scenarios=%d precision_min=%.4f recall_min=%.4f wrong=%d below_baseline=%d\n",
		t.scenarios, t.precision, t.recall, t.wrong, t.below)
	return t.scenarios > 0 && t.fails == 0
}
