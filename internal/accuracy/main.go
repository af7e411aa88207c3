// Command accuracy measures whether calls are linked to the request that they were made for.
//
// Real programs serve requests on loopback and make calls to a backend, in one of the ways in which
// programs do (a workload), traced by the real receiver in this process, which selects exactly the
// program that was started. The truth is in the paths: GET /r/<id> makes calls GET /d/<id>/<op>, and
// /d/bg/<n> belongs to no request. The tracer never looks at it. Each cell is a workload at one
// concurrency, with a fresh process and a fresh receiver.
//
//	go run ./internal/accuracy
//	go run ./internal/accuracy -workloads go/handler,go/fanout -concurrency 16 -explain 5
//
// The table goes to standard output and to docs/accuracy.md (-out; only when every cell was run).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	workloads   []*workload
	all         bool
	concurrency []int
	requests    int
	pool        float64
	warm        int
	explain     int
	out         string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		stop()
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	names := f.String("workloads", "*", "comma-separated patterns of `names`, as path.Match has them")
	conc := f.String("concurrency", "1,16,64", "comma-separated `numbers` of requests at once")
	f.IntVar(&o.requests, "requests", 1500, "`number` of requests of a cell; a fifth at concurrency 1")
	f.Float64Var(&o.pool, "pool", 0.25, "size of pools, as a `share` of the concurrency; at least 2")
	f.IntVar(&o.warm, "warm", 0, "`number` of requests before the tracer starts")
	f.IntVar(&o.explain, "explain", 0, "print up to that `number` of wrong and of unlinked calls of a cell")
	f.StringVar(&o.out, "out", "docs/accuracy.md", "`file` for the table of a run of everything")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for _, s := range strings.Split(*conc, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1024 {
			return o, fmt.Errorf("-concurrency: %q is out of range: 1 to 1024", s)
		}
		o.concurrency = append(o.concurrency, n)
	}
	if o.requests < 5 || o.pool <= 0 || o.warm < 0 {
		return o, errors.New("-requests must be at least 5, -pool above 0, -warm not negative")
	}
	all := workloads()
	for _, pattern := range strings.Split(*names, ",") {
		n := len(o.workloads)
		for _, w := range all {
			ok, err := path.Match(pattern, w.String())
			if err != nil {
				return o, fmt.Errorf("-workloads: %q: %w", pattern, err)
			}
			// A star that stands alone means everything.
			if (ok || pattern == "*") && !slices.Contains(o.workloads, w) {
				o.workloads = append(o.workloads, w)
			}
		}
		if len(o.workloads) == n {
			return o, fmt.Errorf("-workloads: %q adds no workload; there are: %s", pattern, workloadNames())
		}
	}
	o.all = len(o.workloads) == len(all) && *conc == f.Lookup("concurrency").DefValue
	return o, nil
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("the receiver needs root to load BPF programs: run this as root")
	}
	dir, err := os.MkdirTemp("", "accuracy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs := &builder{dir: dir, built: map[string]command{}}
	began := time.Now()
	var cells []cell
	var skipped []string
	t := newTable(os.Stdout)
	t.head()
	for _, w := range o.workloads {
		if missing := w.missing(); len(missing) > 0 {
			skipped = append(skipped, missing...)
			fmt.Printf("accuracy: skipped %s: missing here: apt install %s\n", w, strings.Join(missing, " "))
			continue
		}
		for _, c := range o.concurrency {
			r, err := runCell(ctx, programs, w, c, o)
			if err != nil {
				return fmt.Errorf("%s at concurrency %d: %w", w, c, err)
			}
			cells = append(cells, r)
			t.row(r)
			r.explain(os.Stderr, o.explain)
		}
	}
	summary := summarize(cells)
	if o.all && o.out != "" {
		if err := writeFile(o.out, func(w io.Writer) { document(w, cells, summary, time.Since(began)) }); err != nil {
			return err
		}
	}
	fmt.Println(summary)
	if len(skipped) > 0 {
		return fmt.Errorf("packages are missing: ./internal/tools/apt-install %s", strings.Join(slices.Compact(slices.Sorted(slices.Values(skipped))), " "))
	}
	return nil
}

func writeFile(name string, write func(io.Writer)) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	write(f)
	return f.Close()
}
