package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The contract of a program of ours. Its arguments are those of the command, then the shape, the
// backend's address, the size of pools and the args of its row. It prints the address at which it
// listens as its first line, and ends when its standard input does. GET /r/<id> makes calls
// GET /d/<id>/<op> to the backend, and all the while it makes calls GET /d/bg/<n>, which belong to no
// request. With GARBAGE in its environment it has its garbage collected all the time, where the pressure of its language
// says so.

// command starts a program.
type command struct {
	args, env []string
	// addr is where a server listens that does not print it. Such a server ends with SIGTERM.
	addr string
}

// site is what a server that knows no contract is told, for its configuration.
type site struct {
	dir, listen, backend string
	pool                 int
}

// builder makes the programs that are traced, each once.
type builder struct {
	dir string

	building sync.Mutex // guards built
	built    map[string]command
	writing  sync.Mutex
	sites    atomic.Int64
}

// once makes what is called name, into out or beside it.
func (b *builder) once(name string, build func(out string) (command, error)) (command, error) {
	b.building.Lock()
	defer b.building.Unlock()
	if c, ok := b.built[name]; ok {
		return c, nil
	}
	out := filepath.Join(b.dir, "bin", strings.NewReplacer("/", "-", ".", "-").Replace(name))
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return command{}, err
	}
	c, err := build(out)
	if err != nil {
		return command{}, err
	}
	b.built[name] = c
	return c, nil
}

// source writes an embedded file or, with all that is in it, directory, and returns where it is. What is
// there stays: another program may be reading it.
func (b *builder) source(files embed.FS, name string) (string, error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	return b.write(files, name)
}

func (b *builder) write(files embed.FS, name string) (string, error) {
	to := filepath.Join(b.dir, filepath.FromSlash(name))
	if entries, err := files.ReadDir(name); err == nil {
		for _, e := range entries {
			if _, err := b.write(files, path.Join(name, e.Name())); err != nil {
				return "", err
			}
		}
		return to, nil
	}
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	text, err := files.ReadFile(name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	return to, os.WriteFile(to, text, 0o644)
}

// runTool runs a compiler and the like; its output is in the error.
func runTool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// command returns how a workload's program is started.
func (b *builder) command(ctx context.Context, w *workload, backend string, pool int) (command, error) {
	var c command
	var err error
	if w.serve == nil {
		c, err = w.language.build(ctx, b, w)
		c.args = append(slices.Clone(c.args), w.shape, backend, strconv.Itoa(pool))
	} else {
		s := site{dir: filepath.Join(b.dir, fmt.Sprint("site", b.sites.Add(1))), backend: backend, pool: pool}
		if s.listen, err = freeAddress(); err != nil {
			return c, err
		}
		if err = os.MkdirAll(s.dir, 0o755); err != nil {
			return c, err
		}
		c, err = w.serve(ctx, b, w, s)
		c.addr = s.listen
	}
	c.args = append(slices.Clone(c.args), w.args...)
	c.env = append(slices.Clone(c.env), w.env...)
	return c, err
}

// copied makes c run a copy of its executable.
func (b *builder) copied(ctx context.Context, l *language, c command) (command, error) {
	name, err := exec.LookPath(c.args[0])
	if err != nil {
		return c, err
	}
	made, err := b.once("copy of "+name, func(out string) (command, error) {
		env, err := l.apart(ctx, name, out+"-files")
		if err != nil {
			return command{}, err
		}
		return command{args: []string{out}, env: env}, copyFile(out, name)
	})
	c.args = append(slices.Clone(made.args), c.args[1:]...)
	c.env = append(slices.Clone(c.env), made.env...)
	return c, err
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// copyDir copies the files of a directory, not what is below.
func copyDir(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		if err := copyFile(filepath.Join(to, e.Name()), filepath.Join(from, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// alone: what was copied runs as it is.
func alone(context.Context, string, string) ([]string, error) { return nil, nil }

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// program is a running child.
type program struct {
	cmd    *exec.Cmd
	in     io.Closer
	addr   string
	server bool   // ends with SIGTERM, not with its standard input
	mark   string // a variable of its environment that nothing else has
}

// markName is the variable by which the processes are known that a program starts later.
const markName = "ACCURACY_CELL"

// start runs a workload's program and waits until it listens.
func (b *builder) start(ctx context.Context, w *workload, backend string, s setting) (*program, error) {
	c, err := b.command(ctx, w, backend, s.poolSize())
	if err != nil {
		return nil, err
	}
	if s.Noise == gc {
		c.env = append(c.env, w.language.pressure...)
	}
	if s.Apart && w.serve == nil && w.language.apart != nil {
		if c, err = b.copied(ctx, w.language, c); err != nil {
			return nil, err
		}
	}
	p := &program{
		cmd: exec.Command(c.args[0], c.args[1:]...), server: c.addr != "", addr: c.addr,
		mark: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), append(c.env, markName+"="+p.mark)...)
	// A server and all that it starts end together.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	var out io.Reader
	if !p.server {
		if out, err = p.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	// It goes on when ctx, which is that of its start, has ended.
	defer context.AfterFunc(ctx, func() { _ = p.signal(syscall.SIGKILL) })()
	if p.server {
		err = awaitListener(ctx, p.addr)
	} else {
		p.addr, err = bufio.NewReader(out).ReadString('\n')
		p.addr = strings.TrimSpace(p.addr)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not say that it listens: %w", strings.Join(p.cmd.Args, " "), err), p.stop())
	}
	return p, nil
}

// askOnce asks for something: a server listens before those of its processes run that serve.
func askOnce(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /r/00000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func awaitListener(ctx context.Context, addr string) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := askOnce(addr)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pids are those of the process and of what it has started.
func (p *program) pids() []int { return descendants(p.cmd.Process.Pid) }

func descendants(pid int) []int {
	out := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range lists {
		text, _ := os.ReadFile(name)
		for _, f := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(f); err == nil {
				out = append(out, descendants(child)...)
			}
		}
	}
	return out
}

func (p *program) signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// stop ends the program, with its process group when it does not listen.
func (p *program) stop() error {
	_ = p.in.Close()
	if p.server {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	kill := time.AfterFunc(5*time.Second, func() { _ = p.signal(syscall.SIGKILL) })
	defer kill.Stop()
	err := p.cmd.Wait()
	_ = p.signal(syscall.SIGKILL) // what it left behind
	if p.server {
		return nil // each server has its own idea of the status after SIGTERM
	}
	return err
}
