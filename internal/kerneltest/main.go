// Command kerneltest runs Go tests on old kernels.
//
// It fetches Debian's cloud kernels through the machine's own apt mirror, boots each under QEMU's
// software emulation with an initramfs made of busybox and the test binaries, and reads the
// results from a serial port. Nothing is installed and root is not needed: the guest is root.
//
//	go run ./internal/kerneltest
//	go run ./internal/kerneltest -kernels 5.10 -packages ./bpf -run TestKernelLoad -v
//
// The exit code is non-zero when a test failed, gave no result, or when none ran on some kernel.
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
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	defaultKernels  = "5.10,6.1,6.12"
	defaultPackages = "./internal/kerneltest,./internal/capability,./bpf/...,./receiver/ebpfspanreceiver/..."
)

type options struct {
	kernels     []series
	packages    []string
	run         *regexp.Regexp
	cache       string
	mirror      string
	refresh     bool
	fetchOnly   bool
	verbose     bool
	bootTimeout time.Duration
	testTimeout time.Duration
	memoryMiB   int
	cpus        int
	count       int
	atOnce      int
	accel       string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	opts, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernel-test:", err)
		os.Exit(2)
	}
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "kernel-test:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("kerneltest", flag.ContinueOnError)
	kernels := fs.String("kernels", defaultKernels, "comma-separated kernel series")
	packages := fs.String("packages", defaultPackages, "comma-separated package patterns")
	pattern := fs.String("run", "^TestKernel", "regular expression of top-level test names")
	fs.StringVar(&o.cache, "cache", "", "folder of kernels and logs (default .cache/kernels of the module)")
	fs.StringVar(&o.mirror, "mirror", "", "base URL of a Debian archive, instead of the one apt uses here")
	fs.BoolVar(&o.refresh, "refresh", false, "look for newer kernels even when they are cached")
	fs.BoolVar(&o.fetchOnly, "fetch-only", false, "fetch the kernels and stop")
	fs.BoolVar(&o.verbose, "v", false, "print the guest's output as it comes")
	fs.DurationVar(&o.bootTimeout, "boot-timeout", 3*time.Minute, "time until user space must be up")
	fs.DurationVar(&o.testTimeout, "test-timeout", 20*time.Minute, "time that one package's tests may take")
	fs.IntVar(&o.memoryMiB, "memory", 2048, "guest memory in MiB")
	fs.IntVar(&o.cpus, "cpus", 2, "guest CPUs")
	fs.IntVar(&o.count, "count", 1, "how often each test runs")
	fs.IntVar(&o.atOnce, "at-once", min(2, runtime.NumCPU()), "kernels that run at once; each keeps one CPU busy. With -v it is 1")
	fs.StringVar(&o.accel, "accel", "tcg,thread=single", "QEMU's -accel")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", fs.Arg(0))
	}
	var err error
	if o.run, err = regexp.Compile(*pattern); err != nil {
		return o, fmt.Errorf("-run %q: %w", *pattern, err)
	}
	for _, name := range splitList(*kernels) {
		s, err := seriesByName(name)
		if err != nil {
			return o, fmt.Errorf("-kernels: %w", err)
		}
		o.kernels = append(o.kernels, s)
	}
	o.packages = splitList(*packages)
	switch {
	case len(o.kernels) == 0:
		return o, errors.New("-kernels: at least one series is needed, for example -kernels 6.1")
	case len(o.packages) == 0:
		return o, errors.New("-packages: at least one pattern is needed, for example -packages ./bpf")
	case o.memoryMiB < 512 || o.cpus < 1 || o.count < 1 || o.atOnce < 1 || o.bootTimeout <= 0 || o.testTimeout <= 0:
		return o, errors.New("-memory must be at least 512, -cpus, -count and -at-once at least 1, and both timeouts positive")
	}
	if o.verbose {
		o.atOnce = 1 // or lines of two kernels would mix
	}
	return o, nil
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func run(ctx context.Context, o options) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	if o.cache == "" {
		o.cache = filepath.Join(root, ".cache", "kernels")
	}
	if o.cache, err = filepath.Abs(o.cache); err != nil {
		return err
	}
	var qemu, busybox string
	if !o.fetchOnly {
		if qemu, err = exec.LookPath("qemu-system-x86_64"); err != nil {
			return errors.New("qemu-system-x86_64 is not in PATH: install Debian's package qemu-system-x86")
		}
		if busybox, err = findBusybox(); err != nil {
			return err
		}
	}
	kernels, err := fetchKernels(ctx, o)
	if err != nil {
		return err
	}
	if o.fetchOnly {
		return nil
	}

	work, err := os.MkdirTemp("", "kernel-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	suites, err := buildSuites(ctx, root, work, o.packages, o.run)
	if err != nil {
		return err
	}
	names := 0
	for _, s := range suites {
		names += len(s.tests)
	}
	if names == 0 {
		return fmt.Errorf("no test matches -run %q in %s: nothing would be tested", o.run, strings.Join(o.packages, " "))
	}
	fmt.Printf("kernel-test: %d tests of %d packages\n", names, len(suites))

	nonce, err := newNonce()
	if err != nil {
		return err
	}
	image := filepath.Join(work, "initramfs.cpio")
	if err := writeInitramfs(image, busybox, initScript(suites, o, nonce), suites); err != nil {
		return err
	}
	reports := forEach(kernels, o.atOnce, func(k kernel) report {
		return bootAndTest(ctx, bootSpec{
			qemu: qemu, kernel: k, initramfs: image, suites: suites, nonce: nonce, opts: o,
			logDir: filepath.Join(o.cache, "log"),
		})
	}, func(r report) { r.print(os.Stdout) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return summarize(os.Stdout, reports, suites)
}

// forEach runs one job per item, so many of them at once, and shows each result when those before it are shown.
func forEach[T, R any](items []T, atOnce int, job func(T) R, show func(R)) []R {
	results := make([]R, len(items))
	ended := make([]chan struct{}, len(items))
	slots := make(chan struct{}, atOnce)
	for i := range items {
		ended[i] = make(chan struct{})
	}
	go func() {
		for i, item := range items {
			slots <- struct{}{}
			go func() {
				results[i] = job(item)
				<-slots
				close(ended[i])
			}()
		}
	}()
	for i := range items {
		<-ended[i]
		show(results[i])
	}
	return results
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(out), nil
}

// output runs a command to its end and returns what it wrote to stdout. The error carries stderr.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
