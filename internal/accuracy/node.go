package main

import (
	"context"
	"embed"
)

//go:embed programs/node
var nodePrograms embed.FS

// unlearned: of rows with several calls in turn. Where requests come one by one, it takes longest until enough
// were seen.
const unlearned = "one by one, on a busy machine: calls whose hold was over before enough chains could be checked"

var nodeLanguage = language{
	name: "node", packages: []string{"nodejs:node"},
	apart: alone,
	build: func(_ context.Context, b *builder, w *workload) (command, error) {
		return b.once("node/"+w.program, func(string) (command, error) {
			source, err := b.source(nodePrograms, "programs/node/"+w.program)
			return command{args: []string{"node", source}}, err
		})
	},
	pressure: []string{"GARBAGE=1", "NODE_OPTIONS=--max-semi-space-size=1"}, // MB
	pauses: []string{
		"direct", "sequential", "sequential-callback", "agent-sequential", "agent-fanout", "timer", "file-both", "fanout", "limiter",
		"limiter-shared", "queue-callback", "loader-tick", "flush", "bound-queue", "storage-agent",
	},
	workloads: []workload{
		loop("direct", "a call in the handler", 1, 0.99, ""),
		loop("callback", "the same, with callbacks", 1, 0.99, ""),
		loop("sequential", "three calls in turn", 3, 0.99, unlearned),
		loop("sequential-callback", "the same, with callbacks", 3, 0.99, unlearned),
		loop("no-keepalive", "a connection for each call", 1, 0.99, ""),
		loop("agent", "http.Agent with maxSockets: calls wait in its queue", 1, 0.99, ""),
		loop("agent-sequential", "the same, three calls in turn", 3, 0.99, unlearned),
		loop("agent-callback", "the same, with callbacks", 3, 0.99, unlearned),
		loop("agent-fanout", "the same, three calls at once", 3, 0.99, ""),
		loop("timer", "promise of a timer, then a call", 1, 0.99, ""),
		loop("timer-callback", "timers before and after the call, callbacks", 1, 0.99, ""),
		loop("timer-both", "promises of timers before and after the call", 1, 0, "promises have no id when nobody listens to them"),
		loop("immediate", "setImmediate, nextTick, call", 1, 0.99, ""),
		loop("file", "fs.promises.stat, then a call", 1, 0.99, ""),
		loop("file-both", "files before, between and after two calls", 2, 0.99, ""),
		loop("fanout", "three calls at once", 3, 0.99, ""),
		loop("fanout-sequential", "three times two calls in turn", 6, 0, "only the last call of the branch that ends last closes its chain"),
		loop("limiter", "a queue as p-limit has it", 1, 0.99, ""),
		loop("limiter-sequential", "the same, three calls in turn", 3, 0, "a promise has no id, so a task of the queue looks like what follows the response"),
		loop("limiter-each", "the same, each call waits in it", 3, 0, "the same"),
		loop("limiter-shared", "the same, the background waits in it as well", 3, 0, "the same"),
		loop("queue-callback", "the same with callbacks", 3, 0, "the same"),
		loop("lock", "a call, a lock that is handed on, a call", 2, 0.99, ""),
		loop("lock-answer", "a call, then a lock, with a timer, that is handed on", 1, 0.99, ""),
		loop("lock-refreshed", "a call, then a lock, which a timer has while it calls", 1, 0.99, ""),
		loop("promise-refreshed", "a call, then a promise that is settled by the call of a timer", 1, 0.99, ""),
		loop("loader-tick", "a batch of what is asked for until the next tick", 1, 0.99, ""),
		loop("loader-timer", "a batch of what is asked for in 2 ms", 1, 0, "each call of a batch is for several requests, as far as can be seen"),
		loop("loader-immediate", "a call, then such a batch until setImmediate", 2, 0, "the same of the second call"),
		loop("flush", "a timer of one request makes the calls of several", 1, 0.99, ""),
		loop("flush-sequential", "the same, three calls in turn for each", 3, 0, "the same"),
		loop("bound-queue", "a queue with AsyncResource.bind, three calls in turn", 3, 0.95, unlearned),
		loop("bound-file", "the same, a file before them", 3, 0.99, unlearned),
		loop("storage", "AsyncLocalStorage, promises of timers before and between calls", 2, 0.99, ""),
		loop("storage-limiter", "AsyncLocalStorage, p-limit", 1, 0.99, ""),
		loop("storage-agent", "AsyncLocalStorage, Agent with maxSockets, three calls in turn", 3, 0.99, "one by one: a last call beside which another response had come when the request was answered; there are too few such chains to believe them"),
	},
}

func loop(name, what string, calls int, goal float64, cause string) workload {
	return workload{name: name, what: what, program: "loop.js", calls: calls, pooled: true, goal: goal, cause: cause}
}
