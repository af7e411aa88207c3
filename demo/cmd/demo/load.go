package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// from makes the load come from another address of this machine.
func (l *loader) from(address net.IP) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: address}}
	l.client.Transport.(*http.Transport).DialContext = dialer.DialContext
}

// outsideAddress is an address of this machine that is not loopback.
func outsideAddress() (net.IP, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP, nil
		}
	}
	return nil, errors.New("-early: this machine has no IPv4 address but loopback: give it one, e.g. ip address add 192.0.2.9/32 dev lo")
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
