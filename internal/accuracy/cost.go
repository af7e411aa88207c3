package main

import (
	"context"
	"errors"
	"fmt"
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
	// costRounds are pairs: the program without the receiver, then traced. Their median counts.
	costRounds = 5
	// costTime is how long a round should at least take.
	costTime = time.Second
	// costConcurrency leaves the machine time to do the tracing beside the program.
	costConcurrency = 16
)

// cost is what tracing adds to a program.
type cost struct {
	workload  *workload
	requests  int              // of a round
	cpu       [2]time.Duration // per request
	p99       [2]time.Duration
	added     float64 // share of the CPU time, median of the pairs
	low, high float64 // of the pairs
}

const (
	untraced = iota
	traced
)

// limit is the share that tracing should add at most.
func (c *cost) limit() float64 {
	if c.workload.language.name == "go" {
		return 0.10
	}
	return 0.05
}

// costs measures the expensive ones among the workloads.
func (r *report) costs(ctx context.Context, programs *builder, ws []*workload) error {
	fmt.Printf("\n"+costColumns, "workload", "requests", "CPU µs", "traced", "added %", "goal %", "of pairs", "p99 ms", "traced")
	fmt.Printf(costColumns, "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
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

const costColumns = "| %-24s | %8v | %7v | %7v | %7v | %6v | %14v | %7v | %7v |\n"

func (c *cost) row() string {
	micro := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }
	milli := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	return fmt.Sprintf(costColumns, c.workload, c.requests, micro(c.cpu[untraced]), micro(c.cpu[traced]), fmt.Sprintf("%+.1f", 100*c.added),
		fmt.Sprintf("%g", 100*c.limit()),
		fmt.Sprintf("%+.1f to %+.1f", 100*c.low, 100*c.high), milli(c.p99[untraced]), milli(c.p99[traced]))
}

func measureCost(ctx context.Context, programs *builder, w *workload, stats *probeStats) (_ cost, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("it took more than 3 minutes"))
	defer cancel()
	b, err := startBackend(ctx, w)
	if err != nil {
		return cost{}, err
	}
	defer b.close()
	p, err := programs.start(ctx, w, b.addr(), setting{concurrency: costConcurrency, pool: 1})
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	l := newLoader(p.addr, costConcurrency)
	defer l.close()

	// A virtual machine compiles while it warms up; how long a round must be is known then.
	const warmup = 3000
	began := time.Now()
	if _, err := l.send(ctx, 0, warmup); err != nil {
		return cost{}, err
	}
	c := cost{workload: w, requests: max(1000, int(warmup*costTime/time.Since(began)))}
	next := warmup
	round := func() (cpu, p99 time.Duration, err error) {
		before, err := cpuTime(p.cmd.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		took, err := l.send(ctx, next, c.requests)
		if err != nil {
			return 0, 0, err
		}
		next += c.requests
		after, err := cpuTime(p.cmd.Process.Pid)
		return (after - before) / time.Duration(c.requests), took[len(took)*99/100], err
	}
	var cpu [2][]time.Duration
	var p99 [2][]time.Duration
	var added []float64
	for range costRounds {
		for side := range 2 {
			var t *tracer
			if side == traced {
				if t, err = startTracer(ctx, p, false, hold); err != nil {
					return cost{}, err
				}
			}
			time.Sleep(quietFor) // in both, so that they differ in nothing else
			used, slowest, err := round()
			if t != nil {
				err = errors.Join(err, t.stop())
			}
			if err != nil {
				return cost{}, err
			}
			cpu[side], p99[side] = append(cpu[side], used), append(p99[side], slowest)
		}
		n := len(added)
		added = append(added, float64(cpu[traced][n])/float64(cpu[untraced][n])-1)
	}
	if err := probed(ctx, p, stats, func() error { _, _, err := round(); return err }); err != nil {
		return cost{}, err
	}
	for side := range 2 {
		c.cpu[side], c.p99[side] = median(cpu[side]), median(p99[side])
	}
	c.added, c.low, c.high = median(added), slices.Min(added), slices.Max(added)
	return c, nil
}

// probed traces p once more and lets the kernel count meanwhile.
func probed(ctx context.Context, p *program, stats *probeStats, round func() error) error {
	counting, err := enableStats()
	if err != nil {
		return err
	}
	defer counting.Close()
	t, err := startTracer(ctx, p, false, hold)
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
