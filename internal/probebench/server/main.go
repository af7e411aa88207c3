// Command server is the Go server of probebench: it answers every request with a body of as many
// bytes as its argument says, on a loopback port that it prints.
package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s body-bytes", os.Args[0])
	}
	size, err := strconv.ParseUint(os.Args[1], 10, 20)
	if err != nil {
		return fmt.Errorf("body-bytes: %w", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	body := bytes.Repeat([]byte("x"), int(size))
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(body)
	}))
}
