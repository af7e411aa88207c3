package main

import (
	"context"
	"embed"
)

//go:embed programs/mono
var monoPrograms embed.FS

// monoLanguage is .NET as Debian has it. Mono has the class library and the compiler of its time, and a thread pool,
// locks and asynchronous sockets of its own, in C; what holds here need not hold for Microsoft's runtime.
var monoLanguage = language{
	name: "mono", packages: []string{"mono-mcs:mcs", "mono-runtime:mono"},
	// A request leaves some 10 KiB of garbage; a collection stops all threads.
	pressure: []string{"MONO_GC_PARAMS=nursery-size=64k"},
	build: func(ctx context.Context, b *builder, _ *workload) (command, error) {
		return b.once("mono", func(out string) (command, error) {
			source, err := b.source(monoPrograms, "programs/mono/Server.cs")
			if err != nil {
				return command{}, err
			}
			out += ".exe"
			return command{args: []string{"mono", out}}, runTool(ctx, "mcs", "-optimize+", "-out:"+out, source)
		})
	},
	workloads: []workload{
		{name: "thread", what: "a thread and a backend connection for each connection", calls: 1, goal: 0.99},
		{name: "task", what: "Task.Run and Wait: a thread of .NET's pool calls", calls: 1, pooled: true, cause: ownWakes},
		{name: "task-sequential", what: "the same, three calls in turn", calls: 3, pooled: true, cause: "the earlier calls of a task are known by its signature only"},
		{name: "task-fan-out", what: "three tasks, WaitAll", calls: 3, pooled: true, cause: "the waiting thread is woken once, by the task that ends last: the ends of the others are seen by nobody"},
		{name: "task-monitor", what: "as task, a lock between the call and the end", calls: 1, pooled: true, cause: "a lock that changes hands looks like a completion"},
		{name: "collection", what: "threads that take from a BlockingCollection", calls: 1, pooled: true, cause: ownWakes},
		{name: "spawn", what: "a thread for each call", calls: 1, goal: 0.99},
		{name: "wait-async", what: "an asynchronous call that the connection's thread waits for", calls: 1, pooled: true, cause: anyThread},
		{name: "async", what: "async and await throughout", calls: 1, pooled: true, cause: anyThread},
		{name: "async-sequential", what: "the same, three calls in turn", calls: 3, pooled: true, cause: anyThread},
	},
}

// ownWakes: WAKE_OTHERS_TOO of bpf/event.h.
const ownWakes = "a worker that has read the response may wake another one, the pool's own thread or, where garbage is collected all the " +
	"time, any, before that of the request: the first may have waited for the call; so a process is believed or not, by chance"

// anyThread is what async and await are to the kernel.
const anyThread = "one thread of the runtime waits for all sockets, and whichever thread of the pool is free goes on with a request; " +
	"next: what it works for is in the ExecutionContext of the managed thread, to be read as Python's contexts are"
