package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"
)

// expensive says whether -cost measures the workload: the first row of its language, which is the plainest, and
// those that say so. They make little else than calls, so the cost is the highest that a program sees.
func (w *workload) expensive() bool { return w.costly || w == &w.language.workloads[0] }

const (
	// costRounds are triples: without the receiver, and with one that traces the one and then the other of two instances
	// of the program. Their medians count. So many, and a multiple of the sides, so that each side is as often the first as
	// it is the last.
	costRounds = sides
	// costTime is how long a round should at least take.
	costTime = 3 * time.Second
)

// costConcurrencies are of each instance of the program. At 8 the processors wait for work most of the time: whatever
// runs finds cold caches and a slow clock, the program and its tracing alike. At 32 they seldom do.
var costConcurrencies = []int{8, 32}

// cost is what tracing adds to a program. Two instances of it are under the same load at the same time, so that what
// disturbs one disturbs the other. One is traced, then the other: how they differ by themselves cancels.
type cost struct {
	workload *workload
	at       int                   // requests at once, of each instance
	requests int                   // of a round, of each instance
	cpu      [states]time.Duration // per request, medians
	p99      [states]time.Duration
	added    spread        // share of the CPU time: traced, of what the other instance takes at that time
	whole    spread        // of what it takes without a receiver on the machine
	programs time.Duration // run time of the BPF programs per request of the traced instance
}

// The sides of a round: which instance is traced.
const (
	nobody = iota
	first
	second
	sides
)

// What an instance is in a round.
const (
	untraced = iota // there is no receiver
	beside          // it traces the other instance: what it does itself is on the same processors
	traced
	states
)

func stateOf(instance, side int) int {
	switch side {
	case nobody:
		return untraced
	case instance:
		return traced
	default:
		return beside
	}
}

// spread is of the triples.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func spreadOf(of []float64) spread { return spread{median(of), slices.Min(of), slices.Max(of)} }

func (s spread) String() string { return fmt.Sprintf("%+.1f to %+.1f", 100*s.Low, 100*s.High) }

// limit is the share that tracing should add at most.
func (c *cost) limit() float64 {
	if c.workload.language.name == "go" {
		return 0.10
	}
	return 0.05
}

// met says whether it does not, by the median of the triples.
func (c *cost) met() bool { return c.added.Median <= c.limit() }

// costs measures the expensive ones among the workloads.
func (r *report) costs(ctx context.Context, programs *builder, ws []*workload, concurrencies []int) error {
	fmt.Println()
	costHead(os.Stdout)
	stats := &probeStats{byName: map[string]*probe{}}
	for _, w := range ws {
		if !w.expensive() {
			continue
		}
		for _, at := range concurrencies {
			c, err := measureCost(ctx, programs, w, at, stats)
			if err != nil {
				return fmt.Errorf("cost of %s at %d: %w", w, at, err)
			}
			r.cost = append(r.cost, c)
			fmt.Print(c.row())
		}
	}
	r.probes = stats.sorted()
	for _, p := range r.probes {
		fmt.Printf("probe %-24s %9d hits %6.0f ns\n", p.Name, p.Hits, p.mean())
	}
	return nil
}

const costColumns = "| %-24s | %7v | %8v | %7v | %7v | %7v | %7v | %6v | %3v | %14v | %7v | %14v | %7v | %7v | %7v |\n"

func costHead(w io.Writer) {
	fmt.Fprintf(w, costColumns, "workload", "at once", "requests", "CPU µs", "beside", "traced", "added %", "goal %", "met", "of triples", "whole %", "of triples",
		"BPF µs", "p99 ms", "traced")
	fmt.Fprintf(w, costColumns, "---", "--:", "--:", "--:", "--:", "--:", "--:", "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
}

func (c *cost) row() string {
	micro := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }
	milli := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	percent := func(f float64) string { return fmt.Sprintf("%+.1f", 100*f) }
	met := "no"
	if c.met() {
		met = "yes"
	}
	return fmt.Sprintf(costColumns, c.workload, c.at, c.requests, micro(c.cpu[untraced]), micro(c.cpu[beside]), micro(c.cpu[traced]),
		percent(c.added.Median), fmt.Sprintf("%g", 100*c.limit()), met, c.added, percent(c.whole.Median), c.whole,
		micro(c.programs), milli(c.p99[beside]), milli(c.p99[traced]))
}

