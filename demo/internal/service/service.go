// Package service is what the demo's Go services have in common: listening on loopback, saying
// where, calling each other, and stopping on SIGTERM. It passes nothing from a request to a call
// but what the handler writes into the URL.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Peers are the addresses (host:port) of the services that this one may call.
type Peers struct {
	Catalog, Inventory, Pricing, Redis string
}

// Flags reads the command line: -listen and the addresses of the others.
func Flags() (listen string, p Peers) {
	flag.StringVar(&listen, "listen", "127.0.0.1:0", "address to listen on, host:port")
	flag.StringVar(&p.Catalog, "catalog", "", "address of catalog, host:port")
	flag.StringVar(&p.Inventory, "inventory", "", "address of inventory, host:port")
	flag.StringVar(&p.Pricing, "pricing", "", "address of pricing, host:port")
	flag.StringVar(&p.Redis, "redis", "", "address of Redis, host:port")
	flag.Parse()
	return listen, p
}

// Serve listens, prints "listening host:port" on standard output, and serves until SIGTERM or
// SIGINT. It does not return; a failure ends the process with exit code 1 and its cause.
func Serve(listen string, h http.Handler) {
	if err := serve(listen, h); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(listen string, h http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	fmt.Printf("listening %s\n", ln.Addr())
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(limit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Get calls another service with Go's default client and returns its body. An answer other than
// 200 is an error.
func Get(addr, path string) (string, error) {
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("GET %s from %s: %w", path, addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s from %s: status %d: %s", path, addr, resp.StatusCode, body)
	}
	return string(body), nil
}

// Answer writes body, or the error with status 502.
func Answer(w http.ResponseWriter, body string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = io.WriteString(w, body)
}
