package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// result of one run.
type result struct {
	// cpu is microseconds of CPU per span, from the first request until the last span was delivered.
	cpu float64
	// accepted is spans per second of wall time until the last request was accepted.
	accepted float64
	// all and anonymous are resident bytes per waiting span, beyond those of the idle process.
	all, anonymous float64
	waiting        int64
	retries        int64
	// lost is how many spans never came out.
	lost int64
}

type runKey struct {
	pipeline string
	spans    int
}

type bencher struct {
	o        options
	program  string
	profile  string
	requests []request
	spans    int
	round    int
	results  map[runKey][]result
}

// run sends n spans through p: part of the requests, or all of them several times.
func (b *bencher) run(ctx context.Context, p pipeline, n int) error {
	c, err := start(ctx, b.program, p, b.o, n, b.profile)
	if err != nil {
		return err
	}
	r, err := b.measure(ctx, c, p, n)
	if serr := c.stop(); err == nil {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, &c.log)
	}
	if b.results == nil {
		b.results = map[runKey][]result{}
	}
	k := runKey{p.name, n}
	b.results[k] = append(b.results[k], r)
	fmt.Fprintf(os.Stderr, "  %-14s %9d spans  %6.2f us/span  %8.0f accepted/s  %d retries  %d lost\n", p.name, n, r.cpu, r.accepted, r.retries, r.lost)
	if r.lost > 0 && p.name == ours {
		return fmt.Errorf("%d of %d spans were lost", r.lost, n)
	}
	return nil
}

func (b *bencher) measure(ctx context.Context, c *child, p pipeline, n int) (r result, err error) {
	l, err := dial(c.endpoint)
	if err != nil {
		return r, err
	}
	defer l.close()
	// A process is idle once its start is over.
	time.Sleep(500 * time.Millisecond)
	idle, idleAnon, err := c.memory()
	if err != nil {
		return r, err
	}
	cpu, err := c.cpu()
	if err != nil {
		return r, err
	}
	var sending time.Duration
	for sent := 0; sent < n; {
		turn(b.requests, b.round)
		b.round++
		rs := b.requests[:min(len(b.requests), (n-sent)/requestSpans)]
		begin := time.Now()
		if err := l.send(ctx, rs); err != nil {
			return r, err
		}
		sending += time.Since(begin)
		sent += len(rs) * requestSpans
		if sent < n {
			continue
		}
		all, anon, err := c.memory()
		if err != nil {
			return r, err
		}
		done, err := readCounter(c.counter)
		if err != nil {
			return r, err
		}
		if r.waiting = int64(n) - done; r.waiting > 0 {
			r.all, r.anonymous = float64(all-idle)/float64(r.waiting), float64(anon-idleAnon)/float64(r.waiting)
		}
	}
	if r.lost, err = b.delivered(ctx, c, int64(n)); err != nil {
		return r, err
	}
	end, err := c.cpu()
	if err != nil {
		return r, err
	}
	r.cpu = float64((end - cpu).Nanoseconds()) / 1e3 / float64(n)
	r.accepted, r.retries = float64(n)/sending.Seconds(), l.retries.Load()
	return r, nil
}

// delivered waits until n spans came out, or none any more, and returns how many are missing.
func (b *bencher) delivered(ctx context.Context, c *child, n int64) (lost int64, err error) {
	last, since := int64(-1), time.Now()
	for {
		done, err := readCounter(c.counter)
		switch {
		case err != nil:
			return 0, err
		case done == n:
			// What was delivered is recorded a little later.
			time.Sleep(100 * time.Millisecond)
			return 0, nil
		case done != last:
			last, since = done, time.Now()
		case time.Since(since) > 2*b.o.window+10*time.Second:
			return n - done, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case err := <-c.ended:
			return 0, fmt.Errorf("the collector ended with %d of %d spans delivered: %w", done, n, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func median(rs []result, of func(result) float64) float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func cpuOf(r result) float64      { return r.cpu }
func bytesOf(r result) float64    { return r.all }
func anonOf(r result) float64     { return r.anonymous }
func acceptedOf(r result) float64 { return r.accepted }

func (b *bencher) table(rows []pipeline, n int) {
	fmt.Printf("%-34s %14s %14s %16s %20s %16s\n", "", "CPU us/span", "spans/s/core", "accepted/s", "bytes/waiting span", "without files")
	for _, p := range rows {
		rs := b.results[runKey{p.name, n}]
		cpu := median(rs, cpuOf)
		fmt.Printf("%-34s %14.2f %14.0f %16.0f", "otlp → "+p.name, cpu, 1e6/cpu, median(rs, acceptedOf))
		if p.waits {
			fmt.Printf(" %20.0f %16.0f", median(rs, bytesOf), median(rs, anonOf))
		}
		fmt.Println()
	}
}

// curve prints the cost of a span by how many there are.
func (b *bencher) curve() {
	for _, k := range slices.SortedFunc(maps.Keys(b.results), func(x, y runKey) int { return x.spans - y.spans }) {
		if k.pipeline == ours {
			rs := b.results[k]
			fmt.Printf("ebpflink at %9d spans: %6.2f us/span, %4.0f bytes per waiting span of %d\n",
				k.spans, median(rs, cpuOf), median(rs, bytesOf), rs[len(rs)-1].waiting)
		}
	}
}

// last is the line that other programs read.
func (b *bencher) last(n int) string {
	cpu := func(name string) float64 { return median(b.results[runKey{name, n}], cpuOf) }
	us := cpu(ours)
	return fmt.Sprintf("link: ratio_vs_pipe=%.2f ratio_vs_tail_sampling=%.2f ratio_vs_groupbytrace=%.2f cpu_us_per_span=%.2f bytes_per_span=%.0f",
		cpu("batch")/us, cpu("tail_sampling")/us, cpu("groupbytrace")/us, us,
		median(b.results[runKey{ours, n}], bytesOf))
}
