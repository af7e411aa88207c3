package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// view is a column of the table of workloads: the recall of one cell.
type view struct {
	head    string
	setting setting
}

var views = []view{
	{"1", setting{1, quarter, false, quiet, false, false}},
	{"16", setting{16, quarter, false, quiet, false, false}},
	{"64", setting{64, quarter, false, quiet, false, false}},
	{"128", setting{128, quarter, false, quiet, false, false}},
	{"warm", setting{16, quarter, true, quiet, false, false}},
	{"hog", setting{16, quarter, false, hog, false, false}},
	{"gc", setting{16, quarter, false, gc, false, false}},
	{"pool ×1", setting{16, 1, false, quiet, false, false}},
	{"pool ×2", setting{16, 2, false, quiet, false, false}},
}

// enough is the recall from which on nothing has to be explained.
const enough = 0.99

// group is the cells of one workload.
type group struct {
	workload *workload
	cells    []*cell
}

func (r *report) groups() []group {
	var out []group
	for i := range r.cells {
		c := &r.cells[i]
		if len(out) == 0 || out[len(out)-1].workload != c.workload {
			out = append(out, group{workload: c.workload})
		}
		last := &out[len(out)-1]
		last.cells = append(last.cells, c)
	}
	return out
}

func (g group) at(s setting) *cell {
	for _, c := range g.cells {
		if c.setting == s {
			return c
		}
	}
	return nil
}

// precision is the lowest of its cells, -1 when nothing was linked.
func (g group) precision() float64 {
	lowest := -1.0
	for _, c := range g.cells {
		for _, p := range []float64{c.precision(), c.traces.precision()} {
			if p >= 0 && (lowest < 0 || p < lowest) {
				lowest = p
			}
		}
	}
	return lowest
}

// recalls are the lowest and the highest of its cells.
func (g group) recalls() (low, high float64) {
	low = 2
	for _, c := range g.cells {
		low, high = min(low, c.traces.recall()), max(high, c.traces.recall())
	}
	return low, high
}

