package main

import (
	"bufio"
	"fmt"
	"strconv"
	"sync"
)

// flight is a call that several requests wait for.
type flight struct {
	done sync.WaitGroup
	err  error
}

// singleflight: of four neighbouring requests those that come together share one call, which names
// the request that started it; then each makes a call of its own.
func singleflight(b *backend, _ int) shape {
	var mu sync.Mutex
	flights := map[int]*flight{}
	shared := func(id string) error {
		n, err := strconv.Atoi(id)
		if err != nil {
			return err
		}
		mu.Lock()
		if f := flights[n/4]; f != nil {
			mu.Unlock()
			f.done.Wait()
			return f.err
		}
		f := &flight{}
		f.done.Add(1)
		flights[n/4] = f
		mu.Unlock()
		f.err = b.get(op(id, "shared"))
		f.done.Done()
		mu.Lock()
		delete(flights, n/4)
		mu.Unlock()
		return f.err
	}
	return shape{func(id string) error {
		if err := shared(id); err != nil {
			return err
		}
		return b.get(op(id, "own"))
	}, b.get}
}

// pipelined: one connection for all, with a goroutine that writes and one that reads.
func pipelined(b *backend, _ int) shape {
	c, err := b.dial()
	if err != nil {
		fail(err)
	}
	queue, sent := make(chan *task), make(chan *task, 1024)
	go func() {
		for t := range queue {
			sent <- t
			if err := c.send(t.path); err != nil {
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

// coalesced: as pipelined, with a buffered queue, and what waits in it goes out in one write.
func coalesced(b *backend, _ int) shape {
	c, err := b.dial()
	if err != nil {
		fail(err)
	}
	queue, sent := make(chan *task, 1024), make(chan *task, 1024)
	go func() {
		out := bufio.NewWriter(c)
		for t := range queue {
			sent <- t
			fmt.Fprintf(out, "GET %s HTTP/1.1\r\nHost: backend\r\n\r\n", t.path)
			if len(queue) > 0 {
				continue
			}
			if err := out.Flush(); err != nil {
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
