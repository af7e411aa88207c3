package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
)

// backend is where calls go.
type backend struct {
	addr   string
	client *http.Client
}

func newBackend(addr string) *backend {
	return &backend{addr: addr, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

// byDefault makes a shape use a client that keeps two connections, as net/http's does unless told otherwise: most are
// opened anew, and each may come to whoever waits first.
func byDefault(of func(*backend, int) shape) func(*backend, int) shape {
	return func(b *backend, workers int) shape {
		return of(&backend{addr: b.addr, client: &http.Client{Transport: &http.Transport{}}}, workers)
	}
}

// get calls through net/http's client.
func (b *backend) get(path string) error {
	r, err := http.NewRequest(http.MethodGet, "http://"+b.addr+path, nil)
	if err != nil {
		return err
	}
	return b.do(r)
}

func (b *backend) do(r *http.Request) error {
	resp, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", r.URL.Path, resp.Status)
	}
	return nil
}

// rawConn is a connection whose bytes are written and read by whoever calls.
type rawConn struct {
	net.Conn
	in *bufio.Reader
}

func (b *backend) dial() (*rawConn, error) {
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		return nil, err
	}
	return &rawConn{c, bufio.NewReader(c)}, nil
}

func (c *rawConn) send(path string) error {
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: backend\r\n\r\n", path)
	return err
}

func (c *rawConn) receive() error {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (c *rawConn) call(path string) error {
	if err := c.send(path); err != nil {
		return err
	}
	return c.receive()
}

// raw calls on a connection of its own.
func (b *backend) raw(path string) error {
	c, err := b.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.call(path)
}
