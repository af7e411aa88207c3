package main

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// starved is a pool of connections as database/sql has it: free ones in a slice under a mutex; who finds
// none waits on a channel of its own, into which whoever gives one back puts it.
type starved struct {
	mu      sync.Mutex
	free    []*rawConn
	waiting []chan *rawConn
}

func newStarved(b *backend, size int) *starved {
	p := &starved{}
	for range size {
		c, err := b.dial()
		if err != nil {
			fail(err)
		}
		p.free = append(p.free, c)
	}
	return p
}

func (p *starved) call(path string) error {
	p.mu.Lock()
	var c *rawConn
	if n := len(p.free); n > 0 {
		c, p.free = p.free[n-1], p.free[:n-1]
		p.mu.Unlock()
	} else {
		mine := make(chan *rawConn, 1)
		p.waiting = append(p.waiting, mine)
		p.mu.Unlock()
		c = <-mine
	}
	err := c.call(path)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.waiting[0] <- c
		p.waiting = p.waiting[1:]
		return err
	}
	p.free = append(p.free, c)
	return err
}

// sqlHandler: handlers and background work share a starved pool.
func sqlHandler(b *backend, size int) shape {
	p := newStarved(b, size)
	return through(p.call)
}

// sqlFanout: three goroutines of each request, and background work.
func sqlFanout(b *backend, size int) shape {
	p := newStarved(b, size)
	return shape{func(id string) error { return three(&group{}, id, p.call) }, p.call}
}

// sqlWorkers: workers with results by WaitGroup; each task makes two calls.
func sqlWorkers(b *backend, size int) shape {
	p := newStarved(b, size)
	return waited(2*size, p.call)
}

// waited is a pool whose workers make two calls for a task; results by WaitGroup.
func waited(workers int, call func(path string) error) shape {
	type job struct {
		path string
		done *sync.WaitGroup
	}
	queue := make(chan job)
	for range workers {
		go func() {
			for j := range queue {
				for _, n := range []string{"1", "2"} {
					if err := call(j.path + n); err != nil {
						fail(err)
					}
				}
				j.done.Done()
			}
		}()
	}
	do := func(path string) error {
		var wg sync.WaitGroup
		wg.Add(1)
		queue <- job{path, &wg}
		wg.Wait()
		return nil
	}
	return shape{func(id string) error { return do(op(id, "a")) }, call}
}

// channelled is a pool of connections in a channel.
func channelled(b *backend, size int) func(path string) error {
	pool := make(chan *rawConn, size)
	for range size {
		c, err := b.dial()
		if err != nil {
			fail(err)
		}
		pool <- c
	}
	return func(path string) error {
		c := <-pool
		defer func() { pool <- c }()
		return c.call(path)
	}
}

// poolHandler: handlers and background work take connections from a channel.
func poolHandler(b *backend, size int) shape { return through(channelled(b, size)) }

// poolWorkers: workers and background work do.
func poolWorkers(b *backend, size int) shape { return waited(2*size, channelled(b, size)) }

// poolMixed: handlers, a goroutine of theirs, workers and background work do.
func poolMixed(b *backend, size int) shape { return mixed(channelled(b, size), size) }

func mixed(call func(path string) error, size int) shape {
	w := waited(size, call)
	return shape{func(id string) error {
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := call(op(id, "child")); err != nil {
				fail(err)
			}
		}()
		if err := call(op(id, "own")); err != nil {
			return err
		}
		wg.Wait()
		return w.serve(id)
	}, call}
}

// poolBatch: a worker takes up to two tasks that wait before it makes the call of either, and ends them in reverse;
// meanwhile the handlers use the same connections.
func poolBatch(b *backend, size int) shape {
	type job struct {
		path string
		done *sync.WaitGroup
	}
	call := channelled(b, size)
	queue := make(chan job, 1024)
	for range size {
		go func() {
			for j := range queue {
				jobs := []job{j}
				select {
				case other := <-queue:
					jobs = append(jobs, other)
				default:
				}
				for _, j := range jobs {
					if err := call(j.path); err != nil {
						fail(err)
					}
				}
				for _, j := range slices.Backward(jobs) {
					j.done.Done()
				}
			}
		}()
	}
	return shape{func(id string) error {
		var wg sync.WaitGroup
		wg.Add(1)
		queue <- job{op(id, "left"), &wg}
		err := call(op(id, "own"))
		wg.Wait()
		return err
	}, call}
}

// Of poolTypes: how many pools follow each other, and how many requests use each.
const (
	poolsInTurn  = 40
	turnRequests = 16
)

// poolTypes: the same with a pool of another type every few requests, as if the program had just begun: the
// first values of a type say least of what it is.
func poolTypes(b *backend, size int) shape {
	pools := make([]func(path string) error, poolsInTurn)
	for i := range pools {
		pools[i] = ofType(b, size, i+1)
	}
	var requests, calls atomic.Int64
	turn := func() int64 { return requests.Load() / turnRequests }
	s := mixed(func(path string) error { return pools[turn()%poolsInTurn](path) }, size)
	return shape{
		func(id string) error {
			requests.Add(1)
			return s.serve(id)
		},
		// Every second uses the next one, where whoever comes first then finds what this has put back.
		func(path string) error { return pools[(turn()+calls.Add(1)%2)%poolsInTurn](path) },
	}
}

// ofType is channelled, with values of a type for each n.
func ofType(b *backend, size, n int) func(path string) error {
	of := reflect.ArrayOf(n, reflect.TypeFor[[0]rawConn]())
	pool := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, reflect.PointerTo(of)), size)
	for range size {
		c, err := b.dial()
		if err != nil {
			fail(err)
		}
		pool.Send(reflect.NewAt(of, unsafe.Pointer(c)))
	}
	return func(path string) error {
		c, _ := pool.Recv()
		defer pool.Send(c)
		return (*rawConn)(c.UnsafePointer()).call(path)
	}
}

// slotsPool: a semaphore of slots, and connections in a slice under a mutex, as go-redis has them.
func slotsPool(b *backend, size int) shape {
	slots := make(chan struct{}, size)
	p := newStarved(b, size)
	call := func(path string) error {
		slots <- struct{}{}
		defer func() { <-slots }()
		return p.call(path)
	}
	return shape{func(id string) error { return three(&group{}, id, call) }, call}
}

// workerOwnChannel: idle workers in a slice under a mutex, each with a channel of its own, created when none
// is idle, as fasthttp has them; results by channel.
func workerOwnChannel(b *backend, _ int) shape {
	type worker struct{ tasks chan *task }
	var mu sync.Mutex
	var idle []*worker
	return through(func(path string) error {
		mu.Lock()
		var w *worker
		if n := len(idle); n > 0 {
			w, idle = idle[n-1], idle[:n-1]
		} else {
			w = &worker{make(chan *task, 1)}
			go func() {
				for t := range w.tasks {
					err := b.raw(t.path)
					mu.Lock()
					idle = append(idle, w)
					mu.Unlock()
					t.done <- err
				}
			}()
		}
		mu.Unlock()
		t := &task{path, make(chan error, 1)}
		w.tasks <- t
		return <-t.done
	})
}
