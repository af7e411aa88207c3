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
		{name: "task", what: "Task.Run and Wait: a thread of .NET's pool calls", calls: 1, pooled: true, cause: anyWork},
		{name: "task-sequential", what: "the same, three calls in turn", calls: 3, pooled: true, cause: anyWork},
		{name: "task-fan-out", what: "three tasks, WaitAll", calls: 3, pooled: true, cause: anyWork},
		{name: "task-monitor", what: "as task, a lock between the call and the end", calls: 1, pooled: true, cause: anyWork},
		{name: "collection", what: "threads that take from a BlockingCollection", calls: 1, pooled: true, cause: anyWork},
		{name: "spawn", what: "a thread for each call", calls: 1, goal: 0.99},
		{name: "wait-async", what: "an asynchronous call that the connection's thread waits for", calls: 1, pooled: true, cause: anyThread},
		{name: "async", what: "async and await throughout", calls: 1, pooled: true, cause: anyThread},
		{name: "async-sequential", what: "the same, three calls in turn", calls: 3, pooled: true, cause: anyThread},
	},
}

// anyWork is what the pool is to the kernel: causality.Habits.Resumes.
const anyWork = "whom a thread of .NET's pool wakes once it has read a response may have waited for anything: none is believed; next: as async"

// anyThread is what async and await are to the kernel.
const anyThread = "one thread of the runtime waits for all sockets, and whichever thread of the pool is free goes on with a request; " +
	"next: what it works for is in the ExecutionContext of the managed thread, to be read as Python's contexts are"
