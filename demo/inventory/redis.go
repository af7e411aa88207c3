package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// conn is one Redis connection speaking RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/).
type conn struct {
	net.Conn
	in *bufio.Reader
}

// pool holds up to max connections; take waits while all are in use.
type pool struct {
	addr string
	max  int

	mu   sync.Mutex // guards the fields below
	free *sync.Cond
	idle []*conn
	open int
}

func newPool(addr string, max int) *pool {
	p := &pool{addr: addr, max: max}
	p.free = sync.NewCond(&p.mu)
	return p
}

// take returns an idle connection, or a new one, or waits for one.
func (p *pool) take() (*conn, error) {
	p.mu.Lock()
	for len(p.idle) == 0 && p.open >= p.max {
		p.free.Wait()
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.open++
	p.mu.Unlock()
	nc, err := net.DialTimeout("tcp", p.addr, 5*time.Second)
	if err != nil {
		p.give(nil, err)
		return nil, fmt.Errorf("connect to Redis at %s: %w", p.addr, err)
	}
	return &conn{nc, bufio.NewReader(nc)}, nil
}

// give returns a connection; after an error its state is unknown and it is closed.
func (p *pool) give(c *conn, err error) {
	if err != nil && c != nil {
		_ = c.Close()
	}
	p.mu.Lock()
	if err != nil {
		p.open--
	} else {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	p.free.Signal()
}

// do sends all commands in one write and reads one reply for each, as text.
func (c *conn) do(commands ...[]string) ([]string, error) {
	var out []byte
	for _, cmd := range commands {
		out = fmt.Appendf(out, "*%d\r\n", len(cmd))
		for _, word := range cmd {
			out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write(out); err != nil {
		return nil, err
	}
	replies := make([]string, 0, len(commands))
	for range commands {
		r, err := c.reply()
		if err != nil {
			return nil, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

var errReply = errors.New("not a RESP2 reply of a read command")

// reply reads a simple string, error, integer or bulk string.
func (c *conn) reply() (string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return "", errReply
	}
	switch line[0] {
	case '+', ':':
		return line[1:], nil
	case '-':
		return "", errors.New(line[1:])
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < -1 || n > 1<<20 {
			return "", fmt.Errorf("%w: %q", errReply, line)
		}
		if n < 0 {
			return "nil", nil
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(c.in, body); err != nil {
			return "", err
		}
		return strconv.Quote(string(body[:n])), nil
	}
	return "", fmt.Errorf("%w: %q", errReply, line)
}
