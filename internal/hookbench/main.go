// Command hookbench measures what the system call programs of one or several BPF objects add to a request: the CPU
// time of a server that reads it, makes a call, reads that call's response and answers, four system calls that move
// bytes. Objects take turns with none in one run, on one process and one CPU, so that what they are compared with is
// the same machine in the same second.
//
//	go run ./internal/hookbench                                    the object of this tree
//	go run ./internal/hookbench -objects old.o,new.o -cold 4096    two, with cold caches
//	go run ./internal/hookbench -unselected                        what a process pays that is not traced
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	objects          []string
	rounds, requests int
	cold             int // KiB
	unselected       bool
	ring             int // bytes
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := parseFlags(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hookbench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (o options, err error) {
	fs := flag.NewFlagSet("hookbench", flag.ContinueOnError)
	objects := fs.String("objects", "", "comma-separated files, as bpf/socket_x86_bpfel.o; without it that of this tree")
	fs.IntVar(&o.rounds, "rounds", 21, "how often each takes its turn")
	fs.IntVar(&o.requests, "requests", 1000, "requests of a turn")
	fs.IntVar(&o.cold, "cold", 0, "KiB of memory that are read before each message, at most 262144: 4096 make the "+
		"caches as cold as they are in a busy machine")
	fs.BoolVar(&o.unselected, "unselected", false, "do not select the server: it pays for the others")
	ring := fs.Int("ring", 16, "MiB of the ring buffer, a power of two; it is read all the while")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.ring = *ring << 20
	switch {
	case o.rounds < 1 || o.requests < 1:
		return o, fmt.Errorf("-rounds %d, -requests %d: at least 1", o.rounds, o.requests)
	case o.cold < 0 || o.cold > 256<<10:
		return o, fmt.Errorf("-cold %d: 0 to 262144 KiB", o.cold)
	case *ring < 1 || *ring > 1024 || *ring&(*ring-1) != 0:
		return o, fmt.Errorf("-ring %d: a power of two up to 1024", *ring)
	}
	if *objects != "" {
		o.objects = strings.Split(*objects, ",")
	}
	return o, nil
}

func run(ctx context.Context, o options) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	variants, err := load(o, s.pid)
	defer func() {
		for _, v := range variants {
			err = errors.Join(err, v.close())
		}
	}()
	if err != nil {
		return err
	}
	var none []float64
	used := make([][]float64, len(variants))
	for range o.rounds {
		cpu, err := s.measure(o)
		if err != nil {
			return err
		}
		none = append(none, cpu)
		for i, v := range variants {
			detach, err := v.attach()
			if err != nil {
				return err
			}
			cpu, err := s.measure(o)
			if err := errors.Join(err, detach()); err != nil {
				return err
			}
			used[i] = append(used[i], cpu)
		}
	}
	fmt.Printf("%-32s %8.0f ns of CPU time a request\n", "none", quartile(none, 2))
	for i, v := range variants {
		var added []float64
		for round, cpu := range used[i] {
			added = append(added, cpu-none[round])
		}
		fmt.Printf("%-32s %+8.0f (quarters of the rounds: %+.0f to %+.0f)\n", v.name,
			quartile(added, 2), quartile(added, 1), quartile(added, 3))
	}
	return nil
}

// quartile 2 is the median.
func quartile(of []float64, n int) float64 {
	return slices.Sorted(slices.Values(of))[min(len(of)*n/4, len(of)-1)]
}
