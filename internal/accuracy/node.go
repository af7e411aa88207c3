package main

import (
	"context"
	"embed"
)

//go:embed programs/node
var nodePrograms embed.FS

var nodeLanguage = language{
	name: "node", packages: []string{"nodejs:node"},
	build: func(_ context.Context, b *builder, w *workload) (command, error) {
		return b.once("node/"+w.program, func(string) (command, error) {
			source, err := b.source(nodePrograms, "programs/node/"+w.program)
			return command{args: []string{"node", source}}, err
		})
	},
	workloads: []workload{
		loop("direct", "a call in the handler", 1, 0.99, ""),
		loop("callback", "the same, with callbacks", 1, 0.99, ""),
		loop("sequential", "three calls in turn", 3, 0.99, ""),
		loop("sequential-callback", "the same, with callbacks", 3, 0.99, ""),
		loop("no-keepalive", "a connection for each call", 1, 0.99, ""),
		loop("agent", "http.Agent with maxSockets: calls wait in its queue", 1, 0.99, ""),
		loop("agent-sequential", "the same, three calls in turn", 3, 0.99, ""),
		loop("agent-callback", "the same, with callbacks", 3, 0.99, ""),
		loop("agent-fanout", "the same, three calls at once", 3, 0.99, ""),
		loop("timer", "promise of a timer, then a call", 1, 0.99, ""),
		loop("timer-callback", "timers before and after the call, callbacks", 1, 0.99, ""),
		loop("timer-both", "promises of timers before and after the call", 1, 0, "promises have no id when nobody listens to them"),
		loop("immediate", "setImmediate, nextTick, call", 1, 0.99, ""),
		loop("file", "fs.promises.stat, then a call", 1, 0.99, ""),
		loop("file-both", "files before, between and after two calls", 2, 0.99, ""),
		loop("fanout", "three calls at once", 3, 0.99, ""),
		loop("fanout-sequential", "three times two calls in turn", 6, 0, "?"),
		loop("limiter", "a queue as p-limit has it", 1, 0.99, ""),
		loop("limiter-sequential", "the same, three calls in turn", 3, 0, "?"),
		loop("limiter-each", "the same, each call waits in it", 3, 0, "?"),
		loop("lock", "a call, a lock that is handed on, a call", 2, 0, "?"),
		loop("lock-answer", "a call, then a lock, with a timer, that is handed on", 1, 0.99, ""),
		loop("loader-tick", "a batch of what is asked for until the next tick", 1, 0, "?"),
		loop("loader-timer", "a batch of what is asked for in 2 ms", 1, 0, "?"),
		loop("loader-immediate", "a call, then such a batch until setImmediate", 2, 0, "?"),
		loop("flush", "a timer of one request makes the calls of several", 1, 0, "?"),
		loop("storage", "AsyncLocalStorage, promises of timers before and between calls", 2, 0.99, ""),
		loop("storage-limiter", "AsyncLocalStorage, p-limit", 1, 0.99, ""),
		loop("storage-agent", "AsyncLocalStorage, Agent with maxSockets, three calls in turn", 3, 0.99, ""),
	},
}

func loop(name, what string, calls int, goal float64, cause string) workload {
	return workload{name: name, what: what, program: "loop.js", calls: calls, pooled: true, goal: goal, cause: cause}
}
