package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
)

// loader is the load generator. It is not traced, so each request starts a trace. Its connections
// stay open from before the collector starts until the end.
type loader struct {
	client *http.Client
	addr   map[string]string // by service
}

func newLoader() *loader {
	return &loader{
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			MaxIdleConnsPerHost: 256, IdleConnTimeout: 10 * time.Minute, DisableCompression: true,
		}},
		addr: map[string]string{},
	}
}

func (l *loader) one(ctx context.Context, r plan.Request) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.addr[r.Root.Service]+r.Path(), nil)
	if err != nil {
		return err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("GET %s: %w", r.Path(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: status %d: %s", r.Path(), resp.StatusCode, body)
	}
	return nil
}

// all sends every request, at most concurrency at a time, and reports all failures.
func (l *loader) all(ctx context.Context, requests []plan.Request, concurrency int) error {
	next := make(chan plan.Request)
	var mu sync.Mutex // guards errs
	var errs []error
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for r := range next {
				if err := l.one(ctx, r); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, r := range requests {
		next <- r
	}
	close(next)
	wg.Wait()
	if n := len(errs); n > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more requests failed", n-3))
	}
	return errors.Join(errs...)
}

func (l *loader) close() { l.client.CloseIdleConnections() }
