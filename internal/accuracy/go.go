package main

import "context"

const goProgram = "github.com/otelcol-ebpf/otelcol-ebpf/internal/accuracy/programs/go"

var goLanguage = language{
	name: "go", packages: []string{"golang:go"},
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		return b.once("go", func(out string) (command, error) {
			return command{args: []string{out}}, runTool(ctx, "go", "build", "-o", out, goProgram)
		})
	},
	pressure: []string{"GOGC=1"},
	workloads: []workload{
		{name: "handler", what: "net/http client in the handler", calls: 1},
		{name: "sequential", what: "three calls in turn", calls: 3},
		{name: "late", what: "one call, and one sent after the response", calls: 1},
		{name: "late-raw", what: "the same, on a connection of its own", calls: 1},
		{name: "late-worker", what: "the same, left to a pool", calls: 1},
		{name: "upload", what: "a body that another goroutine writes", calls: 1},
		{name: "no-keepalive", what: "a connection for each call", calls: 1},
		{name: "conns-per-host", what: "MaxConnsPerHost 4", calls: 1},
		{name: "timeout-select", what: "goroutine, buffered result, select with a deadline", calls: 1},
		{name: "worker-unbuffered", what: "pool, unbuffered channel", calls: 1, pooled: true},
		{name: "worker-buffered", what: "pool, buffered channel", calls: 1, pooled: true},
		{name: "worker-select", what: "pool, buffered channel and select", calls: 1, pooled: true},
		{name: "worker-struct", what: "pool, elements are structures", calls: 1, pooled: true},
		{name: "worker-cond", what: "pool, mutex and sync.Cond", calls: 1, pooled: true},
		{name: "worker-waitgroup", what: "pool, three tasks, results by WaitGroup and slice", calls: 3, pooled: true},
		{name: "worker-raw", what: "pool, a connection for each worker", calls: 1, pooled: true},
		{name: "worker-skip", what: "pool, buffered, WaitGroup, some tasks without a call", calls: 2, pooled: true},
		{name: "worker-spawn", what: "pool, buffered, a goroutine for each call", calls: 1, pooled: true},
		{name: "worker-ondemand", what: "pool that grows on demand, WaitGroup", calls: 2, pooled: true},
		{name: "dispatcher", what: "dispatcher, buffered workers, shared result channel", calls: 1, pooled: true},
		{name: "fanout", what: "three goroutines, as errgroup does", calls: 3},
		{name: "fanout-channel", what: "three goroutines, results by channel", calls: 3},
		{name: "fanout-sequential", what: "three goroutines with three calls each", calls: 9},
		{name: "nested", what: "seven nested goroutines", calls: 1},
		{name: "semaphore-struct", what: "fan-out limited by chan struct{}", calls: 3, pooled: true},
		{name: "semaphore-bool", what: "fan-out limited by chan bool", calls: 3, pooled: true},
		{name: "semaphore-child", what: "chan bool, taken by the goroutines, own connections", calls: 3, pooled: true},
		{name: "connection-pool", what: "fan-out over connections in a channel", calls: 3, pooled: true},
		{name: "singleflight", what: "a shared call, then one of its own"},
		{name: "pipelined", what: "one connection, a writer and a reader goroutine", calls: 1},
		{name: "coalesced", what: "the same, buffered, one write for what waits", calls: 1},
		{name: "raw-grandchild", what: "own connection in a grandchild goroutine", calls: 1},
		{name: "raw-fanout", what: "three goroutines with a connection each", calls: 3},
		{name: "batch", what: "one call for several requests, then one of its own"},
		{name: "batch-buffered", what: "the same, everything buffered"},
		{name: "leader", what: "a request makes one call for several, then one of its own"},
		{name: "wake-spawn", what: "tasks in a slice, a channel that only wakes", calls: 1},
		{name: "stages", what: "a worker calls, passes on, and another calls", calls: 2, pooled: true},
		{name: "retried", what: "workers on demand, some tasks go back into the queue", pooled: true},
		{name: "sql-handler", what: "handlers wait for connections, as database/sql does", calls: 1, pooled: true},
		{name: "sql-fanout", what: "the same, three goroutines", calls: 3, pooled: true},
		{name: "sql-workers", what: "the same, workers with a WaitGroup, two calls", calls: 2, pooled: true},
		{name: "pool-handler", what: "connections in a channel, taken by handlers", calls: 1, pooled: true},
		{name: "pool-workers", what: "the same, by workers with a WaitGroup, two calls", calls: 2, pooled: true},
		{name: "pool-mixed", what: "the same, by handlers, goroutines and workers", calls: 4, pooled: true},
		{name: "pool-types", what: "the same, another type of connections every few requests", calls: 4, pooled: true},
		{name: "slots-pool", what: "slots and connections, as go-redis has them, three goroutines", calls: 3, pooled: true},
		{name: "worker-own", what: "workers with a channel each, as fasthttp has them", calls: 1},
		{name: "redis-pool", what: "Redis, a command on a connection of a pool", backend: newRedisBackend, packages: []string{"redis-server"}, calls: 1, pooled: true},
		{name: "redis-pipelined", what: "Redis, three commands in one write", backend: newRedisBackend, packages: []string{"redis-server"}, calls: 3, pooled: true},
		{name: "redis-multiplexed", what: "Redis, one connection, a writer and a reader goroutine", backend: newRedisBackend, packages: []string{"redis-server"}, calls: 1, cause: "several requests in one write, tasks taken from a buffered channel unseen"},
	},
}
