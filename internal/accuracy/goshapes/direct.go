package main

import (
	"context"
	"errors"
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
			time.Sleep(60 * time.Millisecond)
			_ = b.get("/d/bg/late-" + id)
		}()
		return b.get(op(id, "a"))
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
