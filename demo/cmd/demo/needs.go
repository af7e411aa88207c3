package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// mayTrace is an error when the collector could not load BPF programs: better now than after a build
// of some minutes. Which capabilities it needs in full the collector says itself.
func mayTrace() error {
	has, err := capability.Effective()
	if err != nil {
		return err
	}
	if !has.Has(capability.BPF) && !has.Has(capability.SysAdmin) {
		return fmt.Errorf("tracing needs root (uid %d has no CAP_BPF): run it as root, for example with sudo", os.Geteuid())
	}
	return nil
}

// findRoot returns the repository's directory: the one above the current with our go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		b, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module github.com/otelcol-ebpf/otelcol-ebpf\n") {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not inside the otelcol-ebpf repository: run the demo from a clone of it", dir)
		}
	}
}

// program finds an executable, or installs its Debian package when we may.
func program(ctx context.Context, say func(string, ...any), pkg string, names ...string) (string, error) {
	if p := look(names); p != "" {
		return p, nil
	}
	remedy := fmt.Sprintf("%s is missing: install it (Debian, Ubuntu: apt-get install %s)", names[len(names)-1], pkg)
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", errors.New(remedy + "; as root on Debian the demo does it itself")
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	say("installing %s", pkg)
	if err := install(apt, pkg); err != nil {
		return "", fmt.Errorf("%s: %w", remedy, err)
	}
	if p := look(names); p != "" {
		return p, nil
	}
	return "", fmt.Errorf("%s: the package is installed, the program is not there", remedy)
}

func look(names []string) string {
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	return ""
}

// policyFile is asked by Debian's package scripts whether they may start a service; exit code 101
// forbids it (invoke-rc.d(8)). Tests put it elsewhere.
var policyFile = "/usr/sbin/policy-rc.d"

// installing is held while apt-get works. Who kills the demo waits for it: an interrupted dpkg needs
// repair by hand, and our policyFile would stay.
var installing sync.Mutex

func install(apt, pkg string) error {
	installing.Lock()
	defer installing.Unlock()
	f, err := os.OpenFile(policyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	switch {
	case err == nil:
		_, err = f.WriteString("#!/bin/sh\nexit 101\n")
		defer os.Remove(policyFile)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	for _, args := range [][]string{{"update", "-q"}, {"install", "-q", "-y", "--no-install-recommends", pkg}} {
		cmd := exec.Command(apt, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a Ctrl-C
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// build runs a command in the repository and returns its output when it fails. When ctx ends, the
// command and all that it started are interrupted. Temporary files, which an interrupted go leaves,
// are in dir.
func build(ctx context.Context, root, dir string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOTMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return nil
}
