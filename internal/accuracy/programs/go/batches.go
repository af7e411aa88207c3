package main

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var batches atomic.Int64

// together is the path of a call that is made for several requests: it belongs to none of them.
func together() string { return "/d/bg/batch-" + strconv.FormatInt(batches.Add(1), 10) }

// batch: one goroutine collects what requests want and makes one call for all of it; then each request
// makes a call of its own.
func batch(b *backend, _ int) shape { return collected(b, 0) }

// batchBuffered: the same through buffers.
func batchBuffered(b *backend, _ int) shape { return collected(b, 64) }

func collected(b *backend, capacity int) shape {
	wanted := make(chan *task, capacity)
	go func() {
		for {
			waiting := []*task{<-wanted}
			timer := time.NewTimer(2 * time.Millisecond)
			for full := false; !full; {
				select {
				case t := <-wanted:
					waiting = append(waiting, t)
				case <-timer.C:
					full = true
				}
			}
			path := together()
			if len(waiting) == 1 {
				path = op(waiting[0].path, "alone")
			}
			err := b.get(path)
			for _, t := range waiting {
				t.done <- err
			}
		}
	}()
	return shape{func(id string) error {
		t := &task{id, make(chan error, capacity/64)}
		wanted <- t
		if err := <-t.done; err != nil {
			return err
		}
		return b.get(op(id, "own"))
	}, b.get}
}

// leader: who comes first takes what others want from a channel and makes one call for all, as a group
// commit does.
func leader(b *backend, _ int) shape {
	wanted, lead := make(chan *task, 64), make(chan bool, 1)
	return shape{func(id string) error {
		t := &task{id, make(chan error, 1)}
		wanted <- t
		for {
			select {
			case err := <-t.done:
				if err != nil {
					return err
				}
				return b.get(op(id, "own"))
			case lead <- true:
				waiting := []*task{}
				for more := true; more; {
					select {
					case t := <-wanted:
						waiting = append(waiting, t)
					default:
						more = false
					}
				}
				if len(waiting) > 0 {
					err := b.get("/d/" + id + "/lead-" + strconv.FormatInt(batches.Add(1), 10))
					for _, t := range waiting {
						t.done <- err
					}
				}
				<-lead
			}
		}
	}, b.get}
}

// wakeSpawn: tasks wait in a slice, a channel only wakes the goroutine that makes one for each of them.
func wakeSpawn(b *backend, _ int) shape {
	type job struct {
		path string
		done *sync.WaitGroup
	}
	var mu sync.Mutex
	var queue []job
	wake := make(chan bool, 1)
	go func() {
		for range wake {
			mu.Lock()
			jobs := queue
			queue = nil
			mu.Unlock()
			for _, j := range jobs {
				go func() {
					if err := b.raw(j.path); err != nil {
						fail(err)
					}
					j.done.Done()
				}()
			}
		}
	}()
	return through(func(path string) error {
		var wg sync.WaitGroup
		wg.Add(1)
		mu.Lock()
		queue = append(queue, job{path, &wg})
		mu.Unlock()
		select {
		case wake <- true:
		default:
		}
		wg.Wait()
		return nil
	})
}

// stages: a worker makes a call and passes the task on to a worker that makes another.
func stages(b *backend, workers int) shape { return through(inStages(b, workers)) }

func inStages(b *backend, workers int) func(path string) error {
	first, second := make(chan *task, 64), make(chan *task, 64)
	for range workers {
		go func() {
			for t := range first {
				if err := b.get(t.path + "1"); err != nil {
					fail(err)
				}
				second <- t
			}
		}()
		go func() {
			for t := range second {
				t.done <- b.get(t.path + "2")
			}
		}()
	}
	return func(path string) error {
		t := newTask(path)
		first <- t
		return <-t.done
	}
}

// opened: every second request goes through stages. For the others a worker has a connection opened, and takes meanwhile
// whatever comes: another task, or a connection that was opened for one, which is the task from then on.
func opened(b *backend, workers int) shape {
	type connected struct {
		*task
		conn *rawConn
	}
	tasks, ready, done := make(chan *task), make(chan connected), make(chan *task, 64)
	open := func(t *task) {
		c, err := b.dial()
		if err != nil {
			fail(err)
		}
		ready <- connected{t, c}
	}
	for range workers {
		go func() {
			for {
				select {
				case t := <-tasks:
					go open(t)
				case c := <-ready:
					for _, call := range []string{"1", "2"} {
						if err := c.conn.call(c.path + call); err != nil {
							fail(err)
						}
					}
					c.conn.Close()
					done <- c.task
				}
			}
		}()
	}
	go func() {
		for t := range done {
			t.done <- nil
		}
	}()
	others := inStages(b, workers)
	var n atomic.Int64
	return through(func(path string) error {
		if n.Add(1)%2 == 0 {
			return others(path)
		}
		t := newTask(path)
		tasks <- t
		return <-t.done
	})
}

// retried: every other task fails at first, after its call, and goes back into the queue. Workers are
// created on demand, results come by WaitGroup.
func retried(b *backend, workers int) shape {
	type job struct {
		path string
		n    int
		done *sync.WaitGroup
	}
	queue := make(chan *job, 1024)
	var created atomic.Int64
	work := func() {
		for j := range queue {
			if err := b.raw(j.path + strconv.Itoa(j.n)); err != nil {
				fail(err)
			}
			if j.n++; j.n == 1 && len(j.path)%2 == 1 {
				queue <- j
				continue
			}
			j.done.Done()
		}
	}
	return through(func(path string) error {
		var wg sync.WaitGroup
		wg.Add(1)
		if created.Add(1) <= int64(workers) {
			go work()
		}
		queue <- &job{path: path, done: &wg}
		wg.Wait()
		return nil
	})
}
