package main

import (
	"context"
	"embed"
	"path/filepath"
)

//go:embed programs/rust
var rustPrograms embed.FS

// debianCrates is where librust-*-dev put theirs: cargo takes them instead of its registry, without a network.
const debianCrates = "/usr/share/cargo/registry"

var rustLanguage = language{
	name: "rust", packages: []string{"rustc"},
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		return b.once("rust/"+w.program, func(out string) (command, error) {
			source, err := b.source(rustPrograms, "programs/rust/"+w.program)
			if err != nil {
				return command{}, err
			}
			if w.program == rustThreads {
				return command{args: []string{out}}, runTool(ctx, "rustc", "--edition", "2021", "-O", "-o", out, source)
			}
			return command{args: []string{filepath.Join(out, "release", w.program)}},
				runTool(ctx, "cargo", "build", "--quiet", "--release", "--offline", "--target-dir", out,
					"--manifest-path", filepath.Join(source, "Cargo.toml"),
					"--config", `source.crates-io.replace-with="debian"`,
					"--config", `source.debian.directory="`+debianCrates+`"`)
		})
	},
	workloads: []workload{
		{name: "thread", what: "a thread for each connection calls", program: rustThreads, calls: 1, goal: 0.99},
		{name: "sequential", what: "the same, three calls in turn", program: rustThreads, calls: 3, goal: 0.99},
		{name: "spawn", what: "the same, a new thread calls, and is joined", program: rustThreads, calls: 1, goal: 0.99},
		{name: "spawn-sequential", what: "the same, three calls in turn", program: rustThreads, calls: 3, goal: 0.99},
		{name: "scope", what: "the same, thread::scope with three new threads", program: rustThreads, calls: 3, goal: 0.99},
		rustPool("channel", "Mutex<Receiver> of tasks, each result by a channel of its own", 1, 0.99, ""),
		rustPool("channel-sequential", "the same, three calls in a task", 3, 0, "the earlier calls of a task are known by its signature only"),
		rustPool("condvar", "tasks in a Mutex with a Condvar, as each result", 1, 0.99, ""),
		tokio("handler", "current", "a task for each connection calls", 1, ""),
		tokio("sequential", "current", "the same, three calls in turn", 3, ""),
		tokio("spawn", "current", "the same, a new task calls, and is awaited", 1, ""),
		tokio("join", "current", "the same, join! of three calls", 3, ""),
		tokio("handler", "multi", "a task for each connection calls", 1, ""),
		tokio("sequential", "multi", "the same, three calls in turn", 3, ""),
		tokio("spawn", "multi", "the same, a new task calls, and is awaited", 1, ""),
		tokio("join", "multi", "the same, join! of three calls", 3, ""),
	},
}

const rustThreads = "threads.rs"

func rustPool(shape, what string, calls int, goal float64, cause string) workload {
	return workload{
		name: "pool-" + shape, what: what, program: rustThreads, calls: calls, pooled: true, goal: goal, cause: cause,
	}
}

// tokio has a runtime of one thread (current) or several (multi).
func tokio(shape, runtime, what string, calls int, cause string) workload {
	return workload{
		name: "tokio-" + runtime + "-" + shape, shape: shape, what: "tokio, " + runtime + "_thread: " + what,
		program: "tasks", args: []string{runtime}, packages: []string{"cargo", "librust-tokio-dev:" + debianCrates + "/tokio-1*"},
		calls: calls, cause: cause,
	}
}
