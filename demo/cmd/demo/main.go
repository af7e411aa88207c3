// Demo shows complete traces of services that know nothing of tracing: it starts the collector and
// a small set of services, sends requests, and prints the traces the collector made of them. With
// -check it decides instead whether every trace is right; see docs/demo.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type options struct {
	check       bool
	requests    int
	concurrency int
	collector   string
	config      string
	window      time.Duration
	order       string
	early       bool
	keep        bool
	color       bool
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := newDemo(o)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Nobody reads any more, as after "make demo | head": stop, and print into the void. The signal comes as well
	// when a peer of one of our connections has gone, which is for whoever writes to it to handle.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	go func() {
		for range pipes {
			if unread(os.Stdout) || unread(os.Stderr) {
				cancel()
			}
		}
	}()
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "demo: stopping; once more to kill")
		cancel()
		<-signals
		installing.Lock()
		d.group.Kill()
		d.group.RemoveDir()
		os.Exit(130)
	}()
	err = d.run(ctx)
	stopped := ctx.Err() != nil
	cancel()
	switch {
	case stopped:
		fmt.Fprintln(os.Stderr, "demo: stopped before its end")
		os.Exit(130)
	case err != nil:
		os.Exit(1)
	}
}

// unread says of a pipe, or a connection, that what is written to it reaches nobody (poll(2), POLLERR).
func unread(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}

// Orders of start: which services exist before the collector.
const (
	orderHalf   = "half"   // redis, tax, pricing and inventory
	orderBefore = "before" // all
	orderAfter  = "after"  // none
)

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.BoolVar(&o.check, "check", false, "send many requests at once and check every trace; exit code 1 when anything is wrong")
	f.IntVar(&o.requests, "requests", 0, "requests to send (default 5, with -check 200)")
	f.IntVar(&o.concurrency, "concurrency", 0, "requests at a time (default 1, with -check 16)")
	f.StringVar(&o.collector, "collector", "", "collector binary (default: build/otelcol-ebpf, made by make build)")
	f.StringVar(&o.config, "config", "", "collector configuration (default: otelcol-ebpf/config/standalone.yaml)")
	f.DurationVar(&o.window, "window", 0, "how long ebpf_link holds spans, 1s to 60s (default 8s, with -check 12s)")
	f.StringVar(&o.order, "order", orderHalf, "services that exist before the collector: half, before (all) or after (none)")
	f.BoolVar(&o.early, "early", false, "send the requests from an address that is not loopback, and say that nothing is traced there: whole traces leave early")
	f.BoolVar(&o.keep, "keep", false, "keep the directory with logs and binaries")
	noColor := f.Bool("no-color", false, "no colours, not even on a terminal")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.requests == 0 {
		o.requests = 5
		if o.check {
			o.requests = 200
		}
	}
	if o.concurrency == 0 {
		o.concurrency = 1
		if o.check {
			o.concurrency = 16
		}
	}
	// Longer than the 5 s for which the receiver holds a call whose request it does not know; a machine that is
	// busy with other things, as CI's, takes its time with the rest.
	if o.window == 0 {
		o.window = 8 * time.Second
		if o.check {
			o.window = 12 * time.Second
		}
	}
	var errs []error
	refuse := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(f.NArg() == 0, "unknown arguments %q", f.Args())
	refuse(o.requests >= 1 && o.requests <= 20000, "-requests=%d: must be 1 to 20000", o.requests)
	refuse(o.concurrency >= 1 && o.concurrency <= 256, "-concurrency=%d: must be 1 to 256", o.concurrency)
	refuse(o.window >= time.Second && o.window <= time.Minute, "-window=%s: must be 1s to 1m", o.window)
	refuse(o.order == orderHalf || o.order == orderBefore || o.order == orderAfter,
		"-order=%s: must be half, before or after", o.order)
	st, err := os.Stdout.Stat()
	terminal := err == nil && st.Mode()&os.ModeCharDevice != 0
	o.color = terminal && !*noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return o, errors.Join(errs...)
}
