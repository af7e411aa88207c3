package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// redisBackend is a redis-server that reports every command to its monitor: the truth about which calls
// were made. It answers at once.
type redisBackend struct {
	listen  string
	cmd     *exec.Cmd
	monitor net.Conn
	read    chan struct{} // closed when the monitor has ended

	mu   sync.Mutex // guards what follows
	keys map[string]int
}

func newRedisBackend(ctx context.Context) (_ backend, err error) {
	b := &redisBackend{keys: map[string]int{}, read: make(chan struct{})}
	if b.listen, err = freeAddress(); err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(b.listen, ":")
	b.cmd = exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", os.TempDir())
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	b.monitor, err = dialWhenReady(ctx, b.listen)
	if err == nil {
		_, err = io.WriteString(b.monitor, "MONITOR\r\n")
	}
	in := bufio.NewReader(b.monitor)
	if err == nil {
		var line string
		if line, err = in.ReadString('\n'); err == nil && line != "+OK\r\n" {
			err = fmt.Errorf("MONITOR: %q", line)
		}
	}
	if err != nil {
		close(b.read)
		b.close()
		return nil, err
	}
	go b.follow(in)
	return b, nil
}

func dialWhenReady(ctx context.Context, addr string) (net.Conn, error) {
	deadline := time.Now().Add(15 * time.Second)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return c, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// follow notes the keys; a line is: +1700000000.000000 [0 127.0.0.1:5] "GET" "/d/7/a"
func (b *redisBackend) follow(in *bufio.Reader) {
	defer close(b.read)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Split(line, `"`)
		b.mu.Lock()
		if len(f) >= 5 && strings.HasPrefix(f[3], "/d/") {
			b.keys[f[3]]++
		}
		b.mu.Unlock()
	}
}

func (b *redisBackend) addr() string { return b.listen }

func (b *redisBackend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.keys)
}

// seen has what was asked for until now: the monitor is told before the client is answered, and read soon
// after.
func (b *redisBackend) seen() map[string]int {
	time.Sleep(50 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]int, len(b.keys))
	for k, n := range b.keys {
		out[k] = n
	}
	return out
}

func (b *redisBackend) close() {
	if b.monitor != nil {
		b.monitor.Close()
	}
	<-b.read
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	_ = b.cmd.Wait()
}
