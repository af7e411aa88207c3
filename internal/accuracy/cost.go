package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// expensive says whether -cost measures the workload: the first row of its language, which is the plainest, and
// those that say so. They make little else than calls, so the cost is the highest that a program sees.
func (w *workload) expensive() bool { return w.costly || w == &w.language.workloads[0] }

const (
	// costRounds are triples: the program without the receiver, beside it, and traced. Their medians count. So many,
	// and a multiple of the sides, so that each side is as often the first as it is the last.
	costRounds = 3 * sides
	// costTime is how long a round should at least take. A second is not enough: triples were 30 points apart.
	costTime = 2 * time.Second
	// costConcurrency leaves the machine time to do the tracing beside the program. Its companion has as much.
	costConcurrency = 8
)

// cost is what tracing adds to a program. Another one, its companion, is under load all the while.
type cost struct {
	workload *workload
	requests int                  // of a round
	cpu      [sides]time.Duration // per request, medians
	p99      [sides]time.Duration
	added    spread        // share of the CPU time: traced, of what it is beside the receiver
	whole    spread        // of what it is without one
	programs time.Duration // run time of the BPF programs per request
}

// The sides of a round.
const (
	untraced = iota // there is no receiver
	beside          // it traces the companion: what it does itself is on the same processors
	traced          // it traces the program
	sides
)

// spread is of the triples.
type spread struct{ median, low, high float64 }

func spreadOf(of []float64) spread { return spread{median(of), slices.Min(of), slices.Max(of)} }

func (s spread) String() string { return fmt.Sprintf("%+.1f to %+.1f", 100*s.low, 100*s.high) }

// limit is the share that tracing should add at most.
func (c *cost) limit() float64 {
	if c.workload.language.name == "go" {
		return 0.10
	}
	return 0.05
}

// costs measures the expensive ones among the workloads.
func (r *report) costs(ctx context.Context, programs *builder, ws []*workload) error {
	fmt.Println()
	costHead(os.Stdout)
	stats := &probeStats{byName: map[string]*probe{}}
	for _, w := range ws {
		if !w.expensive() {
			continue
		}
		c, err := measureCost(ctx, programs, w, stats)
		if err != nil {
			return fmt.Errorf("cost of %s: %w", w, err)
		}
		r.cost = append(r.cost, c)
		fmt.Print(c.row())
	}
	r.probes = stats.sorted()
	for _, p := range r.probes {
		fmt.Printf("probe %-24s %9d hits %6.0f ns\n", p.name, p.hits, p.mean())
	}
	return nil
}

const costColumns = "| %-24s | %8v | %7v | %7v | %7v | %7v | %6v | %14v | %7v | %14v | %7v | %7v | %7v |\n"

func costHead(w io.Writer) {
	fmt.Fprintf(w, costColumns, "workload", "requests", "CPU µs", "beside", "traced", "added %", "goal %", "of triples", "whole %", "of triples",
		"BPF µs", "p99 ms", "traced")
	fmt.Fprintf(w, costColumns, "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
}

func (c *cost) row() string {
	micro := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }
	milli := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	percent := func(f float64) string { return fmt.Sprintf("%+.1f", 100*f) }
	return fmt.Sprintf(costColumns, c.workload, c.requests, micro(c.cpu[untraced]), micro(c.cpu[beside]), micro(c.cpu[traced]),
		percent(c.added.median), fmt.Sprintf("%g", 100*c.limit()), c.added, percent(c.whole.median), c.whole,
		micro(c.programs), milli(c.p99[beside]), milli(c.p99[traced]))
}

// served is a program with its backend, and who asks it.
type served struct {
	*program
	backend backend
	load    *loader
}

func (b *builder) serve(ctx context.Context, w *workload) (*served, error) {
	calls, err := startBackend(ctx, w)
	if err != nil {
		return nil, err
	}
	p, err := b.start(ctx, w, calls.addr(), setting{concurrency: costConcurrency, pool: 1})
	if err != nil {
		calls.close()
		return nil, err
	}
	return &served{p, calls, newLoader(p.addr, costConcurrency)}, nil
}

func (s *served) close() error {
	s.load.close()
	err := s.stop()
	s.backend.close()
	return err
}

// keepAsking puts s under load until the function that it returns is called.
func (s *served) keepAsking(ctx context.Context) (enough func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		const some = 1000
		for n := 0; ctx.Err() == nil; n += some {
			if _, err := s.load.send(ctx, n, some); err != nil && ctx.Err() == nil {
				failed = fmt.Errorf("load beside: %w", err)
				return
			}
		}
	}()
	return func() error {
		cancel()
		<-done
		return failed
	}
}

