package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/check"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/launch"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/selfmetrics"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/sink"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/tree"
)

type demo struct {
	o      options
	id     string // of this run
	root   string // of the repository
	dir    string // of this run: binaries, logs, the collector's state
	binary string // the collector
	python string
	redis  string
	group  *launch.Group
	sink   *sink.Sink
	load   *loader
}

func newDemo(o options) *demo {
	return &demo{o: o, id: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()), load: newLoader(), group: launch.NewGroup()}
}

func (d *demo) say(format string, args ...any) { fmt.Printf("demo: "+format+"\n", args...) }

// sayEach says what still goes on, with how long it has taken, until the function that it returns is
// called.
func (d *demo) sayEach(interval time.Duration, what string) (stop func()) {
	done, began := make(chan struct{}), time.Now()
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(interval):
				d.say("%s, %s so far", what, time.Since(began).Round(time.Second))
			}
		}
	}()
	return func() { close(done) }
}

// run does everything and leaves nothing behind: processes never, the directory only when the run
// failed or it was asked for.
func (d *demo) run(ctx context.Context) error {
	err := d.prepare(ctx)
	var v *verdict
	if err == nil {
		v, err = d.trace(ctx)
	}
	if stop := d.group.Stop(5 * time.Second); err == nil && ctx.Err() == nil {
		err = stop
	}
	d.group.Close()
	d.load.close()
	if d.sink != nil {
		_ = d.sink.Close()
	}
	if ctx.Err() == nil {
		err = d.conclude(v, err)
	}
	switch {
	case d.dir == "":
	case d.o.keep, err != nil && ctx.Err() == nil:
		fmt.Fprintf(os.Stderr, "demo: logs are in %s\n", d.dir)
	default:
		if e := os.RemoveAll(d.dir); e != nil && err == nil {
			err = e
		}
	}
	return err
}

func (d *demo) prepare(ctx context.Context) (err error) {
	if d.root, err = findRoot(); err != nil {
		return err
	}
	if err = mayTrace(); err != nil {
		return err
	}
	if d.o.early {
		outside, err := outsideAddress()
		if err != nil {
			return err
		}
		d.load.from(outside)
	}
	if d.redis, err = program(ctx, d.say, "redis-server", "redis-server"); err != nil {
		return err
	}
	if d.python, err = program(ctx, d.say, "python3", "/usr/bin/python3", "python3"); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "otelcol-ebpf-demo-"); err != nil {
		return err
	}
	d.group.SetDir(d.dir)
	if d.binary, err = d.findCollector(ctx); err != nil {
		return err
	}
	d.say("building the services")
	if err = d.buildServices(ctx); err != nil {
		return err
	}
	d.sink, err = sink.Listen()
	return err
}

// verdict is what a run found out.
type verdict struct {
	report *check.Report
	spans  []span.Span
	probes int
	// metrics are of the collector, read after the load; nil with metricsErr when unreadable.
	metrics    selfmetrics.Metrics
	metricsErr error
	lost       float64
	lostSeries []string // of which lost is the sum
	load       check.Load
	duration   time.Duration
}

