package main

import (
	"context"
	"embed"
	"path/filepath"
	"strings"
)

//go:embed programs/rust
var rustPrograms embed.FS

// debianCrates is where librust-*-dev put theirs: cargo takes them instead of its registry, without a network.
const debianCrates = "/usr/share/cargo/registry"

var rustLanguage = language{
	name: "rust", packages: []string{"rustc"},
	apart: alone,
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		c, err := b.once("rust/"+w.program, func(out string) (command, error) {
			source, err := b.source(rustPrograms, "programs/rust/"+w.program)
			if err != nil {
				return command{}, err
			}
			if w.program == rustThreads {
				return command{args: []string{out}}, runTool(ctx, "rustc", "--edition", "2021", "-O", "-o", out, source)
			}
			exe := filepath.Join(out, "release", w.program)
			if err := runTool(ctx, "cargo", "build", "--quiet", "--release", "--offline", "--target-dir", out,
				"--manifest-path", filepath.Join(source, "Cargo.toml"),
				"--config", `source.crates-io.replace-with="debian"`,
				"--config", `source.debian.directory="`+debianCrates+`"`); err != nil {
				return command{}, err
			}
			return command{args: []string{exe}}, runTool(ctx, "strip", "-o", exe+stripped, exe)
		})
		if err == nil && strings.HasSuffix(w.name, stripped) {
			c.args = []string{c.args[0] + stripped}
		}
		return c, err
	},
	workloads: []workload{
		{name: "thread", what: "a thread for each connection calls", program: rustThreads, calls: 1, goal: 0.99},
		{name: "sequential", what: "the same, three calls in turn", program: rustThreads, calls: 3, goal: 0.99},
		{name: "spawn", what: "the same, a new thread calls, and is joined", program: rustThreads, calls: 1, goal: 0.99},
		{name: "spawn-sequential", what: "the same, three calls in turn", program: rustThreads, calls: 3, goal: 0.99},
		{name: "scope", what: "the same, thread::scope with three new threads", program: rustThreads, calls: 3, goal: 0.99},
		rustPool("channel", "Mutex<Receiver> of tasks, each result by a channel of its own", 1, 0.99, ""),
		rustPool("channel-sequential", "the same, three calls in a task", 3, 0, "the earlier calls of a task are known by its signature only"),
		rustPool("channel-mixed", "the same, every second task without a call", 0, 0, "an end that nobody waits for and a task without a call look like one task"),
		rustPool("channel-fan-out", "the same, three tasks at once, their results by one channel", 3, 0, "ends that nobody waits for and wake-ups without a call are both common; next: what those wake-ups are"),
		rustPool("condvar", "tasks in a Mutex with a Condvar, as each result", 1, 0.99, ""),
		rustPool("locked", "workers and connections take a Mutex", 1, 0.99, "a lock that changes hands looks like a completion"),
		rustPool("awaited", "as pool-channel; then a Condvar, after a call of another thread", 1, 0.99, ""),
		rustPool("refreshed", "as pool-channel; a thread calls while it holds a Mutex which requests wait for after their call", 1, 0.99, ""),
		tokio("handler", "current", "a task for each connection calls", 1),
		tokio("sequential", "current", "the same, three calls in turn", 3),
		tokio("spawn", "current", "the same, a new task calls, and is awaited", 1),
		tokio("join", "current", "the same, join! of three calls", 3),
		tokio("sleep", "current", "the same, a call after a sleep", 1),
		tokio("actor", "current", "a task with a connection of its own calls for others", 1),
		tokio("blocking", "current", "spawn_blocking calls", 1),
		costed(tokio("handler", "multi", "a task for each connection calls", 1)),
		tokio("sequential", "multi", "the same, three calls in turn", 3),
		tokio("spawn", "multi", "the same, a new task calls, and is awaited", 1),
		tokio("join", "multi", "the same, join! of three calls", 3),
		tokio("sleep", "multi", "the same, a call after a sleep", 1),
		tokio("actor", "multi", "a task with a connection of its own calls for others", 1),
		tokio("blocking", "multi", "spawn_blocking calls", 1),
		tokio("handler-refreshed", "multi", "a task for each connection calls; another calls while it holds a Mutex which they wait for then", 1),
		tokio("handler-awaited", "multi", "a task for each connection calls; then a watch channel, after a call of another task", 1),
		tokio("actor-awaited", "multi", "actor; then the same", 1),
		tokio("actor-refreshed", "multi", "actor; a task calls while it holds a Mutex which requests wait for after their call", 1),
		strippedTokio("handler", "current", "a task for each connection calls", 0.99, ""),
		strippedTokio("spawn", "current", "the same, a new task calls, and is awaited", 0, unnamedTasks),
		strippedTokio("blocking", "multi", "spawn_blocking calls", 0, unnamedTasks),
		strippedTokio("sleep", "multi", "a task for each connection calls, after a sleep", 0, unnamedTasks),
	},
}

const rustThreads = "threads.rs"

func rustPool(shape, what string, calls int, goal float64, cause string) workload {
	return workload{
		name: "pool-" + shape, what: what, program: rustThreads, calls: calls, pooled: true, goal: goal, cause: cause,
	}
}

// tokio has a runtime of one thread (current) or several (multi).
func tokio(shape, runtime, what string, calls int) workload {
	return workload{
		name: "tokio-" + runtime + "-" + shape, shape: shape, what: "tokio, " + runtime + "_thread: " + what,
		program: "tasks", args: []string{runtime}, packages: []string{"cargo", "librust-tokio-dev:" + debianCrates + "/tokio-1*"},
		calls: calls, pooled: strings.HasPrefix(shape, "actor"), goal: 0.99,
	}
}

// costed: the first row has threads, which no probe follows.
func costed(w workload) workload {
	w.costly = true
	return w
}

// stripped is the end of the name of a program without symbols, and of its rows.
const stripped = "-stripped"

// strippedTokio is the same without symbols: only the system calls of its loops are seen.
func strippedTokio(shape, runtime, what string, goal float64, cause string) workload {
	w := tokio(shape, runtime, what+"; without symbols", 1)
	w.name += stripped
	w.goal, w.cause = goal, cause
	return w
}

const unnamedTasks = "its tasks are not told apart, and run after what else was ready"
