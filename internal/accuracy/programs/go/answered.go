package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// answers counts the responses that were sent on each connection, so that what a request leaves behind is
// late whatever else the machine has to do.
type answers struct{ conns sync.Map } // net.Conn → *atomic.Int64

type answersKey struct{}

func (a *answers) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			sent := new(atomic.Int64)
			a.conns.Store(c, sent)
			return context.WithValue(ctx, answersKey{}, sent)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if sent, ok := a.conns.Load(c); ok && state != http.StateActive {
				sent.(*atomic.Int64).Add(1)
			}
			if state == http.StateClosed {
				a.conns.Delete(c)
			}
		},
	}
}

// open is the requests that are being served: id → func() bool, which says that the response was sent.
var open sync.Map

func serving(r *http.Request, id string) {
	sent := r.Context().Value(answersKey{}).(*atomic.Int64)
	before := sent.Load()
	open.Store(id, func() bool { return sent.Load() != before })
}

// wellAfter returns some time after the response to a request was sent. It waits for nobody: what wakes a
// goroutine is not what this is about.
func wellAfter(id string) {
	if sent, ok := open.LoadAndDelete(id); ok {
		for !sent.(func() bool)() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	time.Sleep(40 * time.Millisecond)
}
