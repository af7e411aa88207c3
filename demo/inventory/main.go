// Inventory answers /stock/<id> from Redis. The handler hands the work to a pool of workers over a
// channel and waits for the answer on another; a worker takes a connection from a small pool and
// sends one command, then two in one write.
package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/service"
)

const (
	workers     = 4
	connections = 3 // fewer than workers, so they wait for each other
)

type job struct {
	id     string
	answer chan<- result
}

type result struct {
	body string
	err  error
}

func main() {
	listen, peers := service.Flags()
	conns := newPool(peers.Redis, connections)
	jobs := make(chan job)
	for range workers {
		go func() {
			for j := range jobs {
				body, err := stock(conns, j.id)
				j.answer <- result{body, err}
			}
		}()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stock/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer := make(chan result)
		jobs <- job{r.PathValue("id"), answer}
		res := <-answer
		service.Answer(w, res.body, res.err)
	})
	service.Serve(listen, mux)
}

func stock(conns *pool, id string) (string, error) {
	c, err := conns.take()
	if err != nil {
		return "", err
	}
	key := "stock:" + id
	first, err := c.do([]string{plan.RedisOp(id, 0), key})
	var pair []string
	if err == nil {
		pair, err = c.do([]string{plan.RedisOp(id, 1), key}, []string{plan.RedisOp(id, 2), key})
	}
	conns.give(c, err)
	if err != nil {
		return "", fmt.Errorf("stock of %s: %w", id, err)
	}
	return "stock " + id + " " + strings.Join(append(first, pair...), " "), nil
}
