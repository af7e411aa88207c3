package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The Collector has one core for itself, the loader the other.
const (
	collectorCore = 0
	loaderCore    = 1
)

// child is a running Collector.
type child struct {
	cmd      *exec.Cmd
	log      bytes.Buffer
	counter  *os.File
	endpoint string
	dir      string
	ended    chan error
}

// start runs program as a Collector with p for n spans on its core, and returns when it listens.
func start(ctx context.Context, program string, p pipeline, o options, n int, profile string) (_ *child, err error) {
	c := &child{ended: make(chan error, 1)}
	if c.dir, err = os.MkdirTemp(o.dir, "pipebench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.remove()
		}
	}()
	if c.counter, err = os.Create(filepath.Join(c.dir, "counter")); err != nil {
		return nil, err
	}
	if err = c.counter.Truncate(8); err != nil {
		return nil, err
	}
	otlp, err := freePort()
	if err != nil {
		return nil, err
	}
	metrics, err := freePort()
	if err != nil {
		return nil, err
	}
	c.endpoint = fmt.Sprintf("127.0.0.1:%d", otlp)
	c.cmd = exec.CommandContext(ctx, program, "collector", p.config(c.endpoint, metrics, filepath.Join(c.dir, "store"), o, n))
	c.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", counterEnv+"="+c.counter.Name(), profileEnv+"="+profile)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err = startOn(collectorCore, c.cmd); err != nil {
		return nil, err
	}
	go func() { c.ended <- c.cmd.Wait() }()
	for {
		conn, derr := net.Dial("tcp", c.endpoint)
		if derr == nil {
			return c, conn.Close()
		}
		select {
		case werr := <-c.ended:
			return nil, fmt.Errorf("the collector ended: %w\n%s", werr, &c.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the Collector and removes what it stored.
func (c *child) stop() error {
	defer c.remove()
	if err := c.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-c.ended:
		return err
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the collector did not end within a minute"), c.cmd.Process.Kill())
	}
}

func (c *child) remove() {
	if c.counter != nil {
		_ = c.counter.Close()
	}
	_ = os.RemoveAll(c.dir)
}

// cpu is the time that the Collector has run, user and system: on a busy machine it says more than
// the clock on the wall. The id of another process's CPU clock is in clock_getcpuclockid(3).
func (c *child) cpu() (time.Duration, error) {
	var ts unix.Timespec
	const sched = 2
	if err := unix.ClockGettime(int32(^c.cmd.Process.Pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of the collector: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// memory is the resident memory in bytes: all of it, and without the pages of files, which the kernel
// takes back when it needs room.
func (c *child) memory() (all, anonymous int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int64 {
		_, rest, _ := bytes.Cut(b, []byte(name))
		f := bytes.Fields(rest[:min(len(rest), 40)])
		if len(f) == 0 {
			return 0
		}
		kib, _ := strconv.ParseInt(string(f[0]), 10, 64)
		return kib << 10
	}
	return field("VmRSS:"), field("RssAnon:"), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// startOn starts cmd on a core: a new process has the affinity of the thread that made it.
func startOn(core int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pin(0, core); err != nil {
		return err
	}
	return errors.Join(cmd.Start(), pin(0, loaderCore))
}

// pinSelf puts all threads of this process on the loader's core.
func pinSelf() error {
	runtime.GOMAXPROCS(1)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			if err := pin(tid, loaderCore); err != nil {
				return err
			}
		}
	}
	return nil
}

func pin(tid, core int) error {
	var s unix.CPUSet
	s.Set(core)
	if err := unix.SchedSetaffinity(tid, &s); err != nil {
		return fmt.Errorf("run on core %d: %w; this needs two cores", core, err)
	}
	return nil
}
