package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// guestEnv is set for tests that run in the guest.
const guestEnv = "KERNEL_TEST_GUEST"

// newNonce makes the word that begins each line of the harness itself, so that nothing a test
// prints can be taken for one.
func newNonce() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return "kt-" + hex.EncodeToString(b[:]), nil
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// initScript is process 1 of the guest. The kernel's own messages go to the first serial port and
// the tests' output to the second, so neither can break the other's lines.
func initScript(suites []suite, o options, nonce string) string {
	var b strings.Builder
	b.WriteString("#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin HOME=/root TMPDIR=/tmp REQUIRE_BPF=1 " + guestEnv + "=1\n")
	b.WriteString("mount -t devtmpfs dev /dev\nexec >/dev/ttyS1 2>&1 </dev/null\nstty -F /dev/ttyS1 raw\n")
	fmt.Fprintf(&b, "m() { mkdir -p \"$3\" && mount -t \"$1\" \"$2\" \"$3\" || echo %s MOUNT \"$3\"; }\n", nonce)
	for _, m := range [][3]string{
		{"proc", "proc", "/proc"},
		{"sysfs", "sys", "/sys"},
		{"tmpfs", "tmp", "/tmp"},
		{"tmpfs", "run", "/run"},
		{"tracefs", "tracefs", "/sys/kernel/tracing"},
		{"debugfs", "debugfs", "/sys/kernel/debug"},
		{"bpf", "bpf", "/sys/fs/bpf"},
		{"cgroup2", "cgroup2", "/sys/fs/cgroup"},
		{"devpts", "devpts", "/dev/pts"},
		{"tmpfs", "shm", "/dev/shm"},
	} {
		fmt.Fprintf(&b, "m %s %s %s\n", m[0], m[1], m[2])
	}
	b.WriteString("hostname kernel-test\nip link set lo up || ifconfig lo 127.0.0.1 up\n")
	fmt.Fprintf(&b, "echo %s UP $(uname -r)\n", nonce)
	for _, s := range suites {
		fmt.Fprintf(&b, "cd /%s; echo %s BEGIN %d\n", shellQuote(s.guestDir()), nonce, s.index)
		fmt.Fprintf(&b, "/%s -test.v=test2json -test.count=%d -test.run %s -test.timeout %s\n",
			shellQuote(s.guestBinary()), o.count, shellQuote(o.run.String()), o.testTimeout)
		// The leading newline ends whatever line the test left open.
		fmt.Fprintf(&b, "rc=$?; echo; echo %s END %d $rc\n", nonce, s.index)
	}
	// Leaving the port drains it.
	fmt.Fprintf(&b, "echo %s DONE\nexec >/dev/console 2>&1\npoweroff -f\n", nonce)
	return b.String()
}

type bootSpec struct {
	qemu      string
	kernel    kernel
	initramfs string
	suites    []suite
	nonce     string
	opts      options
	logDir    string
}

func (s bootSpec) args(console string) []string {
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-accel", s.opts.accel, "-cpu", "max",
		"-smp", fmt.Sprint(s.opts.cpus), "-m", fmt.Sprint(s.opts.memoryMiB),
		"-kernel", s.kernel.image, "-initrd", s.initramfs,
		"-append", "console=ttyS0 rdinit=/init panic=-1 random.trust_cpu=on mitigations=off nokaslr loglevel=4",
		"-serial", "file:" + console,
		"-chardev", "stdio,id=tests,signal=off", "-serial", "chardev:tests",
	}
}

// bootAndTest runs one kernel to its end, or to the time limit. It always returns a report; what
// went wrong with the guest itself is in its fault.
func bootAndTest(ctx context.Context, s bootSpec) report {
	r := newReport(s.kernel, s.suites)
	started := time.Now()
	r.fault = r.follow(ctx, s, started)
	r.took = time.Since(started)
	r.close()
	return r
}

var (
	errBoot  = errors.New("user space did not come up in time: raise -boot-timeout if the machine is busy")
	errTests = errors.New("the tests did not end in time: raise -test-timeout, or look for a test that hangs")
)

func (r *report) follow(ctx context.Context, s bootSpec, started time.Time) error {
	if err := os.MkdirAll(s.logDir, 0o755); err != nil {
		return err
	}
	r.console = filepath.Join(s.logDir, s.kernel.Series+".console.txt")
	r.log = filepath.Join(s.logDir, s.kernel.Series+".tests.txt")
	if err := os.WriteFile(r.console, nil, 0o644); err != nil {
		return err
	}
	log, err := os.Create(r.log)
	if err != nil {
		return err
	}
	defer log.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(s.opts.bootTimeout, func() { cancel(errBoot) })
	defer limit.Stop()

	cmd := exec.CommandContext(ctx, s.qemu, s.args(r.console)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.qemu, err)
	}
	sink := io.Writer(log)
	if s.opts.verbose {
		sink = io.MultiWriter(log, os.Stdout)
	}
	parser := resultParser{report: r, nonce: s.nonce, up: func() {
		r.boot = time.Since(started)
		limit.Stop()
		// Packages run one after the other, each under its own -test.timeout. The margin lets
		// the guest report that itself.
		all := time.Duration(len(s.suites))*s.opts.testTimeout + 30*time.Second
		limit = time.AfterFunc(all, func() { cancel(errTests) })
	}}
	readErr := parser.read(bufio.NewReaderSize(io.TeeReader(stdout, sink), 1<<16))
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case readErr != nil:
		return fmt.Errorf("read the guest's output: %w", readErr)
	case waitErr != nil:
		return fmt.Errorf("%s: %w: %s", s.qemu, waitErr, strings.TrimSpace(stderr.String()))
	case !r.done:
		return errors.New("the guest ended before its tests did: it panicked, or init died; see its console below")
	}
	return nil
}
