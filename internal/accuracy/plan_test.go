package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A plan has each cell once, none that differs from another in name only, and every column of the table.
func TestPlans(t *testing.T) {
	pooled := &workload{name: "pooled", pooled: true, language: &language{name: "x", pressure: []string{"A=b"}}}
	plain := &workload{name: "plain", language: &language{name: "x"}}
	for _, p := range plans {
		jobs := p.jobs([]*workload{pooled, plain})
		for i, j := range jobs {
			if slices.Contains(jobs[:i], j) {
				t.Errorf("%s: %s, %s twice", p.name, j.workload, j.setting)
			}
			if j.workload == plain && (j.setting.Pool != quarter || j.setting.Noise == gc) {
				t.Errorf("%s: %s has no %s", p.name, j.workload, j.setting)
			}
		}
		if !p.document {
			continue
		}
		for _, v := range views {
			if !slices.ContainsFunc(jobs, func(j job) bool { return j.workload == pooled && j.setting == v.setting }) {
				t.Errorf("%s: no cell for the column %s", p.name, v.head)
			}
		}
		if !slices.ContainsFunc(jobs, func(j job) bool { return j.setting == compared }) {
			t.Errorf("%s: no cell to compare the rules of others", p.name)
		}
	}
}

// Every language whose runtime stops the program to collect garbage can be told to do so all the time, and its pools and
// loops are measured meanwhile; what that adds to the longest plan is minutes.
func TestPressure(t *testing.T) {
	// Perl counts references. So does PHP, and whatever a process of it executes is of one request.
	without := []string{"c", "cpp", "haproxy", "nginx", "perl", "php", "rust"}
	all, named := workloads(), 0
	for _, l := range languages {
		collects := !slices.Contains(without, l.name)
		if collects != (len(l.pressure) > 0) {
			t.Errorf("%s: its runtime collects garbage: %v, and its pressure is %q", l.name, collects, l.pressure)
		}
		for _, name := range l.pauses {
			if !slices.ContainsFunc(l.workloads, func(w workload) bool { return w.name == name }) {
				t.Errorf("%s has no workload %s", l.name, name)
			}
		}
		n := 0
		for _, j := range plans[1].jobs(all) {
			if j.workload.language == l && j.setting.Noise == gc {
				n++
				if !j.workload.pauses() {
					t.Errorf("%s is not one of its language's pauses", j.workload)
				}
				if j.setting.Concurrency != 16 {
					t.Errorf("%s, %s", j.workload, j.setting)
				}
			}
		}
		if collects && n == 0 || len(l.pauses) > 0 && n != len(l.pauses) {
			t.Errorf("%s: %d cells while garbage is collected, named are %d", l.name, n, len(l.pauses))
		}
		named += len(l.pauses)
	}
	if named > 100 { // 3 to 5 s each
		t.Errorf("%d cells while garbage is collected", named)
	}
}

func TestProduct(t *testing.T) {
	w := &workload{pooled: true, language: &language{pressure: []string{"A=b"}}}
	a := axes{[]int{1, 2}, []float64{quarter, 1}, []bool{false, true}, []noise{quiet, hog, gc}}
	if n := len(product([]*workload{w, w}, a, 5)); n != 2*2*2*2*3 {
		t.Errorf("%d cells", n)
	}
	if n := (setting{Concurrency: 1, Pool: quarter}).poolSize(); n != 2 {
		t.Errorf("a pool of %d", n)
	}
	if n := (setting{Concurrency: 128, Pool: 2}).poolSize(); n != 256 {
		t.Errorf("a pool of %d", n)
	}
}

