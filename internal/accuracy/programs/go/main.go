// Command go is a server that makes its outgoing calls in one of the ways in which Go programs
// do: the first argument; the second is the backend's address, the third the size of pools. It knows
// nothing of the tracer.
//
// GET /r/<id> makes calls GET /d/<id>/<op> to the backend; all the while the process makes calls
// /d/bg/<n> that belong to no request. It prints its address, and ends with its standard input.
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// shape is one way of making calls.
type shape struct {
	// serve makes the calls of one request and returns when they are done.
	serve func(id string) error
	// background makes the n-th call that belongs to no request, by the same ways where there are any.
	background func(path string) error
}

// every is how often a background call is made.
const every = 4 * time.Millisecond

func main() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: %s SHAPE BACKEND POOL", os.Args[0]))
	}
	newShape := shapes[os.Args[1]]
	if newShape == nil {
		fail(fmt.Errorf("no shape is called %q", os.Args[1]))
	}
	// Workers, slots or connections, where the shape has them.
	pool, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fail(err)
	}
	s := newShape(newBackend(os.Args[2]), pool)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /r/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		serving(r, id)
		if err := s.serve(id); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	go func() { fail(new(answers).server(mux).Serve(l)) }()
	go tick(s)
	fmt.Println(l.Addr())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// tick makes background calls, one at a time, until the process ends.
func tick(s shape) {
	for n := 0; ; n++ {
		time.Sleep(every)
		if err := s.background("/d/bg/" + strconv.Itoa(n)); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "accuracy/programs/go:", err)
	os.Exit(1)
}
