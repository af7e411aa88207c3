// Package launch starts the demo's processes and stops exactly those. Each child leads its own
// process group and dies with the demo, however that ends.
package launch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	Name string
	Path string
	Args []string
	// Env is the whole environment of the child.
	Env []string
	// Listening: the child prints "listening host:port" when it is ready, and Start waits for it.
	Listening bool
}

// Child is a started process.
type Child struct {
	Name string
	// Addr is host:port from the "listening" line.
	Addr string
	// Log is the file with its standard output and error.
	Log string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has been reaped; err is set before
	err  error
}

// PID of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Exited says whether the process is gone, and how it ended.
func (c *Child) Exited() (bool, error) {
	select {
	case <-c.done:
		return true, c.err
	default:
		return false, nil
	}
}

// Group starts and stops processes. Its methods may be called from any goroutine.
type Group struct {
	work chan func()

	mu       sync.Mutex // guards the fields below
	dir      string
	children []*Child
}

// NewGroup returns a group without children. SetDir comes before the first Start, Close ends it.
func NewGroup() *Group {
	g := &Group{work: make(chan func())}
	// Pdeathsig fires when the *thread* that forked ends, so all forks come from one locked thread
	// that lives as long as the group.
	go func() {
		runtime.LockOSThread()
		for f := range g.work {
			f()
		}
	}()
	return g
}

// SetDir says where children run and their logs are written.
func (g *Group) SetDir(dir string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dir = dir
}

// RemoveDir removes that directory and what is in it.
func (g *Group) RemoveDir() {
	if dir := g.workDir(); dir != "" {
		_ = os.RemoveAll(dir)
	}
}

func (g *Group) workDir() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dir
}

// Start starts one process and, if it announces its address, waits for that.
func (g *Group) Start(ctx context.Context, spec Spec) (*Child, error) {
	dir := g.workDir()
	c := &Child{Name: spec.Name, Log: filepath.Join(dir, spec.Name+".log"), done: make(chan struct{})}
	log, err := os.Create(c.Log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	c.cmd = exec.Command(spec.Path, spec.Args...)
	c.cmd.Env, c.cmd.Dir, c.cmd.Stderr = spec.Env, dir, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out io.ReadCloser
	if spec.Listening {
		if out, err = c.cmd.StdoutPipe(); err != nil {
			_ = log.Close()
			return nil, fmt.Errorf("start %s: %w", spec.Name, err)
		}
	} else {
		c.cmd.Stdout = log
	}
	started := make(chan error)
	g.work <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s (%s): %w", spec.Name, spec.Path, err)
	}
	g.mu.Lock()
	g.children = append(g.children, c)
	g.mu.Unlock()

	addr := make(chan string, 1)
	go func() {
		defer log.Close()
		if out != nil {
			r := bufio.NewReader(out)
			line, _ := r.ReadString('\n')
			fmt.Fprint(log, line)
			if a, ok := strings.CutPrefix(strings.TrimSpace(line), "listening "); ok {
				addr <- a
			}
			_, _ = io.Copy(log, r)
		}
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	if !spec.Listening {
		return c, nil
	}
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	select {
	case c.Addr = <-addr:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("%s ended before it was ready (%w); its output:\n%s", spec.Name, orExited(c.err), c.Tail(20))
	case <-limit.Done():
		return nil, fmt.Errorf("%s did not say where it listens within 20 s: %w; its output:\n%s", spec.Name, limit.Err(), c.Tail(20))
	}
}

var errExited = errors.New("exit code 0")

func orExited(err error) error {
	if err == nil {
		return errExited
	}
	return err
}

// Tail is the end of the child's log, at most n lines.
func (c *Child) Tail(n int) string {
	f, err := os.Open(c.Log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > 64<<10 {
		_, _ = f.Seek(-64<<10, io.SeekEnd)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Stop ends one child: SIGTERM, then after grace SIGKILL to its process group. An error says that
// it had to be killed or ended with a failure.
func (c *Child) Stop(grace time.Duration) error {
	if gone, err := c.Exited(); gone {
		return endError(c, err)
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
		return endError(c, c.err)
	case <-time.After(grace):
	}
	c.Kill()
	<-c.done
	return fmt.Errorf("%s (pid %d) did not stop within %s and was killed", c.Name, c.PID(), grace)
}

func endError(c *Child, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s (pid %d) ended with %w; its output:\n%s", c.Name, c.PID(), err, c.Tail(20))
	}
	return nil
}

// Kill sends SIGKILL to the child's process group. The group's id is not reused while the child is
// not reaped.
func (c *Child) Kill() {
	if gone, _ := c.Exited(); !gone {
		_ = syscall.Kill(-c.PID(), syscall.SIGKILL)
	}
}

// Children that were started, in order.
func (g *Group) Children() []*Child {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*Child(nil), g.children...)
}

// Stop ends all children that still run, the last started first.
func (g *Group) Stop(grace time.Duration) error {
	var errs []error
	all := g.Children()
	for i := len(all) - 1; i >= 0; i-- {
		errs = append(errs, all[i].Stop(grace))
	}
	return errors.Join(errs...)
}

// Kill kills all children at once.
func (g *Group) Kill() {
	for _, c := range g.Children() {
		c.Kill()
	}
}

// Close ends the starting thread. Children must be stopped before.
func (g *Group) Close() { close(g.work) }
