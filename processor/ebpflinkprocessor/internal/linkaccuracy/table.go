package main

import (
	"fmt"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
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
	// rules are the links of all rows.
	rules byRule
}

func (t *table) head() {
	t.began, t.precision, t.recall, t.rules = time.Now(), 1, 1, byRule{}
	fmt.Println("parent edges found: P is precision, R recall, exact the recall of edges that an exact rule speaks of")
	fmt.Printf("%-23s %6s %6s |%7s%7s%7s %5s |", "scenario", "spans", "edges", "P", "R", "exact", "wrong")
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
	ours := parentsOf(f, out)
	s := judge(f, ours)
	fmt.Printf("%-23s %6d %6d |%7.4f%7.4f%7.4f %5d |", r.Name, len(f.Spans), s.edges, s.precision(), s.recall(), s.recallExact(), s.wrong)
	// What is guessed only where somebody asks for guesses is compared as such: what is beside the guesses by
	// precision, all of it by both measures together.
	beside := s
	if r.guesses {
		beside = judge(f, ours.without(link.Timing, out))
	}
	below, others := 0, make([]score, len(baselines))
	for i, b := range baselines {
		o := judge(f, b.link(f))
		others[i] = o
		fmt.Printf(" %10.4f%7.4f |", o.precision(), o.recall())
		if o.precision() > beside.precision() || o.recallSure() > s.recallSure() || (r.guesses && o.f1() > s.f1()) {
			below++
		}
	}
	fmt.Printf(" %s\n", r.What)
	faults := t.faults(r, f, out, &s)
	by := ruled(f, out, &s)
	t.add(by)
	adopted := 0
	for c, o := range out {
		if o.Adopted && ours[c] == c.Parent {
			adopted++
		}
	}
	if adopted > 0 {
		fmt.Printf("    %d of the right links are span links of parents that came after their children had left (R without them %.4f)\n",
			adopted, share(s.right-adopted, s.edges))
	}
	if s.missed > 0 {
		fmt.Printf("    %d requests whose header was not captured: %d of their SDK's spans are under them\n", s.missed, s.joined)
	}
	if s.guess > 0 {
		fmt.Printf("    %d edges that times alone tell, R of the others %.4f", s.guess, s.recallSure())
		for i, b := range baselines {
			fmt.Printf(", %s %.4f", b.name, others[i].recallSure())
		}
		fmt.Println()
	}
	if r.guesses {
		g := by[link.Timing]
		fmt.Printf("    links by time alone: %d, right %.4f, confidence %.4f on average; P of the others %.4f; F1 of all %.4f",
			g.links, g.precision(), g.confidence(), beside.precision(), s.f1())
		for i, b := range baselines {
			fmt.Printf(", %s %.4f", b.name, others[i].f1())
		}
		fmt.Println()
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
	lost, twice, torn := 0, 0, 0
	for sp := range came {
		if out[sp].Adopters > 1 {
			torn++
		}
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
		wrong, mixed = wrong-ruled(f, out, s)[link.Timing].wrong, 0
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{wrong, "wrong links"},
		{s.exact - s.found, "links that an exact rule missed"},
		{lost, "spans lost"},
		{twice, "spans that came out twice"},
		{torn, "spans that several say to be the parent of"},
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

func (t *table) add(by byRule) {
	for rule, g := range by {
		sum := t.rules[rule]
		sum.links, sum.wrong, sum.sure = sum.links+g.links, sum.wrong+g.wrong, sum.sure+g.sure
		t.rules[rule] = sum
	}
}

// last prints the last line and says whether all is well.
func (t *table) last() bool {
	for _, rule := range link.AllRuleNames() {
		if g := t.rules[rule]; g.links > 0 {
			fmt.Printf("rule %-13s links=%-7d wrong=%-3d right=%.6f confidence=%.4f on average\n", rule, g.links, g.wrong, g.precision(), g.confidence())
		}
	}
	fmt.Printf("seconds=%.0f faults=%d\n", time.Since(t.began).Seconds(), t.fails)
	fmt.Printf("accuracy-link: scenarios=%d precision_min=%.4f recall_min=%.4f wrong=%d below_baseline=%d\n",
		t.scenarios, t.precision, t.recall, t.wrong, t.below)
	return t.scenarios > 0 && t.fails == 0
}