// served is a program with its backend, and who asks it.
type served struct {
	*program
	backend backend
	load    *loader
}

func (b *builder) serve(ctx context.Context, w *workload, s setting) (*served, error) {
	calls, err := startBackend(ctx, w)
	if err != nil {
		return nil, err
	}
	p, err := b.start(ctx, w, calls.addr(), s)
	if err != nil {
		calls.close()
		return nil, err
	}
	return &served{p, calls, newLoader(p.addr, s.Concurrency)}, nil
}

func (s *served) close() error {
	s.load.close()
	err := s.stop()
	s.backend.close()
	return err
}

// addedBy is what tracing adds to what the other instance takes at the same time: the geometric mean of both.
func addedBy(of *[sides][2]used) float64 {
	return math.Sqrt(ratio(of[first][0], of[first][1])*ratio(of[second][1], of[second][0])) - 1
}

// wholeOf is what tracing adds to what the same instance takes without a receiver.
func wholeOf(of *[sides][2]used) float64 {
	return math.Sqrt(ratio(of[first][0], of[nobody][0])*ratio(of[second][1], of[nobody][1])) - 1
}

func ratio(a, b used) float64 { return float64(a.cpu) / float64(b.cpu) }

// used is what an instance took for each request of a round, and the slowest in a hundred.
type used struct{ cpu, p99 time.Duration }

// serveBoth puts both instances under load at once: requests of numbers from first on.
func serveBoth(ctx context.Context, both [2]*served, begin, requests int) (out [2]used, err error) {
	var wg sync.WaitGroup
	var errs [2]error
	for i, s := range both {
		wg.Go(func() { out[i], errs[i] = s.round(ctx, begin, requests) })
	}
	wg.Wait()
	return out, errors.Join(errs[:]...)
}

func (s *served) round(ctx context.Context, begin, requests int) (used, error) {
	before, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return used{}, err
	}
	took, err := s.load.send(ctx, begin, requests)
	if err != nil {
		return used{}, err
	}
	after, err := cpuTime(s.cmd.Process.Pid)
	return used{(after - before) / time.Duration(requests), took[len(took)*99/100]}, err
}

func measureCost(ctx context.Context, programs *builder, w *workload, at int, stats *probeStats) (_ cost, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("it took more than 5 minutes"))
	defer cancel()
	var both [2]*served
	for i := range both {
		// What is probed in the one's executable does not stop the other.
		s, err := programs.serve(ctx, w, setting{Concurrency: at, Pool: 1, Apart: i > 0})
		if err != nil {
			return cost{}, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		both[i] = s
	}

	// A virtual machine compiles while it warms up; how long a round must be is known then.
	const warmup = 3000
	next := 0
	var began time.Time
	for range 2 {
		began = time.Now()
		if _, err := serveBoth(ctx, both, next, warmup); err != nil {
			return cost{}, err
		}
		next += warmup
	}
	c := cost{workload: w, at: at, requests: max(1000, int(warmup*costTime/time.Since(began)))}
	var cpu, p99 [states][]time.Duration
	var added, whole []float64
	for n := range costRounds {
		var of [sides][2]used
		for turn := range sides {
			side := (n + turn) % sides // what drifts meanwhile is in each side's favour as often
			var t *tracer
			if side != nobody {
				if t, err = startTracer(ctx, both[side-first].program, tracing{hold: hold}); err != nil {
					return cost{}, err
				}
			}
			time.Sleep(quietFor) // in each, so that they differ in nothing else
			of[side], err = serveBoth(ctx, both, next, c.requests)
			next += c.requests
			if t != nil {
				err = errors.Join(err, t.stop())
			}
			if err != nil {
				return cost{}, err
			}
			for i, u := range of[side] {
				state := stateOf(first+i, side)
				cpu[state], p99[state] = append(cpu[state], u.cpu), append(p99[state], u.p99)
			}
		}
		added = append(added, addedBy(&of))
		whole = append(whole, wholeOf(&of))
	}
	before := stats.total()
	if err := probed(ctx, both[0].program, stats, func() error {
		_, err := serveBoth(ctx, both, next, c.requests)
		return err
	}); err != nil {
		return cost{}, err
	}
	c.programs = (stats.total() - before) / time.Duration(c.requests)
	for state := range states {
		c.cpu[state], c.p99[state] = median(cpu[state]), median(p99[state])
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
