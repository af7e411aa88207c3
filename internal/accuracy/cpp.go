package main

import (
	"context"
	"embed"
)

//go:embed programs/cpp
var cppPrograms embed.FS

// readAhead is what an io_context of several threads is to the kernel.
const readAhead = "a read that succeeds at once waits in the queue of handlers: its thread waits for others first (epoll), or goes on " +
	"with another request, and whichever thread is free goes on with this one; next: the function that a handler runs, which has no symbol"

var cppLanguage = language{
	name: "cpp", packages: []string{"g++", "libasio-dev:/usr/include/asio.hpp"},
	build: func(ctx context.Context, b *builder, _ *workload) (command, error) {
		return b.once("cpp/asio", func(out string) (command, error) {
			source, err := b.source(cppPrograms, "programs/cpp/asio.cpp")
			if err == nil {
				err = runTool(ctx, "g++", "-std=c++20", "-O1", "-pthread", "-o", out, source)
			}
			return command{args: []string{out}}, err
		})
	},
	workloads: []workload{
		{name: "asio-handler", shape: "handler", what: "Asio, four threads run one io_context; each client's connection has one to the backend", calls: 1, cause: readAhead},
		{name: "asio-sequential", shape: "sequential", what: "the same, three calls in turn", calls: 3, cause: readAhead},
		{name: "asio-pool", shape: "pool", what: "as asio-handler, connections are shared", calls: 1, cause: readAhead},
		{name: "asio-pool-sequential", shape: "pool-sequential", what: "the same, three calls in turn", calls: 3, cause: readAhead},
		{name: "asio-pool-fan-out", shape: "pool-fan-out", what: "the same, three calls at once", calls: 3, cause: readAhead},
		{name: "asio-pool-post", shape: "pool-post", what: "the same, a posted handler calls", calls: 1, cause: readAhead},
		{name: "asio-pool-answer", shape: "pool-answer", what: "the same, a posted handler answers", calls: 1, cause: readAhead},
		{name: "asio-pool-post-answer", shape: "pool-post-answer", what: "the same, one that calls and one that answers", calls: 1, cause: readAhead},
		{name: "asio-pool-timer", shape: "pool-timer", what: "the same, a call after a timer", calls: 1, cause: readAhead},
	},
}
