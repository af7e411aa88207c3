package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed programs/pingpong.c
var pingpong []byte

// server is programs/pingpong.c: who is measured, and who drives it.
type server struct {
	pid int
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	dir string
}

func startServer(ctx context.Context) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "hookbench-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	source, program := filepath.Join(dir, "pingpong.c"), filepath.Join(dir, "pingpong")
	if err := os.WriteFile(source, pingpong, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-o", program, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile pingpong.c (needs gcc and libc6-dev): %w\n%s", err, out)
	}
	s.cmd = exec.CommandContext(ctx, program)
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if s.pid, err = s.number(); err != nil {
		return nil, errors.Join(fmt.Errorf("pid of the server: %w", err), s.stop())
	}
	return s, nil
}

func (s *server) number() (int, error) {
	line, err := s.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// measure returns the nanoseconds of CPU time that the server used for a request, after some that warm up what was
// just attached.
func (s *server) measure(o options) (float64, error) {
	used := 0
	for _, requests := range []int{1 + o.requests/10, o.requests} {
		if _, err := fmt.Fprintln(s.in, requests, o.cold); err != nil {
			return 0, err
		}
		var err error
		if used, err = s.number(); err != nil {
			return 0, fmt.Errorf("CPU time of the server: %w", err)
		}
	}
	return float64(used) / float64(o.requests), nil
}

func (s *server) stop() error {
	return errors.Join(s.in.Close(), s.cmd.Wait(), os.RemoveAll(s.dir))
}
