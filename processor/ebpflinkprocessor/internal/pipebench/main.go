// Command pipebench measures what linking costs beside what else a Collector does: the same prebuilt
// OTLP requests go through otlp→nop, otlp→batch→nop, otlp→tail_sampling→nop, otlp→groupbytrace→nop and
// otlp→ebpf_link→nop, each a process of its own on a core of its own, one after the other and again.
// It is a module of its own because ebpf_link does not depend on what it is compared with.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// profileEnv names the file for a CPU profile of the Collector.
const profileEnv = "PIPEBENCH_PROFILE"

func main() {
	if len(os.Args) == 3 && os.Args[1] == "collector" {
		exit(profiled(func() error { return runCollector(os.Args[2]) }))
	}
	o := options{window: 10 * time.Second, curve: []int{100_000, 1_000_000, 10_000_000}}
	flag.IntVar(&o.spans, "spans", 1_000_000, "spans of a run, rounded up to a multiple of 2000")
	flag.IntVar(&o.reps, "reps", 3, "runs of each pipeline; figures are medians")
	flag.DurationVar(&o.window, "window", o.window, "how long spans wait in each pipeline")
	flag.StringVar(&o.dir, "dir", "", "where ebpf_link stores; default: the temporary directory")
	quick := flag.Bool("quick", false, "200,000 spans, one run each, a window of 2s, no curve: for development")
	only := flag.String("only", "", "names of pipelines, separated by commas; default: all")
	program := flag.String("collector", "", "another pipebench to run as the Collector, to compare two versions")
	profile := flag.String("cpuprofile", "", "file for a CPU profile of the last Collector")
	flag.Parse()
	if *quick {
		o.spans, o.reps, o.window, o.curve = 200_000, 1, 2*time.Second, nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(bench(ctx, o, *only, *program, *profile))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pipebench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func profiled(fn func() error) error {
	path := os.Getenv(profileEnv)
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return fn()
}

func bench(ctx context.Context, o options, only, program, profile string) error {
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		program = self
	}
	if err := pinSelf(); err != nil {
		return err
	}
	rows := slices.Clone(pipelines)
	if only != "" {
		rows = slices.DeleteFunc(rows, func(p pipeline) bool { return !slices.Contains(strings.Split(only, ","), p.name) })
	}
	n := (max(o.spans, 1) + groupSpans - 1) / groupSpans * groupSpans
	rs, err := input(n)
	if err != nil {
		return err
	}
	size := 0
	for _, r := range rs {
		size += len(r.body)
	}
	fmt.Printf("%d spans of 10 attributes, %d bytes each, %d traces, %d spans a request, window %s, GOMAXPROCS 1, median of %d\n",
		n, size/n, n/traceSpans, requestSpans, o.window, o.reps)

	b := &bencher{o: o, program: program, profile: profile, requests: rs, spans: n}
	for range o.reps {
		for _, p := range rows {
			if err := b.run(ctx, p, n); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	b.table(rows, n)
	if only != "" {
		return nil
	}
	for _, c := range o.curve {
		if c != n {
			if err := b.run(ctx, pipelines[len(pipelines)-1], c); err != nil {
				return fmt.Errorf("curve at %d spans: %w", c, err)
			}
		}
	}
	b.curve()
	fmt.Println(b.last(n))
	return nil
}
