package main

import "context"

// backend is what the programs call, and what knows the truth: which calls were made. It is not traced.
type backend interface {
	// addr is given to the program.
	addr() string
	// seen returns how often each path was asked for since forget.
	seen() map[string]int
	forget()
	close()
}

// startBackend starts the one that a workload calls.
func startBackend(ctx context.Context, w *workload) (backend, error) {
	if w.backend != nil {
		return w.backend(ctx)
	}
	return newHTTPBackend()
}
