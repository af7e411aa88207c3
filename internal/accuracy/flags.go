package main

import (
	"errors"
	"flag"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

type options struct {
	workloads []*workload
	axes      axes
	plan      *plan // instead of axes
	cost      bool
	costAt    []int // requests at once
	guess     bool
	packages  bool
	requests  int
	explain   int
	out       string
	cells     string
	save      string
	from      string
}

// jobs are the cells that were asked for.
func (o *options) jobs() []job {
	if o.plan != nil {
		return o.plan.jobs(o.workloads)
	}
	jobs := product(o.workloads, o.axes, o.requests)
	for i := range jobs {
		jobs[i].setting.Guess = o.guess
	}
	return jobs
}

func parseFlags(args []string) (options, error) {
	var o options
	var planName string
	a := &o.axes
	f := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	names := f.String("workloads", "*", "comma-separated patterns of `names`, as path.Match has them")
	f.StringVar(&planName, "plan", "", "`name` of a selection of cells, instead of the axes: check or real")
	lists := []struct {
		name, value, usage string
		add                func(string) error
		text               *string
	}{
		{name: "concurrency", value: "16", usage: "`numbers` of requests at once; with -cost 8,32 unless given", add: func(v string) error {
			n, err := strconv.Atoi(v)
			a.concurrency = append(a.concurrency, n)
			return within(err, n >= 1 && n <= 1024, "1 to 1024")
		}},
		{name: "pool", value: "0.25", usage: "sizes of pools, as `shares` of the concurrency; at least 2 threads", add: func(v string) error {
			n, err := strconv.ParseFloat(v, 64)
			a.pool = append(a.pool, n)
			return within(err, n > 0 && n <= 16, "above 0, up to 16")
		}},
		{name: "attach", value: "cold", usage: "when the tracer starts: before the first request (cold) or after some (warm): `moments`", add: func(v string) error {
			a.warm = append(a.warm, v == "warm")
			return within(nil, v == "cold" || v == "warm", "cold, warm")
		}},
		{name: "noise", value: "none", usage: "what disturbs: `kinds` none, hog (the processors are busy) or gc (garbage is collected all the time)", add: func(v string) error {
			a.noise = append(a.noise, noise(v))
			return within(nil, slices.Contains([]noise{quiet, hog, gc}, noise(v)), "none, hog, gc")
		}},
	}
	for i := range lists {
		l := &lists[i]
		l.text = f.String(l.name, l.value, "comma-separated "+l.usage)
	}
	f.IntVar(&o.requests, "requests", 600, "`number` of requests of a cell; a fifth at concurrency 1")
	f.BoolVar(&o.cost, "cost", false, "measure what tracing costs the programs, not the links")
	f.BoolVar(&o.guess, "statistical", false, "switch the receiver's statistical fallback on: what it guesses may be wrong")
	f.BoolVar(&o.packages, "packages", false, "print the packages of Debian that the workloads need and this machine lacks, and do nothing else")
	f.IntVar(&o.explain, "explain", 0, "print up to that `number` of wrong and of unlinked calls of a cell, and why those are not linked")
	f.StringVar(&o.out, "out", "docs/accuracy.md", "`file` for what -plan real finds, and -cost in a section of it, when all workloads were run")
	f.StringVar(&o.cells, "cells", "", "`file` for all figures of every cell, separated by tabs")
	f.StringVar(&o.save, "save", "", "`file` for what was found, as JSON, for -from")
	f.StringVar(&o.from, "from", "", "measure nothing: write -out and -cells from a `file` of -save, or several, comma-separated: later ones take the place of earlier ones, and those that make up all of -plan real write all of -out")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for _, l := range lists {
		for _, v := range strings.Split(*l.text, ",") {
			if err := l.add(v); err != nil {
				return o, fmt.Errorf("-%s: %q %w", l.name, v, err)
			}
		}
	}
	if o.requests < 5 {
		return o, errors.New("-requests must be at least 5")
	}
	if planName != "" {
		i := slices.IndexFunc(plans, func(p plan) bool { return p.name == planName })
		if i < 0 {
			return o, fmt.Errorf("-plan: %q is unknown: check or real", planName)
		}
		o.plan = &plans[i]
	}
	if o.guess && (o.plan != nil || o.cost) {
		return o, errors.New("-statistical is for links on the axes: leave -plan and -cost out")
	}
	o.costAt = costConcurrencies
	var err error
	f.Visit(func(set *flag.Flag) {
		if set.Name == "concurrency" {
			o.costAt = a.concurrency
		}
		if o.from != "" && !slices.Contains([]string{"from", "out", "cells"}, set.Name) {
			err = errors.Join(err, fmt.Errorf("-from measures nothing: leave -%s out", set.Name))
		}
	})
	if err != nil {
		return o, err
	}
	o.workloads, err = selectWorkloads(*names)
	return o, err
}

func within(err error, ok bool, allowed string) error {
	if err != nil || !ok {
		return fmt.Errorf("is out of range: %s", allowed)
	}
	return nil
}

func selectWorkloads(patterns string) ([]*workload, error) {
	var out []*workload
	all := workloads()
	for _, pattern := range strings.Split(patterns, ",") {
		n := len(out)
		for _, w := range all {
			ok, err := path.Match(pattern, w.String())
			if err != nil {
				return nil, fmt.Errorf("-workloads: %q: %w", pattern, err)
			}
			// A star that stands alone means everything.
			if (ok || pattern == "*") && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("-workloads: %q adds no workload; there are: %s", pattern, workloadNames())
		}
	}
	return out, nil
}
