package main

import "sync"

// group runs functions in goroutines and waits for them, as errgroup does. acquire and release
// bound how many run at once; nil: no bound.
type group struct {
	acquire, release func()
	wg               sync.WaitGroup
	once             sync.Once
	err              error
}

func (g *group) run(f func() error) {
	if g.acquire != nil {
		g.acquire()
	}
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if g.release != nil {
			defer g.release()
		}
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	}()
}

func (g *group) wait() error {
	g.wg.Wait()
	return g.err
}

func three(g *group, id string, call func(path string) error) error {
	for _, o := range ops {
		g.run(func() error { return call(op(id, o)) })
	}
	return g.wait()
}

// fanout: three goroutines with a call each.
func fanout(b *backend, _ int) shape {
	return shape{func(id string) error { return three(&group{}, id, b.get) }, b.get}
}

// fanoutChannel: as fanout, and the results come back through one channel.
func fanoutChannel(b *backend, _ int) shape {
	return shape{func(id string) error {
		results := make(chan error)
		for _, o := range ops {
			go func() { results <- b.get(op(id, o)) }()
		}
		var errs []error
		for range ops {
			errs = append(errs, <-results)
		}
		return first(errs)
	}, b.get}
}

// fanoutSequential: three goroutines, each with three calls one after the other.
func fanoutSequential(b *backend, _ int) shape {
	return shape{func(id string) error {
		g := &group{}
		for _, o := range ops {
			g.run(func() error {
				for _, n := range ops {
					if err := b.get(op(id, o+n)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return g.wait()
	}, b.get}
}

// nested: seven goroutines, each created by the one before, and the last one calls.
func nested(b *backend, _ int) shape {
	return shape{func(id string) error { return deeper(7, func() error { return b.get(op(id, "a")) }) }, b.get}
}

func deeper(levels int, f func() error) error {
	if levels == 0 {
		return f()
	}
	done := make(chan error)
	go func() { done <- deeper(levels-1, f) }()
	return <-done
}

// semaphoreStruct: as fanout, with a semaphore for the whole process, a channel without bytes.
func semaphoreStruct(b *backend, slots int) shape { return semaphore(b, make(chan struct{}, slots)) }

// semaphoreBool: the same, a channel whose elements have a byte.
func semaphoreBool(b *backend, slots int) shape { return semaphore(b, make(chan bool, slots)) }

func semaphore[T any](b *backend, slots chan T) shape {
	var token T
	acquire, release := func() { slots <- token }, func() { <-slots }
	return shape{func(id string) error {
		return three(&group{acquire: acquire, release: release}, id, b.get)
	}, func(path string) error {
		acquire()
		defer release()
		return b.get(path)
	}}
}

// semaphoreChild: as semaphoreBool, and the goroutines themselves wait for a slot.
func semaphoreChild(b *backend, slots int) shape {
	free := make(chan bool, slots)
	call := func(path string) error {
		free <- true
		defer func() { <-free }()
		return b.raw(path)
	}
	return shape{func(id string) error { return three(&group{}, id, call) }, call}
}

// connectionPool: as fanout, with connections that wait in a channel for the next who needs one.
func connectionPool(b *backend, size int) shape {
	pool := make(chan *rawConn, size)
	for range size {
		c, err := b.dial()
		if err != nil {
			fail(err)
		}
		pool <- c
	}
	call := func(path string) error {
		c := <-pool
		defer func() { pool <- c }()
		return c.call(path)
	}
	return shape{func(id string) error { return three(&group{}, id, call) }, call}
}

// rawGrandchild: a connection of its own, in a goroutine of a goroutine.
func rawGrandchild(b *backend, _ int) shape {
	return shape{func(id string) error { return deeper(2, func() error { return b.raw(op(id, "a")) }) }, b.raw}
}

// rawFanout: three goroutines with a connection each.
func rawFanout(b *backend, _ int) shape {
	return shape{func(id string) error { return three(&group{}, id, b.raw) }, b.raw}
}
