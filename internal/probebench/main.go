// Command probebench measures what capture costs the traced process.
//
// nginx and a Go net/http server are loaded with wrk, in three ways by turns: without tracing (A),
// with empty BPF programs on the hooks of the receiver (B), and with the whole receiver selecting
// exactly that server (C). The ratios compare runs of the same round, so slow changes of the
// machine cancel out. Only processes that this command started are traced, on loopback.
//
//	go run ./internal/probebench
//	go run ./internal/probebench -servers go -rounds 9 -time 4s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	servers     []string
	rounds      int
	time        time.Duration
	connections int
	threads     int
	empty, full bool
}

func main() {
	// A part of this command that runs as a child of it.
	if len(os.Args) > 1 && os.Args[1] == emptyArg {
		exitOn(runEmptyHooks())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	stop()
	exitOn(err)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("probebench", flag.ContinueOnError)
	servers := fs.String("servers", "nginx,go", "comma-separated servers to load")
	variants := fs.String("variants", "A,B,C", "A is always measured; B: empty programs, C: full capture")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds per server")
	fs.DurationVar(&o.time, "time", 4*time.Second, "time of one run, in whole seconds")
	fs.IntVar(&o.connections, "connections", 32, "connections that wrk keeps open")
	fs.IntVar(&o.threads, "threads", 1, "threads of wrk")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.servers = strings.Split(*servers, ",")
	for _, s := range o.servers {
		if s != "nginx" && s != "go" {
			return o, fmt.Errorf("-servers: unknown server %q, known are nginx and go", s)
		}
	}
	for v := range strings.SplitSeq(*variants, ",") {
		switch v {
		case "A":
		case "B":
			o.empty = true
		case "C":
			o.full = true
		default:
			return o, fmt.Errorf("-variants: unknown variant %q, known are A, B and C", v)
		}
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", fs.Arg(0))
	}
	if o.rounds < 1 || o.time < time.Second || o.time%time.Second != 0 || o.threads < 1 || o.connections < o.threads {
		return o, errors.New("-rounds and -threads must be 1 or more, -time whole seconds, -connections at least -threads")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("loading BPF programs needs root: run it as root, for example with sudo")
	}
	needed := map[string]string{"wrk": "wrk"}
	if slices.Contains(o.servers, "nginx") {
		needed["nginx"] = "nginx-light"
	}
	for program, pkg := range needed {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not in PATH: install Debian's package %s", program, pkg)
		}
	}
	work, err := os.MkdirTemp("", "probe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// nginx's unprivileged worker passes through it.
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	b := bench{opts: o, work: work}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if o.full {
		if b.tracer, err = build(ctx, work, "tracer"); err != nil {
			return err
		}
	}
	var all []figures
	for _, name := range o.servers {
		f, err := b.server(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.print(os.Stdout)
		all = append(all, f)
	}
	return lastLine(os.Stdout, all, o)
}

// build compiles a program in a folder beside this file.
func build(ctx context.Context, work, name string) (string, error) {
	const module = "github.com/otelcol-ebpf/otelcol-ebpf/internal/probebench/"
	file := filepath.Join(work, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, module+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", module+name, err, strings.TrimSpace(string(out)))
	}
	return file, nil
}
