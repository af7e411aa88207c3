package main

import (
	"sync"
)

// task is a call that a worker makes for somebody who waits.
type task struct {
	path string
	done chan error
}

func newTask(path string) *task { return &task{path, make(chan error)} }

// through makes requests and background calls by the same way.
func through(call func(path string) error) shape {
	return shape{func(id string) error { return call(op(id, "a")) }, call}
}

// workerUnbuffered: workers take tasks from an unbuffered channel.
func workerUnbuffered(b *backend, workers int) shape { return channelPool(b, workers, 0) }

// workerBuffered: from a buffered channel, fewer workers than requests.
func workerBuffered(b *backend, workers int) shape { return channelPool(b, workers, 1024) }

func channelPool(b *backend, workers, capacity int) shape {
	queue := make(chan *task, capacity)
	for range workers {
		go func() {
			for t := range queue {
				t.done <- b.get(t.path)
			}
		}()
	}
	return through(func(path string) error {
		t := newTask(path)
		queue <- t
		return <-t.done
	})
}

// workerSelect: from a buffered channel, by select with a second one.
func workerSelect(b *backend, workers int) shape {
	queue, quit := make(chan *task, 1024), make(chan struct{})
	for range workers {
		go func() {
			for {
				select {
				case t := <-queue:
					t.done <- b.get(t.path)
				case <-quit:
					return
				}
			}
		}()
	}
	return through(func(path string) error {
		t := newTask(path)
		select {
		case queue <- t:
		case <-quit:
			return nil
		}
		return <-t.done
	})
}

// workerStruct: the elements are structures, not pointers.
func workerStruct(b *backend, workers int) shape {
	type element struct {
		path string
		_    [6]uint64
		done chan error
	}
	queue := make(chan element, 1024)
	for range workers {
		go func() {
			for t := range queue {
				t.done <- b.get(t.path)
			}
		}()
	}
	return through(func(path string) error {
		done := make(chan error)
		queue <- element{path: path, done: done}
		return <-done
	})
}

// workerCond: the queue is a slice under a mutex, with a condition variable.
func workerCond(b *backend, workers int) shape {
	var mu sync.Mutex
	var queue []*task
	filled := sync.NewCond(&mu)
	for range workers {
		go func() {
			for {
				mu.Lock()
				for len(queue) == 0 {
					filled.Wait()
				}
				t := queue[0]
				queue = queue[1:]
				mu.Unlock()
				t.done <- b.get(t.path)
			}
		}()
	}
	return through(func(path string) error {
		t := newTask(path)
		mu.Lock()
		queue = append(queue, t)
		mu.Unlock()
		filled.Signal()
		return <-t.done
	})
}

// workerWaitGroup: three tasks for each request; results come back in a slice, with a WaitGroup.
func workerWaitGroup(b *backend, workers int) shape {
	type job struct {
		path   string
		result *error
		done   *sync.WaitGroup
	}
	queue := make(chan job)
	for range workers {
		go func() {
			for j := range queue {
				*j.result = b.get(j.path)
				j.done.Done()
			}
		}()
	}
	calls := func(paths ...string) error {
		results := make([]error, len(paths))
		var wg sync.WaitGroup
		wg.Add(len(paths))
		for i, p := range paths {
			queue <- job{p, &results[i], &wg}
		}
		wg.Wait()
		return first(results)
	}
	return shape{
		func(id string) error { return calls(op(id, ops[0]), op(id, ops[1]), op(id, ops[2])) },
		func(path string) error { return calls(path) },
	}
}

// workerRaw: each worker has a connection of its own, as a database pool has.
func workerRaw(b *backend, workers int) shape {
	queue := make(chan *task)
	for range workers {
		go func() {
			c, err := b.dial()
			if err != nil {
				fail(err)
			}
			for t := range queue {
				t.done <- c.call(t.path)
			}
		}()
	}
	return through(func(path string) error {
		t := newTask(path)
		queue <- t
		return <-t.done
	})
}

// workerSkip: as workerWaitGroup with a buffered channel, and one task of three makes no call.
func workerSkip(b *backend, workers int) shape {
	type job struct {
		path string
		done *sync.WaitGroup
	}
	queue := make(chan job, 1024)
	for range workers {
		go func() {
			for j := range queue {
				if j.path != "" {
					if err := b.get(j.path); err != nil {
						fail(err)
					}
				}
				j.done.Done()
			}
		}()
	}
	calls := func(paths ...string) error {
		var wg sync.WaitGroup
		wg.Add(len(paths))
		for _, p := range paths {
			queue <- job{p, &wg}
		}
		wg.Wait()
		return nil
	}
	return shape{
		func(id string) error { return calls("", op(id, ops[0]), op(id, ops[1])) },
		func(path string) error { return calls(path) },
	}
}

// workerSpawn: workers take tasks from a buffered channel and leave the call to a goroutine each.
func workerSpawn(b *backend, workers int) shape {
	queue := make(chan *task, 1024)
	for range workers {
		go func() {
			for t := range queue {
				result := make(chan error)
				go func() { result <- b.raw(t.path) }()
				t.done <- <-result
			}
		}()
	}
	return through(func(path string) error {
		t := newTask(path)
		queue <- t
		return <-t.done
	})
}

// workerOnDemand: a pool that creates a goroutine when none is idle, and keeps it. Results by
// WaitGroup; each worker has a connection of its own.
func workerOnDemand(b *backend, workers int) shape {
	type job struct {
		path string
		done *sync.WaitGroup
	}
	queue := make(chan job, 1024)
	var mu sync.Mutex
	idle, created := 0, 0
	work := func() {
		c, err := b.dial()
		if err != nil {
			fail(err)
		}
		for {
			j := <-queue
			if err := c.call(j.path); err != nil {
				fail(err)
			}
			j.done.Done()
			mu.Lock()
			idle++
			mu.Unlock()
		}
	}
	submit := func(j job) {
		mu.Lock()
		if idle > 0 {
			idle--
		} else if created < workers {
			created++
			go work()
		}
		mu.Unlock()
		queue <- j
	}
	calls := func(paths ...string) error {
		var wg sync.WaitGroup
		wg.Add(len(paths))
		for _, p := range paths {
			submit(job{p, &wg})
		}
		wg.Wait()
		return nil
	}
	return shape{
		func(id string) error { return calls(op(id, ops[0]), op(id, ops[1])) },
		func(path string) error { return calls(path) },
	}
}

// dispatcher: one goroutine takes the tasks and spreads them over the buffered channels of workers; the
// results come back through one channel and a goroutine that knows who waits.
func dispatcher(b *backend, workers int) shape {
	tasks, results := make(chan *task), make(chan *task, 64)
	queues := make([]chan *task, workers)
	for i := range queues {
		queues[i] = make(chan *task, 64)
		go func() {
			for t := range queues[i] {
				if err := b.get(t.path); err != nil {
					fail(err)
				}
				results <- t
			}
		}()
	}
	go func() {
		for n := 0; ; n++ {
			queues[n%workers] <- <-tasks
		}
	}()
	go func() {
		for t := range results {
			t.done <- nil
		}
	}()
	return through(func(path string) error {
		t := newTask(path)
		tasks <- t
		return <-t.done
	})
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
