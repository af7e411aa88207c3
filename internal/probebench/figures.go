package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// figures is what was measured of one server.
type figures struct {
	server string
	runs   map[variant][]sample
	stats  map[variant]sample
}

// spread is the least, the middle and the greatest of some values.
type spread struct{ min, median, max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return spread{v[0], mid, v[len(v)-1]}
}

func (f figures) spread(v variant, value func(round int, s sample) float64) spread {
	var all []float64
	for i, s := range f.runs[v] {
		all = append(all, value(i, s))
	}
	return spreadOf(all)
}

// ratio compares v's throughput with that of no tracing in the same round.
func (f figures) ratio(v variant) spread {
	return f.spread(v, func(round int, s sample) float64 { return s.perSecond / f.runs[plain][round].perSecond })
}

var described = map[variant]string{plain: "no tracing", empty: "empty programs", full: "full capture"}

func (f figures) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %d rounds, each value min/median/max\n", f.server, len(f.runs[plain]))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\trequests/s\tratio to A\tp99 ms\tserver CPU us/request\tratio to A\ttracer CPU us/request")
	for _, v := range []variant{plain, empty, full} {
		if len(f.runs[v]) == 0 {
			continue
		}
		micros := func(d func(sample) float64) spread {
			return f.spread(v, func(_ int, s sample) float64 { return d(s) * 1e6 / float64(s.requests) })
		}
		server := micros(func(s sample) float64 { return s.serverCPU.Seconds() })
		cpu := f.spread(v, func(round int, s sample) float64 { return s.cpuPerRequest() / f.runs[plain][round].cpuPerRequest() })
		tracer := micros(func(s sample) float64 { return s.tracerCPU.Seconds() })
		rate := f.spread(v, func(_ int, s sample) float64 { return s.perSecond })
		p99 := f.spread(v, func(_ int, s sample) float64 { return s.p99.Seconds() * 1e3 })
		r := f.ratio(v)
		fmt.Fprintf(t, "%s %s\t%.0f/%.0f/%.0f\t%.3f/%.3f/%.3f\t%.2f/%.2f/%.2f\t%.2f/%.2f/%.2f\t%.3f/%.3f/%.3f\t%.2f/%.2f/%.2f\n",
			v, described[v], rate.min, rate.median, rate.max, r.min, r.median, r.max,
			p99.min, p99.median, p99.max, server.min, server.median, server.max,
			cpu.min, cpu.median, cpu.max, tracer.min, tracer.median, tracer.max)
	}
	_ = t.Flush()
	if o := f.others(); o.max > quietShare {
		fmt.Fprintf(w, "other processes used %.0f/%.0f/%.0f%% of the machine meanwhile: ratios of a busy machine mean little, run it again alone\n",
			100*o.min, 100*o.median, 100*o.max)
	}
	for _, v := range []variant{empty, full} {
		if s, ok := f.stats[v]; ok {
			printPrograms(w, fmt.Sprintf("%s %s (%s)", v, described[v], f.server), s)
		}
	}
	if b, c := f.stats[empty], f.stats[full]; b.programs != nil && c.programs != nil {
		if only := without(b.programs, c.programs); len(only) > 0 {
			fmt.Fprintf(w, "hooks of B that the receiver did not attach: %s\n", strings.Join(only, " "))
		}
		if only := without(c.programs, b.programs); len(only) > 0 {
			fmt.Fprintf(w, "hooks of the receiver that B lacks: %s\n", strings.Join(only, " "))
		}
	}
	if runs := f.captured(); len(runs) > 0 {
		requests, spans := f.coverage()
		fmt.Fprintf(w, "spans: %d of %d requests (%.2f%%)\n", spans, requests, 100*float64(spans)/float64(requests))
		sums := f.counters()
		for _, name := range slices.Sorted(maps.Keys(sums)) {
			if sums[name] != 0 {
				fmt.Fprintf(w, "  %s = %d\n", name, sums[name])
			}
		}
	}
}

// quietShare is how much of the machine others may use before the figures are doubted.
const quietShare = 0.05

// others is the share of the machine's CPU time that went to processes which are no part of this.
func (f figures) others() spread {
	var all []float64
	for _, runs := range f.runs {
		for _, s := range runs {
			all = append(all, s.others)
		}
	}
	return spreadOf(all)
}

func (s sample) cpuPerRequest() float64 { return s.serverCPU.Seconds() / float64(s.requests) }

// without names the programs of a that b has not. Only 15 bytes of a name are certain: the kernel
// keeps no more of a program without BTF, which those of B are.
func without(a, b []programStats) []string {
	short := func(name string) string { return name[:min(len(name), 15)] }
	var names []string
	for _, p := range a {
		if !slices.ContainsFunc(b, func(q programStats) bool { return short(q.name) == short(p.name) }) {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	return names
}

func printPrograms(w io.Writer, title string, s sample) {
	fmt.Fprintf(w, "%s, per program, while %d requests were served:\n", title, s.requests)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  program\truns\tns/run\tns/request")
	for _, p := range s.programs {
		if p.runs > 0 {
			fmt.Fprintf(t, "  %s\t%d\t%.0f\t%.0f\n", p.name, p.runs, p.perRun(), float64(p.runtime.Nanoseconds())/float64(s.requests))
		}
	}
	_ = t.Flush()
}

// captured is every run of the receiver, the one with statistics too.
func (f figures) captured() []sample {
	runs := slices.Clone(f.runs[full])
	if s, ok := f.stats[full]; ok {
		runs = append(runs, s)
	}
	return runs
}

func (f figures) coverage() (requests, spans uint64) {
	for _, s := range f.captured() {
		requests += s.requests
		spans += total(s.report.Spans)
	}
	return requests, spans
}

func (f figures) counters() map[string]int64 {
	sums := map[string]int64{}
	for _, s := range f.captured() {
		for name, n := range s.report.Counters {
			sums[name] += n
		}
	}
	return sums
}

// isLoss tells whether a counter counts something that was lost, in the sense of STYLE.md: the
// name without attributes says so.
func isLoss(counter string) bool {
	name, _, _ := strings.Cut(counter, "{")
	return strings.Contains(name, "lost")
}

// hookRuns is how often a program must have run for its mean to be worth something.
const hookRuns = 1000

func lastLine(w io.Writer, all []figures, o options) error {
	ratio := map[string]string{"nginx": "not_measured", "go": "not_measured"}
	worst, lost, losses := 0.0, int64(0), 0
	var err error
	for _, f := range all {
		if !o.full {
			continue
		}
		ratio[f.server] = fmt.Sprintf("%.3f", f.ratio(full).median)
		for _, p := range f.stats[full].programs {
			if p.runs >= hookRuns {
				worst = max(worst, p.perRun())
			}
		}
		for name, n := range f.counters() {
			if isLoss(name) {
				losses++
				lost += n
			}
		}
		if _, spans := f.coverage(); spans == 0 {
			err = errors.Join(err, fmt.Errorf("%s: the receiver made no span, so its cost says nothing", f.server))
		}
	}
	hook, missing := "not_measured", "not_measured"
	if o.full {
		hook, missing = fmt.Sprintf("%.0f", worst), fmt.Sprint(lost)
		if losses == 0 {
			missing = "unknown"
			err = errors.Join(err, errors.New("the receiver exports no counter of lost events: losses would go unseen"))
		}
	}
	fmt.Fprintf(w, "probe: nginx_ratio=%s go_ratio=%s ns_per_hook_max=%s events_lost=%s\n", ratio["nginx"], ratio["go"], hook, missing)
	return err
}
