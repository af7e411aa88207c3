package main

import (
	"bufio"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed threads
var sources embed.FS

const goShapes = "github.com/otelcol-ebpf/otelcol-ebpf/internal/accuracy/goshapes"

// builder makes the programs that are traced, each once.
type builder struct {
	dir   string
	built map[string][]string
}

// command returns how a program is started, without the arguments of the workload.
func (b *builder) command(ctx context.Context, program string) ([]string, error) {
	if c := b.built[program]; c != nil {
		return c, nil
	}
	out := filepath.Join(b.dir, program)
	var err error
	c := []string{out}
	switch program {
	case "go":
		err = runTool(ctx, "go", "build", "-o", out, goShapes)
	case "python":
		c, err = b.python(ctx)
	case "c":
		var source string
		if source, err = b.source("threads.c"); err == nil {
			err = runTool(ctx, "gcc", "-O2", "-pthread", "-o", out, source)
		}
	default:
		err = fmt.Errorf("nothing builds %q", program)
	}
	if err != nil {
		return nil, err
	}
	b.built[program] = c
	return c, nil
}

// python asks the interpreter where it is: what PATH has may be a script that starts it.
func (b *builder) python(ctx context.Context) ([]string, error) {
	exe, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return nil, fmt.Errorf("find python3 (install it): %w", err)
	}
	source, err := b.source("threads.py")
	return []string{strings.TrimSpace(string(exe)), source}, err
}

func (b *builder) source(name string) (string, error) {
	text, err := sources.ReadFile("threads/" + name)
	if err != nil {
		return "", err
	}
	to := filepath.Join(b.dir, name)
	return to, os.WriteFile(to, text, 0o644)
}

func runTool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// program is a running child.
type program struct {
	cmd  *exec.Cmd
	in   io.Closer
	addr string
}

// start runs a workload's program and waits for its address.
func (b *builder) start(ctx context.Context, w workload, backend string, pool int) (*program, error) {
	command, err := b.command(ctx, w.program)
	if err != nil {
		return nil, err
	}
	args := command[1:]
	if w.program == "go" {
		args = append(args, "-shape", w.shape, "-backend", backend, "-pool", strconv.Itoa(pool))
	} else {
		args = append(args, w.shape, backend, strconv.Itoa(pool))
	}
	p := &program{cmd: exec.CommandContext(ctx, command[0], args...)}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.in = in
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = p.stop()
		return nil, fmt.Errorf("%s did not print its address: %w", strings.Join(p.cmd.Args, " "), err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// stop ends the program with its standard input, or by its pid when it does not listen.
func (p *program) stop() error {
	_ = p.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	return p.cmd.Wait()
}