func measureCost(ctx context.Context, programs *builder, w *workload, stats *probeStats) (_ cost, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("it took more than 5 minutes"))
	defer cancel()
	p, err := programs.serve(ctx, w)
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	// The plainest program of all, so that the receiver has as much to do when it does not trace p.
	companion, err := programs.serve(ctx, workloads()[0])
	if err != nil {
		return cost{}, err
	}
	enough := companion.keepAsking(ctx)
	defer func() { err = errors.Join(err, enough(), companion.close()) }()

	// A virtual machine compiles while it warms up; how long a round must be is known then.
	const warmup = 3000
	next := 0
	var began time.Time
	for range 2 {
		began = time.Now()
		if _, err := p.load.send(ctx, next, warmup); err != nil {
			return cost{}, err
		}
		next += warmup
	}
	c := cost{workload: w, requests: max(1000, int(warmup*costTime/time.Since(began)))}
	round := func() (cpu, p99 time.Duration, err error) {
		before, err := cpuTime(p.cmd.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		took, err := p.load.send(ctx, next, c.requests)
		if err != nil {
			return 0, 0, err
		}
		next += c.requests
		after, err := cpuTime(p.cmd.Process.Pid)
		return (after - before) / time.Duration(c.requests), took[len(took)*99/100], err
	}
	var cpu, p99 [sides][]time.Duration
	var added, whole []float64
	for n := range costRounds {
		for turn := range sides {
			side := (n + turn) % sides // what drifts meanwhile is in each side's favour as often
			var t *tracer
			if on := [sides]*program{beside: companion.program, traced: p.program}[side]; on != nil {
				if t, err = startTracer(ctx, on, tracing{hold: hold}); err != nil {
					return cost{}, err
				}
			}
			time.Sleep(quietFor) // in each, so that they differ in nothing else
			used, slowest, err := round()
			if t != nil {
				err = errors.Join(err, t.stop())
			}
			if err != nil {
				return cost{}, err
			}
			cpu[side], p99[side] = append(cpu[side], used), append(p99[side], slowest)
		}
		added = append(added, float64(cpu[traced][n])/float64(cpu[beside][n])-1)
		whole = append(whole, float64(cpu[traced][n])/float64(cpu[untraced][n])-1)
	}
	before := stats.total()
	if err := probed(ctx, p.program, stats, func() error { _, _, err := round(); return err }); err != nil {
		return cost{}, err
	}
	c.programs = (stats.total() - before) / time.Duration(c.requests)
	for side := range sides {
		c.cpu[side], c.p99[side] = median(cpu[side]), median(p99[side])
	}
	c.added, c.whole = spreadOf(added), spreadOf(whole)
	return c, nil
}

// probed traces p once more and lets the kernel count meanwhile.
func probed(ctx context.Context, p *program, stats *probeStats, round func() error) error {
	counting, err := enableStats()
	if err != nil {
		return err
	}
	defer counting.Close()
	t, err := startTracer(ctx, p, tracing{hold: hold})
	if err != nil {
		return err
	}
	return errors.Join(round(), stats.collect(), t.stop())
}

func median[T time.Duration | float64](of []T) T {
	s := slices.Sorted(slices.Values(of))
	return s[len(s)/2]
}

// cpuTime is what a process and all that it started have used, those that have ended included.
func cpuTime(pid int) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture of ours
	var used time.Duration
	for _, p := range descendants(pid) {
		// clock_getcpuclockid(3): the clock of a process, in nanoseconds: its threads that have ended too.
		const cpuclockSched = 2
		var now unix.Timespec
		if err := unix.ClockGettime(int32(^p)<<3|cpuclockSched, &now); err != nil {
			if p != pid {
				continue // it has just ended, and is in its parent's sum
			}
			return 0, fmt.Errorf("CPU clock of process %d: %w", p, err)
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil && p != pid {
			continue
		}
		if err != nil {
			return 0, err
		}
		// proc_pid_stat(5): after the name in parentheses; cutime and cstime are fields 16 and 17.
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 15 {
			return 0, fmt.Errorf("/proc/%d/stat: %d fields", p, len(fields))
		}
		used += time.Duration(now.Nano())
		for _, f := range fields[13:15] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", p, err)
			}
			used += time.Duration(n) * tick
		}
	}
	return used, nil
}
