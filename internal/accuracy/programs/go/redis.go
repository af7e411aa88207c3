package main

import (
	"bufio"
	"fmt"
	"net"
	"sync"
)

// redisConn speaks the little of Redis that is needed: GET of a key that is not there.
type redisConn struct {
	net.Conn
	in *bufio.Reader
}

func dialRedis(addr string) (*redisConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &redisConn{c, bufio.NewReader(c)}, nil
}

func command(to []byte, key string) []byte {
	return fmt.Appendf(to, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
}

// receive reads one answer.
func (c *redisConn) receive() error {
	line, err := c.in.ReadString('\n')
	if err == nil && line != "$-1\r\n" {
		err = fmt.Errorf("redis: %q", line)
	}
	return err
}

// redisPool keeps idle connections in a stack behind a mutex and lets who finds none wait in a channel
// that all take turns at, as go-redis does.
type redisPool struct {
	addr  string
	turns chan struct{}
	mu    sync.Mutex
	idle  []*redisConn
}

func newRedisPool(b *backend, size int) *redisPool {
	return &redisPool{addr: b.addr, turns: make(chan struct{}, size)}
}

// get asks for keys, in one write.
func (p *redisPool) get(keys ...string) error {
	p.turns <- struct{}{}
	defer func() { <-p.turns }()
	c, err := p.take()
	if err != nil {
		return err
	}
	var out []byte
	for _, k := range keys {
		out = command(out, k)
	}
	if _, err := c.Write(out); err != nil {
		return err
	}
	for range keys {
		if err := c.receive(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	return nil
}

func (p *redisPool) take() (*redisConn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return dialRedis(p.addr)
}

// redisPooled: one command, on a connection of a pool.
func redisPooled(b *backend, size int) shape {
	p := newRedisPool(b, size)
	return through(func(path string) error { return p.get(path) })
}

// redisPipelined: three commands in one write, on a connection of a pool.
func redisPipelined(b *backend, size int) shape {
	p := newRedisPool(b, size)
	return shape{
		func(id string) error { return p.get(op(id, ops[0]), op(id, ops[1]), op(id, ops[2])) },
		func(path string) error { return p.get(path) },
	}
}

// redisMultiplexed: one connection for all, with a goroutine that writes what waits and one that reads,
// as rueidis does.
func redisMultiplexed(b *backend, _ int) shape {
	c, err := dialRedis(b.addr)
	if err != nil {
		fail(err)
	}
	queue, sent := make(chan *task, 1024), make(chan *task, 1024)
	go func() {
		for t := range queue {
			sent <- t
			out := command(nil, t.path)
			for n := len(queue); n > 0; n-- {
				more := <-queue
				sent <- more
				out = command(out, more.path)
			}
			if _, err := c.Write(out); err != nil {
				fail(err)
			}
		}
	}()
	go func() {
		for t := range sent {
			t.done <- c.receive()
		}
	}()
	return through(func(path string) error {
		t := newTask(path)
		queue <- t
		return <-t.done
	})
}
