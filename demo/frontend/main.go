// Frontend is the demo's entry: /checkout/<id> asks catalog twice, one call after the other, and
// then pricing three times and inventory once, all at the same time. It uses Go's net/http server
// and default client, and knows nothing of tracing.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/service"
)

func main() {
	listen, peers := service.Flags()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkout/{id}", func(w http.ResponseWriter, r *http.Request) {
		body, err := checkout(peers, r.PathValue("id"))
		service.Answer(w, body, err)
	})
	service.Serve(listen, mux)
}

func checkout(p service.Peers, id string) (string, error) {
	var parts []string
	for _, op := range []string{"details", "related"} {
		item, err := service.Get(p.Catalog, "/item/"+id+"/"+op)
		if err != nil {
			return "", fmt.Errorf("checkout %s: %w", id, err)
		}
		parts = append(parts, item)
	}
	calls := [][2]string{{p.Inventory, "/stock/" + id}}
	for _, op := range []string{"taxed", "cached", "thread"} {
		calls = append(calls, [2]string{p.Pricing, "/price/" + id + "/" + op})
	}
	answers, err := together(calls)
	if err != nil {
		return "", fmt.Errorf("checkout %s: %w", id, err)
	}
	return strings.Join(append(parts, answers...), "\n") + "\n", nil
}

// together makes all calls at once and returns their answers in the order of calls.
func together(calls [][2]string) ([]string, error) {
	type answer struct {
		n    int
		body string
		err  error
	}
	answers := make(chan answer)
	var wg sync.WaitGroup
	for n, c := range calls {
		wg.Add(1)
		go func() {
			defer wg.Done()
			body, err := service.Get(c[0], c[1])
			answers <- answer{n, body, err}
		}()
	}
	go func() { wg.Wait(); close(answers) }()
	out := make([]string, len(calls))
	var failed []error
	for a := range answers {
		out[a.n] = a.body
		if a.err != nil {
			failed = append(failed, a.err)
		}
	}
	return out, errors.Join(failed...)
}
