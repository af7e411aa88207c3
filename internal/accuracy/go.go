package main

import "context"

const goProgram = "github.com/otelcol-ebpf/otelcol-ebpf/internal/accuracy/programs/go"

// Causes of several rows.
const (
	probation = "the first three values of a type: it may be that of connections, which go round, until more were seen"
	oneWrite  = "several requests in one write: whose each of them is, is known by whom the responses go to, once the reader " +
		"has shown that often enough on those that are written alone"
)

var goLanguage = language{
	name: "go", packages: []string{"golang:go"},
	apart: alone,
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		return b.once("go", func(out string) (command, error) {
			return command{args: []string{out}}, runTool(ctx, "go", "build", "-o", out, goProgram)
		})
	},
	pressure: []string{"GOGC=1"},
	workloads: []workload{
		{name: "handler", what: "net/http client in the handler", calls: 1, goal: 0.99},
		{name: "handler-default", what: "the same, net/http keeps two connections", calls: 1, goal: 0.99},
		{name: "sequential", what: "three calls in turn", calls: 3, goal: 0.99},
		{name: "late", what: "one call, and one sent after the response", calls: 1, goal: 0.99},
		{name: "late-raw", what: "the same, on a connection of its own", calls: 1, goal: 0.99},
		{name: "late-worker", what: "the same, left to a pool", calls: 1, goal: 0.99},
		{name: "upload", what: "a body that another goroutine writes", calls: 1, goal: 0.99},
		{name: "no-keepalive", what: "a connection for each call", calls: 1, goal: 0.99},
		{name: "conns-per-host", what: "MaxConnsPerHost 4", calls: 1, goal: 0.99},
		{name: "timeout-select", what: "goroutine, buffered result, select with a deadline", calls: 1, cause: "the goroutine that writes on a connection was made for another request, still open, and a call that is given up brings nothing back; next: the function that it runs, once another of the same has written for others"},
		{name: "worker-unbuffered", what: "pool, unbuffered channel", calls: 1, pooled: true, goal: 0.99},
		{name: "worker-buffered", what: "pool, buffered channel", calls: 1, pooled: true, goal: 0.99},
		{name: "worker-select", what: "pool, buffered channel and select", calls: 1, pooled: true, goal: 0.99},
		{name: "worker-struct", what: "pool, elements are structures", calls: 1, pooled: true, goal: 0.99},
		{name: "worker-cond", what: "pool, mutex and sync.Cond", calls: 1, pooled: true, goal: 0.99, cause: probation},
		{name: "worker-waitgroup", what: "pool, three tasks, results by WaitGroup and slice", calls: 3, pooled: true, goal: 0.99},
		{name: "worker-raw", what: "pool, a connection for each worker", calls: 1, pooled: true, goal: 0.99},
		{name: "worker-skip", what: "pool, buffered, WaitGroup, some tasks without a call", calls: 2, pooled: true, goal: 0.99},
		{name: "worker-spawn", what: "pool, buffered, a goroutine for each call", calls: 1, pooled: true, goal: 0.99},
		{name: "worker-ondemand", what: "pool that grows on demand, WaitGroup", calls: 2, pooled: true, goal: 0.99},
		{name: "dispatcher", what: "dispatcher, buffered workers, shared result channel", calls: 1, pooled: true, goal: 0.99, cause: probation},
		{name: "fanout", what: "three goroutines, as errgroup does", calls: 3, goal: 0.99},
		{name: "fanout-channel", what: "three goroutines, results by channel", calls: 3, goal: 0.99},
		{name: "fanout-sequential", what: "three goroutines with three calls each", calls: 9, goal: 0.99},
		{name: "nested", what: "seven nested goroutines", calls: 1, goal: 0.99},
		{name: "semaphore-struct", what: "fan-out limited by chan struct{}", calls: 3, pooled: true, goal: 0.99},
		{name: "semaphore-bool", what: "fan-out limited by chan bool", calls: 3, pooled: true, goal: 0.99},
		{name: "semaphore-child", what: "chan bool, taken by the goroutines, own connections", calls: 3, pooled: true, goal: 0.99},
		{name: "connection-pool", what: "fan-out over connections in a channel", calls: 3, pooled: true, goal: 0.99},
		{name: "singleflight", what: "a shared call, then one of its own", goal: 0.99},
		{name: "pipelined", what: "one connection, a writer and a reader goroutine", calls: 1, goal: 0.99, cause: probation},
		{name: "coalesced", what: "the same, buffered, one write for what waits", calls: 1, cause: oneWrite},
		{name: "coalesced-sorted", what: "the same, sorted, and the writer answers some by itself", calls: 1, cause: oneWrite + "; one that passes its tasks on all at once says of none by whom it is to be answered"},
		{name: "coalesced-batches", what: "the same, and the reader gives the responses of a write in the order of the tasks, when all are there", calls: 1, cause: "the reader waits for all responses of a batch, so what it gives away does not tell which was whose"},
		{name: "raw-grandchild", what: "own connection in a grandchild goroutine", calls: 1, goal: 0.99},
		{name: "raw-fanout", what: "three goroutines with a connection each", calls: 3, goal: 0.99},
		{name: "batch", what: "one call for several requests, then one of its own", goal: 0.99},
		{name: "batch-buffered", what: "the same, everything buffered", goal: 0.99},
		{name: "leader", what: "a request makes one call for several, then one of its own", goal: 0.99},
		{name: "wake-spawn", what: "tasks in a slice, a channel that only wakes", calls: 1, cause: "tasks wait in a slice, and who makes goroutines for them is only woken, once for several; that such a goroutine is done (sync.WaitGroup) says nothing of its call, which may be of a task that ended unseen before; next: where goroutines end"},
		{name: "stages", what: "a worker calls, passes on, and another calls", calls: 2, pooled: true, goal: 0.99, cause: probation},
		{name: "stages-default", what: "the same, net/http keeps two connections", calls: 2, pooled: true, cause: "a connection that another worker has had opened may be another task, until some 190 calls have come back of which it was none: more than a cell has"},
		{name: "opened-default", what: "every second request as stages-default, of the others workers take the task with a connection that was opened for it", calls: 2, pooled: true, cause: "a connection that was opened for another request may be the next task, and here it is"},
		{name: "retried", what: "workers on demand, some tasks go back into the queue", pooled: true, goal: 0.95, cause: "who puts a task back and takes another, and then the first again, had both at once"},
		{name: "sql-handler", what: "handlers wait for connections, as database/sql does", calls: 1, pooled: true, goal: 0.99},
		{name: "sql-fanout", what: "the same, three goroutines", calls: 3, pooled: true, goal: 0.99, cause: "until a connection has gone round, who waits for one may have got a task"},
		{name: "sql-workers", what: "the same, workers with a WaitGroup, two calls", calls: 2, pooled: true, goal: 0.99, cause: "until a connection has gone round, who waits for one may have got a task"},
		{name: "pool-handler", what: "connections in a channel, taken by handlers", calls: 1, pooled: true, goal: 0.99},
		{name: "pool-workers", what: "the same, by workers with a WaitGroup, two calls", calls: 2, pooled: true, cause: "until a connection has gone round, it may be a task; the rest is not known"},
		{name: "pool-mixed", what: "the same, by handlers, goroutines and workers", calls: 4, pooled: true, goal: 0.99, cause: "as pool-workers"},
		{name: "pool-types", what: "the same, another type of connections every few requests", calls: 4, pooled: true, cause: probation},
		{name: "pool-batch", what: "the same, by handlers, and by workers that take two tasks before they begin; WaitGroup", calls: 2, pooled: true, cause: "who has two tasks at once may have made the call for either"},
		{name: "slots-pool", what: "slots and connections, as go-redis has them, three goroutines", calls: 3, pooled: true, goal: 0.99},
		{name: "worker-own", what: "workers with a channel each, as fasthttp has them", calls: 1, goal: 0.99},
		{name: "refreshed-mutex", what: "worker-buffered; a goroutine calls while it holds a sync.RWMutex which requests wait for after their call", calls: 1, pooled: true, goal: 0.99},
		{name: "refreshed-channel", what: "the same, a channel with room for one", calls: 1, pooled: true, goal: 0.99},
		{name: "awaited-closed", what: "worker-buffered; then a channel that is closed after a call of another goroutine", calls: 1, pooled: true, goal: 0.99},
		{name: "awaited-group", what: "the same, a sync.WaitGroup", calls: 1, pooled: true, goal: 0.99},
		{name: "awaited-condition", what: "the same, a sync.Cond", calls: 1, pooled: true, goal: 0.99},
		{name: "refreshed-token", what: "the same, a channel with one element", calls: 1, pooled: true, goal: 0.99},
		{name: "redis-pool", what: "Redis, a command on a connection of a pool", backend: newRedisBackend, packages: []string{"redis-server"}, calls: 1, pooled: true, goal: 0.99},
		{name: "redis-pipelined", what: "Redis, three commands in one write", backend: newRedisBackend, packages: []string{"redis-server"}, calls: 3, pooled: true, goal: 0.99},
		{name: "redis-multiplexed", what: "Redis, one connection, a writer and a reader goroutine", backend: newRedisBackend, packages: []string{"redis-server"}, calls: 1, cause: oneWrite},
	},
}
