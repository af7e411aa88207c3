package main

import (
	"strconv"
	"sync"
	"time"
)

// refreshedBy has a goroutine refresh by a call what requests read after theirs: locked runs what it is given while nobody
// else reads, and read waits for that.
func refreshedBy(b *backend, of shape, locked func(refresh func()), read func()) shape {
	go func() {
		for n := 1000000; ; n++ {
			locked(func() {
				if err := b.get(op("bg", strconv.Itoa(n))); err != nil {
					fail(err)
				}
			})
			time.Sleep(15 * time.Millisecond)
		}
	}()
	return shape{func(id string) error {
		defer read()
		return of.serve(id)
	}, of.background}
}

// refreshedMutex: the lock is a sync.RWMutex.
func refreshedMutex(b *backend, workers int) shape {
	var mu sync.RWMutex
	return refreshedBy(b, workerBuffered(b, workers), func(refresh func()) {
		mu.Lock()
		defer mu.Unlock()
		refresh()
	}, func() {
		mu.RLock()
		defer mu.RUnlock()
	})
}

// refreshedChannel: a channel that has room for whoever has the lock.
func refreshedChannel(b *backend, workers int) shape {
	lock := make(chan struct{}, 1)
	return refreshedBy(b, workerBuffered(b, workers), func(refresh func()) {
		lock <- struct{}{}
		refresh()
		<-lock
	}, func() {
		lock <- struct{}{}
		<-lock
	})
}

// refreshedToken: a channel whose one element whoever takes it has the lock by.
func refreshedToken(b *backend, workers int) shape {
	type state struct{ refreshed time.Time }
	lock := make(chan *state, 1)
	lock <- &state{}
	return refreshedBy(b, workerBuffered(b, workers), func(refresh func()) {
		s := <-lock
		refresh()
		s.refreshed = time.Now()
		lock <- s
	}, func() { lock <- <-lock })
}

// awaitedClosed: requests wait until a channel is closed, after a call.
func awaitedClosed(b *backend, workers int) shape {
	var mu sync.Mutex
	fresh := make(chan struct{})
	return refreshedBy(b, workerBuffered(b, workers), func(refresh func()) {
		mine := make(chan struct{})
		mu.Lock()
		fresh = mine
		mu.Unlock()
		refresh()
		close(mine)
	}, func() {
		mu.Lock()
		f := fresh
		mu.Unlock()
		<-f
	})
}

// awaitedGroup: requests wait for a group, after a call.
func awaitedGroup(b *backend, workers int) shape {
	var mu sync.Mutex
	fresh := new(sync.WaitGroup)
	return refreshedBy(b, workerBuffered(b, workers), func(refresh func()) {
		mine := new(sync.WaitGroup)
		mine.Add(1)
		mu.Lock()
		fresh = mine
		mu.Unlock()
		refresh()
		mine.Done()
	}, func() {
		mu.Lock()
		f := fresh
		mu.Unlock()
		f.Wait()
	})
}

// awaitedCondition: requests wait for a condition, after a call.
func awaitedCondition(b *backend, workers int) shape {
	fresh, c := true, sync.NewCond(new(sync.Mutex))
	set := func(to bool) {
		c.L.Lock()
		fresh = to
		c.L.Unlock()
		c.Broadcast()
	}
	return refreshedBy(b, workerBuffered(b, workers), func(refresh func()) {
		set(false)
		refresh()
		set(true)
	}, func() {
		c.L.Lock()
		for !fresh {
			c.Wait()
		}
		c.L.Unlock()
	})
}
