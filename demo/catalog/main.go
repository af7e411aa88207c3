// Catalog answers /item/<id>/<op> after asking pricing, from a goroutine started by a goroutine
// started by the handler. Beside that it calls pricing for no request at all, twice a second.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/service"
)

func main() {
	listen, peers := service.Flags()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /item/{id}/{op}", func(w http.ResponseWriter, r *http.Request) {
		price, err := nested(3, func() (string, error) {
			return service.Get(peers.Pricing, "/price/"+r.PathValue("id")+"/list-"+r.PathValue("op"))
		})
		service.Answer(w, "item "+r.PathValue("id")+" "+price, err)
	})
	go background(peers)
	service.Serve(listen, mux)
}

// nested runs work in a goroutine that is depth goroutines away from this one.
func nested(depth int, work func() (string, error)) (string, error) {
	if depth == 0 {
		return work()
	}
	type result struct {
		body string
		err  error
	}
	done := make(chan result)
	go func() {
		body, err := nested(depth-1, work)
		done <- result{body, err}
	}()
	r := <-done
	return r.body, r.err
}

func background(p service.Peers) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		<-tick.C
		if _, err := service.Get(p.Pricing, fmt.Sprintf("/background/catalog-%d", n)); err != nil {
			fmt.Fprintln(os.Stderr, "catalog: background call:", err)
		}
	}
}
