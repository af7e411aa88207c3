package main

import (
	"context"
	"embed"
	"path/filepath"
)

//go:embed programs/c
var cPrograms embed.FS

// endUnseen: of pools whose results are waited for at a futex. Who comes when the result is there does not wait.
const endUnseen = "a task that has ended before anybody waits for it: such an end is not seen"

var cLanguage = language{
	name: "c", packages: []string{"gcc", "libc6-dev:/usr/include/stdio.h"},
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		return b.once("c/"+w.program, func(out string) (command, error) {
			dir, err := b.source(cPrograms, "programs/c")
			if err == nil {
				err = runTool(ctx, "gcc", "-O2", "-pthread", "-o", out, filepath.Join(dir, w.program))
			}
			return command{args: []string{out}}, err
		})
	},
	workloads: []workload{
		{name: "thread", what: "a thread and a backend connection for each connection", program: "threads.c", calls: 1, goal: 0.99},
		{name: "epoll-proxy", what: "one epoll loop", program: "loop.c", shape: "proxy", calls: 1, goal: 0.99},
		{name: "epoll-edge", what: "edge-triggered", program: "loop.c", shape: "edge", calls: 1, goal: 0.99},
		{name: "poll-proxy", what: "one poll loop", program: "loop.c", shape: "poll", calls: 1, goal: 0.99},
		{name: "select-proxy", what: "one select loop", program: "loop.c", shape: "select", calls: 1, goal: 0.99},
		{name: "epoll-busy-timer", what: "a background call every 2 ms in the loop", program: "loop.c", shape: "busy-timer", calls: 1, goal: 0.95, cause: "where the timer fires in the round that read the request, and several responses are there when it is answered, its call may be either"},
		{name: "epoll-refreshed", what: "a background call that requests wait for after theirs", program: "loop.c", shape: "refreshed", calls: 1, cause: "a request that waits for more than its call looks like one that is put off, and for a second any may be"},
		{name: "epoll-sequence", what: "three calls, one after the other", program: "loop.c", shape: "sequence", calls: 3, cause: "a process proves its chains with its first 188, and their calls wait for that only as long as hold"},
		{name: "epoll-fan-out", what: "three calls at once", program: "loop.c", shape: "fan-out", calls: 3, cause: "only the last response leads to the answer; the others say what the loop read before, which a timer could have, too"},
		{name: "epoll-queue", what: "calls wait for a connection", program: "loop.c", shape: "queue", calls: 1, pooled: true, cause: "a response leads to the next call in the queue before it leads to its answer"},
		{name: "epoll-give-up", what: "a timer answers every fourth request", program: "loop.c", shape: "give-up", calls: 1, cause: "nothing follows from the response of a call that was given up"},
		{name: "epoll-batch", what: "reads all that is ready, then writes", program: "loop.c", shape: "batch", calls: 1, cause: "the order of system calls says nothing; the runtime must (see HAProxy)"},
		{name: "epoll-batch-timer", what: "the same, a background call every 2 ms", program: "loop.c", shape: "batch-timer", calls: 1, cause: "as epoll-batch"},
		{name: "epoll-batch-early", what: "the same, made between reading and writing", program: "loop.c", shape: "batch-early", calls: 1, cause: "as epoll-batch"},
		{name: "epoll-batch-fan-out", what: "the same, three calls at once", program: "loop.c", shape: "fan-out-batch", calls: 3, cause: "as epoll-batch"},
		{name: "epoll-batch-queue", what: "as epoll-batch-timer, calls of requests wait for a connection", program: "loop.c", shape: "batch-queue", calls: 1, pooled: true, cause: "as epoll-batch"},
		{name: "epoll-give-up-timer", what: "as epoll-give-up, a background call every 2 ms", program: "loop.c", shape: "give-up-timer", calls: 1, cause: "as epoll-give-up"},
		{name: "epoll-delayed-timer", what: "as epoll-delayed, a background call every 2 ms", program: "loop.c", shape: "delayed-timer", calls: 1, cause: "as epoll-delayed"},
		{name: "epoll-delayed", what: "writes a round later than it reads", program: "loop.c", shape: "delayed", calls: 1, cause: "as epoll-batch, and it looks like a loop that answers at once; nothing may be linked"},
		pooled("wait", "pool, the connection's thread waits for its task", 1, 0.99, ""),
		pooled("two-in-turn", "the same, two tasks in turn", 2, 0.99, ""),
		pooled("chain", "the task goes through two pools", 1, 0.99, ""),
		pooled("nested", "the first pool's thread waits for the second's", 1, 0, "who passes a completion on may have taken any task meanwhile"),
		pooled("mixed", "every second request has a task without a call", 0, 0, "an end that nobody waits for and a task without a call look like one task"),
		pooled("mixed-turn", "a task without a call, then one with", 1, 0, "as pool-mixed"),
		pooled("fan-out", "three tasks at once, waited for in order", 3, 0, endUnseen),
		pooled("silent", "the same, the second without a call", 2, 0, "as pool-mixed"),
		pooled("silent-late", "the task may have ended before it is waited for; every second without a call", 0, 0, "as pool-mixed"),
		pooled("shared", "all wait at one condition variable", 1, 0, "everybody is woken: where several wait at once, nothing is believed"),
		pooled("forget", "nobody waits for the tasks of the background", 1, 0.99, ""),
		pooled("awaited", "pool; then a condition variable, after a call of another thread", 1, 0.99, ""),
		pooled("locked", "workers, connections and background take a fair lock", 1, 0, "a lock that changes hands looks like a completion"),
		pooled("locked-mixed", "the same, every second request has a task without a call", 0, 0, "as pool-mixed"),
		pooled("answer", "epoll loop, the pool calls and answers", 1, 0.99, ""),
		pooled("answer-mixed", "the same, every second request without a call, and calls for nobody", 0, 0, "a finished call may be anybody's"),
		pooled("event", "epoll loop, the pool calls and tells the loop", 1, 0, "the loop is told once of several results"),
	},
}

func pooled(shape, what string, calls int, goal float64, cause string) workload {
	return workload{
		name: "pool-" + shape, shape: shape, what: what, program: "pools.c", calls: calls, pooled: true,
		goal: goal, cause: cause,
	}
}
