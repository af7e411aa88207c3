package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// handler: one call through net/http's client in the handler.
func handler(b *backend, _ int) shape {
	return shape{func(id string) error { return b.get(op(id, "a")) }, b.get}
}

// sequential: three calls, one after the other.
func sequential(b *backend, _ int) shape {
	return shape{func(id string) error { return b.inTurn(id) }, b.get}
}

func (b *backend) inTurn(id string) error {
	for _, o := range ops {
		if err := b.get(op(id, o)); err != nil {
			return err
		}
	}
	return nil
}

// late: one call in the handler, and one that the request leaves behind and that is sent long after
// its response: it has no parent.
func late(b *backend, _ int) shape {
	return shape{func(id string) error {
		go func() {
			wellAfter(id)
			_ = b.get("/d/bg/late-" + id)
		}()
		return b.get(op(id, "a"))
	}, b.get}
}

// lateRaw: as late, on a connection of the goroutine that was left behind.
func lateRaw(b *backend, _ int) shape {
	return shape{func(id string) error {
		go func() {
			wellAfter(id)
			_ = b.raw("/d/bg/late-" + id)
		}()
		return b.get(op(id, "a"))
	}, b.get}
}

// lateWorker: as late, and what is left behind is a task for a pool.
func lateWorker(b *backend, workers int) shape {
	queue := make(chan string, 1024)
	for range 4 * workers {
		go func() {
			for id := range queue {
				wellAfter(id)
				_ = b.get("/d/bg/late-" + id)
			}
		}()
	}
	return shape{func(id string) error {
		select {
		case queue <- id:
		default: // more than the pool can do
		}
		return b.get(op(id, "a"))
	}, b.get}
}

// upload: a request with a body that a goroutine of the handler writes piece by piece.
func upload(b *backend, _ int) shape {
	piece := make([]byte, 8<<10)
	return shape{func(id string) error {
		body, in := io.Pipe()
		r, err := http.NewRequest(http.MethodPost, "http://"+b.addr+op(id, "a"), body)
		if err != nil {
			return err
		}
		go func() {
			for range 4 {
				if _, err := in.Write(piece); err != nil {
					return
				}
			}
			_ = in.Close()
		}()
		return b.do(r)
	}, b.get}
}

// noKeepalive: a connection for each call.
func noKeepalive(b *backend, _ int) shape {
	b.client.Transport.(*http.Transport).DisableKeepAlives = true
	return handler(b, 0)
}

// connsPerHost: a few connections that requests hand to each other.
func connsPerHost(b *backend, _ int) shape {
	b.client.Transport.(*http.Transport).MaxConnsPerHost = 4
	return handler(b, 0)
}

// timeoutSelect: the call is made by a goroutine, the handler waits for it or for a deadline. Of
// calls that take up to 10 ms some are given up.
func timeoutSelect(b *backend, _ int) shape {
	return shape{func(id string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.addr+op(id, "a"), nil)
			if err == nil {
				err = b.do(r)
			}
			done <- err
		}()
		select {
		case err := <-done:
			if errors.Is(err, context.DeadlineExceeded) {
				return nil
			}
			return err
		case <-ctx.Done():
			return nil
		}
	}, b.get}
}