// The table, the causes, the comparison and the last line say what the cells hold.
func TestDocument(t *testing.T) {
	w := &workload{name: "shape", what: "it serves", cause: "it cannot be seen", language: &language{name: "lang"}}
	mk := func(s setting, right, wrong, stray int) cell {
		sc := score{calls: 100, captured: 80 + right/5, linked: right + wrong, right: right, background: 50, falseParents: stray, requests: 100, whole: right}
		return cell{
			workload: w, setting: s, requests: 100, score: sc, traces: sc, baselines: make([]score, len(baselines)),
			outcomes: map[string]int{"untrusted": 100 - right},
		}
	}
	r := report{cells: []cell{mk(views[0].setting, 100, 0, 0), mk(compared, 40, 10, 1)}, cost: []cost{
		{workload: w, at: 8, added: spread{Median: 0.05}},
		{workload: w, at: 32, added: spread{Median: 0.0501}},
		{workload: &workload{name: "handler", language: &language{name: "go"}}, at: 8, added: spread{Median: 0.0999}},
	}}
	var b strings.Builder
	r.document(&b)
	for _, want := range []string{
		"| lang/shape | it serves | 80.00 | 100.00 | | 40.00 | | | | | | | 20.21 | 1/100 | 140/200 |",
		"| lang/shape | 40.00 to 100.00 | it cannot be seen | untrusted=60 |",
		"| lang/shape | 80.00 / 40.00 | - / - |",
		"here 1.", "DeepTrace",
		"    costs: rows=3 met=2\n    accuracy: cells=2 precision_min=0.8000 recall_exact=0.7000 false_parents=1 whole_traces=140/200\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, b.String())
		}
	}
	for _, want := range []string{
		`lang/shape +\| +8 .* \+5\.0 \| +5 \| yes \|`, `lang/shape +\| +32 .* \+5\.0 \| +5 \| +no \|`, `go/handler .* \+10\.0 \| +10 \| yes \|`,
	} {
		if !regexp.MustCompile(want).MatchString(b.String()) {
			t.Errorf("it lacks %s:\n%s", want, b.String())
		}
	}
	if lines := r.lastLines(); len(lines) != 2 || lines[1] != r.summary() {
		t.Errorf("last lines: %q", lines)
	}
	reached := &workload{name: "reached", language: w.language}
	claims := report{cells: []cell{r.cells[0], r.cells[0], r.cells[0], r.cells[1]}}
	claims.cells[0].workload = &workload{name: "claimed", goal: 0.9, language: w.language}
	claims.cells[1].workload, claims.cells[2].workload, claims.cells[3].workload = reached, reached, w
	if got := claims.unclaimed(); !slices.Equal(got, []string{"lang/reached"}) {
		t.Errorf("without a goal are %q", got)
	}
	if why := r.cells[0].failure(); why != "" {
		t.Errorf("the first cell fails: %s", why)
	}
	if why := r.cells[1].failure(); !strings.Contains(why, "10 wrong links, 1 background calls with a parent") {
		t.Errorf("the second cell: %q", why)
	}
	r.cells[0].workload = &workload{name: "shape", goal: 0.99, language: w.language}
	r.cells[0].traces.right, r.cells[0].traces.linked = 98, 98 // of 100, which may be chance
	if why := r.cells[0].failure(); why != "" {
		t.Errorf("the first cell fails: %s", why)
	}
	r.cells[0].traces.right, r.cells[0].traces.linked = 95, 95
	if why := r.cells[0].failure(); !strings.Contains(why, "recall 0.9500 is below 0.9900") {
		t.Errorf("the first cell: %q", why)
	}
}

// A workload of which less is asked than of the others says why, for docs/accuracy.md.
func TestGoals(t *testing.T) {
	for _, w := range workloads() {
		if w.goal < enough && w.cause == "" {
			t.Errorf("%s: recall may fall to %g, and there is no cause", w, w.goal)
		}
	}
}

// Each language has a workload whose cost is measured, and so have the probes that the first row of a language does not run.
func TestExpensive(t *testing.T) {
	n := map[*language]int{}
	for _, w := range workloads() {
		if w.expensive() {
			n[w.language]++
		}
	}
	for _, l := range languages {
		if n[l] == 0 {
			t.Errorf("none of %s", l.name)
		}
	}
	for _, name := range []string{"python/asyncio", "rust/tokio-multi-handler"} {
		if w, err := selectWorkloads(name); err != nil || !w[0].expensive() {
			t.Errorf("%s: its probes are not measured (%v)", name, err)
		}
	}
}