// document writes docs/accuracy.md.
func (r *report) document(w io.Writer) {
	fmt.Fprintf(w, `# Accuracy of links inside a process

Written by %s on %s: Linux %s, %d CPUs, %s, %s in all.

Real programs serve requests on loopback and make calls to a backend that answers after 1 to 10 ms (Redis
at once). The receiver traces exactly the program; its spans go through the %s processor. Each call is
compared with the request that it was made for, which is known from ids in the paths that the tracer does
not look at. All the while the programs make calls that belong to no request. Each cell is a fresh program
and a fresh receiver.

`, "`make accuracy-real`", r.began.UTC().Format("2006-01-02"), r.machine.kernel, r.machine.cpus, r.machine.golang,
		r.took.Round(time.Second), "`ebpf_link`")
	for _, part := range r.later {
		fmt.Fprintf(w, "%s\n\n", part)
	}
	r.documentWorkloads(w)
	r.documentCauses(w)
	r.documentBaselines(w)
	r.documentCosts(w)
	documentRivals(w)
	fmt.Fprintln(w)
	for _, line := range r.lastLines() {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

func (r *report) documentWorkloads(w io.Writer) {
	fmt.Fprint(w, `## Workloads

precision: right of linked, the lowest of the row's cells, in percent, by the request that the receiver
names as by the parent in the finished trace. Then recall, right parents of all calls that the backend
saw, in percent: at 1, 16, 64 and 128 requests at once with pools of a quarter of that, attached before
the first request; then, at 16, attached to a program that has served requests already (warm), with every
processor kept busy by others (hog), while the runtime collects garbage all the time (gc; in Java, Node.js
and Python where a pause comes between a call and what says whose it is), with pools as large as the
concurrency and twice as large. abstained: calls of requests that were seen, that is, have a span, and got
no parent, of those seen in all the row's cells, in percent: what is not linked rather than linked wrong.
false/bg: background calls that were given a parent, of those seen. whole: requests whose finished trace
holds exactly their calls.

| workload | what it does | precision |`)
	for _, v := range views {
		fmt.Fprintf(w, " %s |", v.head)
	}
	fmt.Fprint(w, " abstained | false/bg | whole |\n| --- | --- | --: |", strings.Repeat(" --: |", len(views)), " --: | --: | --: |\n")
	for _, g := range r.groups() {
		fmt.Fprintf(w, "| %s | %s | %s |", g.workload, g.workload.what, percent(g.precision()))
		for _, v := range views {
			if c := g.at(v.setting); c != nil {
				fmt.Fprintf(w, " %s |", percent(c.traces.recall()))
			} else {
				fmt.Fprint(w, " |")
			}
		}
		var seen, abstained, strays, background, whole, requests int
		for _, c := range g.cells {
			seen, abstained = seen+c.traces.captured, abstained+c.traces.abstained()
			strays, background = strays+c.strays(), background+c.background
			whole, requests = whole+c.traces.whole, requests+c.requests
		}
		fmt.Fprintf(w, " %s | %d/%d | %d/%d |\n", percent(share(abstained, seen)), strays, background, whole, requests)
	}
	for _, s := range r.skipped {
		fmt.Fprintf(w, "\nNot run: %s.\n", s)
	}
	for _, err := range r.broken {
		fmt.Fprintf(w, "\nNot measured: %s.\n", err)
	}
}

func (r *report) documentCauses(w io.Writer) {
	fmt.Fprintf(w, `
## Where links are missing

Every workload with a cell below %g %% recall: why, and what became of its calls, background calls included,
in all its cells. A call that nothing certain is known of gets no parent.

| workload | recall | why, and what could help | outcomes |
| --- | --: | --- | --- |
`, 100*enough)
	for _, g := range r.groups() {
		low, high := g.recalls()
		if low >= enough {
			continue
		}
		outcomes := map[string]int{}
		for _, c := range g.cells {
			for k, n := range c.outcomes {
				outcomes[k] += n
			}
		}
		cause := g.workload.cause
		if cause == "" {
			cause = "not known"
		}
		if g.workload.open != "" {
			cause += "; open: " + g.workload.open
		}
		fmt.Fprintf(w, "| %s | %s to %s | %s | %s |\n", g.workload, percent(low), percent(high), cause, counted(outcomes))
	}
}

// compared is where the rules of others are shown: what they are for is what goes on at once.
var compared = setting{64, quarter, false, quiet, false, false}

func (r *report) documentBaselines(w io.Writer) {
	fmt.Fprintf(w, `
## The rules of others on the same spans

At %d requests at once: precision / recall in percent. The rules get the spans that our receiver captured
and nothing but what spans say, so the comparison is of rules, not of products.

`, compared.Concurrency)
	for _, b := range baselines {
		fmt.Fprintf(w, "- %s: %s.\n", b.name, b.what)
	}
	fmt.Fprint(w, "\n| workload | here |")
	for _, b := range baselines {
		fmt.Fprintf(w, " %s |", b.name)
	}
	fmt.Fprint(w, "\n| --- | --: |", strings.Repeat(" --: |", len(baselines)), "\n")
	both := func(s *score) string { return percent(s.precision()) + " / " + percent(s.recall()) }
	var strays []int
	background := 0
	for _, g := range r.groups() {
		c := g.at(compared)
		if c == nil {
			continue
		}
		fmt.Fprintf(w, "| %s | %s |", g.workload, both(&c.traces))
		strays = append(strays, make([]int, len(c.baselines)-len(strays))...)
		for i := range c.baselines {
			fmt.Fprintf(w, " %s |", both(&c.baselines[i]))
			strays[i] += c.baselines[i].falseParents
		}
		background += c.background
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\nBackground calls that were given a parent, of %d:", background)
	for i, n := range strays {
		fmt.Fprintf(w, " %s %d,", baselines[i].name, n)
	}
	ours := 0
	for _, g := range r.groups() {
		if c := g.at(compared); c != nil {
			ours += c.strays()
		}
	}
	fmt.Fprintf(w, " here %d.\n", ours)
}

const costsTitle = `
## What it costs the programs
`

// replaceCosts puts what was measured last into a document in the place of what it has.
func (r *report) replaceCosts(name string) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, after, found := strings.Cut(string(old), costsTitle)
	if !found {
		return fmt.Errorf("%s has no section %q: write it with -plan real", name, strings.TrimSpace(costsTitle))
	}
	const section = "\n## "
	_, after, _ = strings.Cut(after, section)
	var b strings.Builder
	b.WriteString(before)
	r.documentCosts(&b)
	if after != "" {
		b.WriteString(section + after)
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

func (r *report) documentCosts(w io.Writer) {
	if len(r.cost) == 0 {
		return
	}
	fmt.Fprintf(w, costsTitle+`
Two instances of the program, each with its own backend, are under the same load at the same time, in rounds of three in
changing order, %d times: without the receiver; while it traces the one; and while it traces the other. "CPU" is what an
instance takes for each request without a receiver (user and system, of its processes' clocks), "beside" while the other is
traced, "traced" while it is. "Added" is what the traced one takes more than the other one at that time: the work that a
program does itself for being traced, which the goal is for; how the instances differ by themselves cancels, as does what
disturbs both. "Whole" is what it takes more than without a receiver on the machine: here the receiver, the load and both
backends share the two halves of one core with the program, and whatever runs there slows it down, be it traced or not.
The second instance runs from a copy of the executable, and of the libraries of CPython, where the receiver puts probes into
those: a probe stops every process that runs the file. Medians, and the lowest and highest of the triples. These programs do little but make calls, so the shares are the highest
that a program sees. "At once" is the concurrency of each instance: at the lower one the processors wait for work most of
the time, so that whatever runs finds cold caches, the program and its tracing alike. "BPF" is how long BPF programs ran for
each request, for both instances and everything else on the machine (counted by the kernel in a round of its own, which adds
some 20 ns to each run). p99: how long the slowest in a hundred took, beside and traced.

"Met" says whether the median of "added" is within the goal. A row that misses it does not fail the command, as a wrong link
does. A wrong link is one wherever it is measured. These shares are of programs that do next to nothing else, beside whatever
the machine does, and the triples of a row often differ by more than the whole goal: a limit that holds here in every run would
be too wide to notice what a change costs, and the goal itself would fail every run. What a change costs is measured with old
and new in turn ([performance.md](performance.md)).

`, costRounds)
	costHead(w)
	for i := range r.cost {
		fmt.Fprint(w, r.cost[i].row())
	}
	fmt.Fprint(w, `
Each run of a BPF program, counted by the kernel. All system calls of the machine run syscall_begins and
syscall_ends, which go on to the programs of their numbers, most processes being not traced; a uprobe costs its trap
besides.

| program | runs | mean ns |
| --- | --: | --: |
`)
	for _, p := range r.probes {
		if p.Hits >= 100 {
			fmt.Fprintf(w, "| %s | %d | %.0f |\n", p.Name, p.Hits, p.mean())
		}
	}
}
