package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const emptyArg = "empty-hooks"

// message is what a child says, one JSON object a line.
type message struct {
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
	// Spans that reached the consumer, by span kind, and every counter that the receiver exports
	// (name and attributes), since the child's start.
	Spans    map[string]uint64 `json:"spans,omitempty"`
	Counters map[string]int64  `json:"counters,omitempty"`
}

// child is a process that holds BPF programs. It ends when its stdin does.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr strings.Builder
}

const readyTimeout = 60 * time.Second

func startChild(ctx context.Context, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stderr = &c.stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdout = bufio.NewReader(stdout)
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if m, err := c.receive(); err != nil || !m.Ready {
		return nil, errors.Join(fmt.Errorf("%s did not become ready", strings.Join(args, " ")), err, c.stop())
	}
	return c, nil
}

// ask has the child say how far it is.
func (c *child) ask() (message, error) {
	if _, err := io.WriteString(c.stdin, "report\n"); err != nil {
		return message{}, err
	}
	return c.receive()
}

func (c *child) receive() (message, error) {
	// A child that hangs is ended, which ends the read.
	limit := time.AfterFunc(readyTimeout, func() { _ = c.cmd.Process.Kill() })
	defer limit.Stop()
	var m message
	line, err := c.stdout.ReadBytes('\n')
	if err != nil {
		return m, fmt.Errorf("read from process %d: %w", c.cmd.Process.Pid, err)
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("process %d said %q: %w", c.cmd.Process.Pid, line, err)
	}
	if m.Error != "" {
		return m, errors.New(m.Error)
	}
	return m, nil
}

// stop ends the child by closing its stdin, or by force when that does not help.
func (c *child) stop() error {
	_ = c.stdin.Close()
	limit := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer limit.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("process %d: %w: %s", c.cmd.Process.Pid, err, strings.TrimSpace(c.stderr.String()))
	}
	return nil
}

func say(m message) error { return json.NewEncoder(os.Stdout).Encode(m) }
