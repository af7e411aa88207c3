package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
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

// batchesOf takes what waits in queue, and calls send with it as it was taken, and in another order.
func batchesOf(queue <-chan *task, send func(taken, sorted []*task)) {
	for t := range queue {
		taken := []*task{t}
		for n := len(queue); n > 0; n-- {
			taken = append(taken, <-queue)
		}
		sorted := slices.Clone(taken)
		slices.SortStableFunc(sorted, func(a, b *task) int { return cmp.Compare(hash(b.path), hash(a.path)) })
		send(taken, sorted)
	}
}

func hash(path string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(path))
	return h.Sum32()
}

func get(out *bufio.Writer, t *task) {
	fmt.Fprintf(out, "GET %s HTTP/1.1\r\nHost: backend\r\n\r\n", t.path)
}

// coalescedSorted: as coalesced, with what waits sorted; some tasks need no call, and the
// writer answers them.
func coalescedSorted(b *backend, _ int) shape {
	c, err := b.dial()
	if err != nil {
		fail(err)
	}
	queue, sent := make(chan *task, 1024), make(chan *task, 1024)
	go batchesOf(queue, func(_, sorted []*task) {
		out := bufio.NewWriter(c)
		for _, t := range sorted {
			if strings.HasSuffix(t.path, known) {
				t.done <- nil
				continue
			}
			sent <- t
			get(out, t)
		}
		if err := out.Flush(); err != nil {
			fail(err)
		}
	})
	go func() {
		for t := range sent {
			t.done <- c.receive()
		}
	}()
	call := func(path string) error {
		t := newTask(path)
		queue <- t
		return <-t.done
	}
	return shape{func(id string) error {
		if hash(id)%3 == 0 {
			if err := call(op(id, known)); err != nil {
				return err
			}
		}
		return call(op(id, "a"))
	}, call}
}

// known ends the path of a task that needs no call.
const known = "known"

// coalescedBatches: as coalesced, with what waits sorted. The reader goes through it in the order in which it came, when
// it has the responses to all of it.
func coalescedBatches(b *backend, _ int) shape {
	c, err := b.dial()
	if err != nil {
		fail(err)
	}
	queue, sent := make(chan *task, 1024), make(chan []*task, 1024)
	go batchesOf(queue, func(taken, sorted []*task) {
		sent <- taken
		out := bufio.NewWriter(c)
		for _, t := range sorted {
			get(out, t)
		}
		if err := out.Flush(); err != nil {
			fail(err)
		}
	})
	go func() {
		for taken := range sent {
			var err error
			for range taken {
				err = errors.Join(err, c.receive())
			}
			for _, t := range taken {
				t.done <- err
			}
		}
	}()
	return through(func(path string) error {
		t := newTask(path)
		queue <- t
		return <-t.done
	})
}
