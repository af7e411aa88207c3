package main

import "strings"

// workload is one way of making calls.
type workload struct {
	name string // runtime/shape
	what string
	// program names what build makes; shape is its argument.
	program, shape string
	// calls says how many calls a request makes; 0: it depends.
	calls int
}

// workloads is the table: a row is a workload.
var workloads = []workload{
	{"go/handler", "net/http client in the handler", "go", "handler", 1},
	{"go/sequential", "three calls in turn", "go", "sequential", 3},
	{"go/late", "one call, and one sent after the response", "go", "late", 1},
	{"go/late-raw", "the same, on a connection of its own", "go", "late-raw", 1},
	{"go/late-worker", "the same, left to a pool", "go", "late-worker", 1},
	{"go/upload", "a body that another goroutine writes", "go", "upload", 1},
	{"go/no-keepalive", "a connection for each call", "go", "no-keepalive", 1},
	{"go/conns-per-host", "MaxConnsPerHost 4", "go", "conns-per-host", 1},
	{"go/timeout-select", "goroutine, buffered result, select with a deadline", "go", "timeout-select", 1},
	{"go/worker-unbuffered", "pool, unbuffered channel", "go", "worker-unbuffered", 1},
	{"go/worker-buffered", "pool, buffered channel", "go", "worker-buffered", 1},
	{"go/worker-select", "pool, buffered channel and select", "go", "worker-select", 1},
	{"go/worker-struct", "pool, elements are structures", "go", "worker-struct", 1},
	{"go/worker-cond", "pool, mutex and sync.Cond", "go", "worker-cond", 1},
	{"go/worker-waitgroup", "pool, three tasks, results by WaitGroup and slice", "go", "worker-waitgroup", 3},
	{"go/worker-raw", "pool, a connection for each worker", "go", "worker-raw", 1},
	{"go/worker-skip", "pool, buffered, WaitGroup, some tasks without a call", "go", "worker-skip", 2},
	{"go/worker-spawn", "pool, buffered, a goroutine for each call", "go", "worker-spawn", 1},
	{"go/worker-ondemand", "pool that grows on demand, WaitGroup", "go", "worker-ondemand", 2},
	{"go/dispatcher", "dispatcher, buffered workers, shared result channel", "go", "dispatcher", 1},
	{"go/fanout", "three goroutines, as errgroup does", "go", "fanout", 3},
	{"go/fanout-channel", "three goroutines, results by channel", "go", "fanout-channel", 3},
	{"go/fanout-sequential", "three goroutines with three calls each", "go", "fanout-sequential", 9},
	{"go/nested", "seven nested goroutines", "go", "nested", 1},
	{"go/semaphore-struct", "fan-out limited by chan struct{}", "go", "semaphore-struct", 3},
	{"go/semaphore-bool", "fan-out limited by chan bool", "go", "semaphore-bool", 3},
	{"go/semaphore-child", "chan bool, taken by the goroutines, own connections", "go", "semaphore-child", 3},
	{"go/connection-pool", "fan-out over connections in a channel", "go", "connection-pool", 3},
	{"go/singleflight", "a shared call, then one of its own", "go", "singleflight", 0},
	{"go/pipelined", "one connection, a writer and a reader goroutine", "go", "pipelined", 1},
	{"go/coalesced", "the same, buffered, one write for what waits", "go", "coalesced", 1},
	{"go/raw-grandchild", "own connection in a grandchild goroutine", "go", "raw-grandchild", 1},
	{"go/raw-fanout", "three goroutines with a connection each", "go", "raw-fanout", 3},
	{"python/same-thread", "ThreadingHTTPServer, the serving thread calls", "python", "same", 1},
	{"python/spawned", "ThreadingHTTPServer, a new thread calls", "python", "spawned", 1},
	{"python/pool", "ThreadPoolExecutor", "python", "pool", 1},
	{"c/thread", "a thread and a backend connection for each connection", "c", "thread", 1},
}

func workloadNames() string {
	names := make([]string, len(workloads))
	for i, w := range workloads {
		names[i] = w.name
	}
	return strings.Join(names, ", ")
}
