package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// loader sends requests over as many connections as there are requests at once, and keeps them between
// two loads.
type loader struct {
	addr        string
	concurrency int
	client      *http.Client
}

func newLoader(addr string, concurrency int) *loader {
	return &loader{addr, concurrency, &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: concurrency},
		Timeout:   30 * time.Second,
	}}
}

func (l *loader) close() { l.client.CloseIdleConnections() }

// send asks for /r/<id>, ids from first on, and returns how long each took, shortest first. The first
// failure ends it.
func (l *loader) send(ctx context.Context, first, requests int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, requests)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range l.concurrency {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= requests {
					return
				}
				began := time.Now()
				if err := get(ctx, l.client, fmt.Sprintf("http://%s/r/%08d", l.addr, first+n)); err != nil {
					cancel(err)
					return
				}
				took[n] = time.Since(began)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took, context.Cause(ctx)
}

func get(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return err
}