// trace starts everything, sends the load and waits for the traces.
func (d *demo) trace(ctx context.Context) (*verdict, error) {
	for _, name := range plan.Services {
		if beforeCollector(d.o.order, name) {
			if err := d.startService(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	if err := d.warm(ctx); err != nil {
		return nil, err
	}
	d.say("starting the collector")
	col, err := d.startCollector(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range plan.Services {
		if !beforeCollector(d.o.order, name) {
			if err := d.startService(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	v := &verdict{}
	if v.probes, err = d.probe(ctx, col); err != nil {
		return nil, err
	}
	if err := d.privileges(col); err != nil {
		return nil, err
	}
	for n := range d.o.requests {
		v.load.Requests = append(v.load.Requests, d.request(n))
	}
	d.say("sending %d requests, %d at a time", d.o.requests, d.o.concurrency)
	began := time.Now()
	v.load.Start = began.UnixNano()
	if err := d.load.all(ctx, v.load.Requests, d.o.concurrency); err != nil {
		return nil, fmt.Errorf("the services did not answer: %w", err)
	}
	v.duration = time.Since(began)
	d.say("waiting for the traces (window %s)", d.o.window)
	d.await(ctx, col, v.load)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.metrics, v.metricsErr = col.read(ctx)
	if v.metricsErr == nil {
		v.lost, v.lostSeries, v.metricsErr = v.metrics.Lost()
	}
	if err := d.stopInOrder(col); err != nil {
		return nil, err
	}
	v.spans = d.sink.Spans()
	v.report = check.Run(v.load, v.spans)
	return v, nil
}

// request is the nth of the load. Without -check all are checkouts.
func (d *demo) request(n int) plan.Request {
	id := fmt.Sprintf("r%04d", n+1)
	if d.o.check {
		return plan.Mix(n, id)
	}
	return plan.Checkout(id)
}

// warm opens connections and makes threads and goroutines before the collector exists.
func (d *demo) warm(ctx context.Context) error {
	var requests []plan.Request
	for n := range 4 * d.o.concurrency {
		id := fmt.Sprintf("warm-%d", n+1)
		for _, r := range []plan.Request{plan.Checkout(id), plan.Price(id, plan.PriceOps[n%len(plan.PriceOps)]), plan.Stock(id)} {
			if d.load.addr[r.Root.Service] != "" {
				requests = append(requests, r)
			}
		}
	}
	if len(requests) == 0 {
		return nil
	}
	if err := d.load.all(ctx, requests, d.o.concurrency); err != nil {
		return fmt.Errorf("the services did not answer before the collector started: %w", err)
	}
	return nil
}

// probe sends requests until the collector has shown a span of every service and one complete
// trace. Attaching to a process takes a moment after it was found, which no endpoint tells; and a
// collector that cannot make a complete trace is what the check is to describe, so that alone does
// not end the run.
func (d *demo) probe(ctx context.Context, col *collector) (int, error) {
	const every = 500 * time.Millisecond
	seenLimit := time.Now().Add(30*time.Second + d.o.window)
	var wholeLimit time.Time
	for n := 1; ; n++ {
		if err := col.alive(); err != nil {
			return n, err
		}
		r := plan.Checkout(fmt.Sprintf("probe-%d", n))
		if err := d.load.one(ctx, r); err != nil {
			return n, fmt.Errorf("the services did not answer a probe: %w", err)
		}
		spans := d.sink.Spans()
		if missing := unseen(spans); len(missing) > 0 {
			if time.Now().After(seenLimit) {
				return n, d.untraced(ctx, col, missing, spans)
			}
		} else {
			if wholeLimit.IsZero() {
				wholeLimit = time.Now().Add(10*time.Second + d.o.window)
			}
			if anyWhole(spans, n) {
				return n, nil
			}
			if time.Now().After(wholeLimit) {
				d.say("no probe has become a complete trace yet; going on, the check will say why")
				return n, nil
			}
		}
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-time.After(every):
		}
	}
}

func (d *demo) untraced(ctx context.Context, col *collector, missing []string, spans []span.Span) error {
	_ = tree.PrintAll(os.Stdout, tail(spans, 200), d.style())
	d.counters(ctx, col)
	return fmt.Errorf("no span of %s within 30 s; %d spans in all, refused by the sink: %v; the collector's output:\n%s",
		strings.Join(missing, ", "), len(spans), d.sink.Refused(), col.child.Tail(30))
}

func tail(spans []span.Span, n int) []span.Span { return spans[max(0, len(spans)-n):] }

// unseen are the services without any span.
func unseen(spans []span.Span) []string {
	seen := map[string]bool{}
	for i := range spans {
		seen[spans[i].Service] = true
	}
	var out []string
	for _, s := range plan.Services {
		if !seen[s] {
			out = append(out, s)
		}
	}
	return out
}

// anyWhole says whether one of the probes so far became a trace as it should.
func anyWhole(spans []span.Span, probes int) bool {
	for n := 1; n <= probes; n++ {
		r := check.Run(check.Load{Requests: []plan.Request{plan.Checkout(fmt.Sprintf("probe-%d", n))}, Start: 1 << 62}, spans)
		if r.Whole == 1 {
			return true
		}
	}
	return false
}

// await returns when every trace is right, or when waiting longer is of no use.
func (d *demo) await(ctx context.Context, col *collector, load check.Load) {
	ctx, cancel := context.WithTimeout(ctx, 2*d.o.window+20*time.Second)
	defer cancel()
	_ = d.sink.Wait(ctx, func(spans []span.Span) bool {
		return col.alive() != nil || check.Run(load, spans).Whole == len(load.Requests)
	})
}

// stopInOrder stops the services, then the collector, which first sends what it holds.
func (d *demo) stopInOrder(col *collector) error {
	d.load.close()
	var errs []error
	children := d.group.Children()
	for i := len(children) - 1; i >= 0; i-- {
		if c := children[i]; c != col.child {
			errs = append(errs, c.Stop(5*time.Second))
		}
	}
	errs = append(errs, col.alive(), col.child.Stop(d.o.window+20*time.Second))
	return errors.Join(errs...)
}

func (d *demo) style() tree.Style { return tree.Style{Color: d.o.color, Bar: 16} }

// counters prints what the collector says it did not deliver.
func (d *demo) counters(ctx context.Context, col *collector) {
	m, err := col.read(ctx)
	if err != nil {
		d.say("%v", err)
		return
	}
	d.printDiscards(m)
}

func (d *demo) printDiscards(m selfmetrics.Metrics) {
	lines := m.Discards()
	d.say("the collector's counters of what it did not deliver or link (%d above zero):", len(lines))
	for _, l := range lines {
		fmt.Println("  " + l)
	}
}

// conclude prints the result: as the last line the figures, or on standard error why there are none.
func (d *demo) conclude(v *verdict, err error) error {
	if v == nil {
		if err == nil {
			err = errors.New("nothing was traced")
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
		return err
	}
	r := v.report
	if v.metricsErr != nil {
		err = errors.Join(err, v.metricsErr)
	} else if v.lost > 0 {
		err = errors.Join(err, fmt.Errorf("the collector lost %v records: %s", v.lost, strings.Join(v.lostSeries, ", ")))
	}
	if !r.OK() {
		err = errors.Join(err, fmt.Errorf("%d of %d requests have a complete and correct trace", r.Whole, r.Requests))
	}
	if refused := d.sink.Refused(); len(refused) > 0 {
		err = errors.Join(err, fmt.Errorf("the sink refused batches: %v", refused))
	}
	d.show(v)
	if err != nil {
		d.explain(v)
		fmt.Fprintln(os.Stderr, "demo:", err)
	} else if !d.o.check {
		d.next()
	}
	var rules []string
	for name, n := range r.Rules {
		rules = append(rules, fmt.Sprintf("%s=%d (weakest %.3f)", name, n, r.Weakest[name]))
	}
	sort.Strings(rules)
	d.say("links: %s", strings.Join(rules, ", "))
	d.sayWhen(v)
	d.say("%d background calls, none of them part of a request; %d probes before; load took %s", r.Background, v.probes, v.duration.Round(time.Millisecond))
	if p := r.Problems(); p != "" {
		d.say("problems: %s", p)
	}
	for _, series := range v.lostSeries {
		d.say("lost: %s", series)
	}
	lost := fmt.Sprintf("%v", v.lost)
	if v.metricsErr != nil {
		lost = "unknown"
	}
	d.say("requests=%d traces=%d spans=%d wrong_parents=%d orphans=%d lost_events=%s",
		r.Requests, r.Traces, r.Spans, r.Count(check.WrongParent), r.Count(check.Orphan), lost)
	return err
}

// show prints the traces of the load; with -check the first as a sample.
func (d *demo) show(v *verdict) {
	limit := len(v.load.Requests)
	if d.o.check {
		limit = 1
	}
	for _, r := range v.load.Requests[:limit] {
		fmt.Println()
		_ = tree.PrintAll(os.Stdout, tracesOf(v.spans, r.ID), d.style())
	}
	fmt.Println()
}

// tracesOf returns every span of each trace that holds a span of the request.
func tracesOf(spans []span.Span, id string) []span.Span {
	wanted := map[[16]byte]bool{}
	for i := range spans {
		if plan.PathID(spans[i].Path) == id {
			wanted[spans[i].Trace] = true
		}
	}
	var out []span.Span
	for i := range spans {
		if wanted[spans[i].Trace] {
			out = append(out, spans[i])
		}
	}
	return out
}

// explain prints the offending traces and the loss counters, at most a few of each.
func (d *demo) explain(v *verdict) {
	const traces, texts = 3, 20
	shown := map[string]bool{}
	if !d.o.check {
		for _, r := range v.load.Requests {
			shown[r.ID] = true // show printed it
		}
	}
	already := len(shown)
	for _, f := range v.report.Findings {
		if f.Request != "" && !shown[f.Request] && len(shown)-already < traces {
			shown[f.Request] = true
			d.say("request %s:", f.Request)
			_ = tree.PrintAll(os.Stdout, tracesOf(v.spans, f.Request), d.style())
			fmt.Println()
		}
	}
	var all strings.Builder
	for i, f := range v.report.Findings {
		if i < texts {
			d.say("%s: %s", f.Problem, f.Text)
		}
		fmt.Fprintf(&all, "%s\t%s\t%s\t%s\n", f.Problem, f.Request, f.Trace, f.Text)
	}
	if more := len(v.report.Findings) - texts; more > 0 {
		d.say("and %d more", more)
	}
	if d.dir != "" && all.Len() > 0 {
		file := filepath.Join(d.dir, "findings.tsv")
		if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
			d.say("%v", err)
		} else {
			d.say("all findings are in %s", file)
		}
	}
	if v.metrics != nil {
		d.printDiscards(v.metrics)
	}
}

func (d *demo) next() {
	fmt.Print(`Open next:
  docs/demo.md                             what you just saw, line by line
  otelcol-ebpf/config/standalone.yaml      the configuration it ran with
Trace your own service, as root:
  build/otelcol-ebpf --config otelcol-ebpf/config/standalone.yaml
  OTEL_SERVICE_NAME=my-service ./my-service

`)
}
