package main

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// httpBackend answers each GET after U(1,10) ms, requests of one connection in order and at once, and
// remembers their paths: that is the truth about which calls were made. It is not traced.
type httpBackend struct {
	l net.Listener

	mu    sync.Mutex // guards what follows
	paths map[string]int
	conns map[net.Conn]struct{}
}

func newHTTPBackend() (*httpBackend, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &httpBackend{l: l, paths: map[string]int{}, conns: map[net.Conn]struct{}{}}
	go b.accept()
	return b, nil
}

func (b *httpBackend) addr() string { return b.l.Addr().String() }

// close ends every connection.
func (b *httpBackend) close() {
	b.l.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.Close()
	}
}

// forget begins anew.
func (b *httpBackend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.paths)
}

// seen returns how often each path was asked for.
func (b *httpBackend) seen() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]int, len(b.paths))
	for p, n := range b.paths {
		out[p] = n
	}
	return out
}

func (b *httpBackend) accept() {
	for {
		c, err := b.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, or given up by the caller
			continue
		}
		b.mu.Lock()
		b.conns[c] = struct{}{}
		b.mu.Unlock()
		go b.serve(c)
	}
}

func (b *httpBackend) serve(c net.Conn) {
	due := make(chan reply, 1024)
	go answer(c, due)
	defer func() {
		close(due)
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		b.mu.Lock()
		b.paths[r.URL.Path]++
		b.mu.Unlock()
		due <- reply{time.Now().Add(time.Millisecond + rand.N(9*time.Millisecond)), r.Close}
		if r.Close {
			return
		}
	}
}

// reply is a response that is to be sent.
type reply struct {
	at   time.Time
	last bool // the connection is closed behind it
}

func answer(c net.Conn, due <-chan reply) {
	defer c.Close()
	for r := range due {
		time.Sleep(time.Until(r.at))
		head := "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
		if r.last {
			head += "Connection: close\r\n"
		}
		if _, err := io.WriteString(c, head+"\r\nok\n"); err != nil {
			for range due { // the reader ends with the connection
			}
			return
		}
	}
}
