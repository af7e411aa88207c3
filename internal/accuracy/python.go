package main

import (
	"context"
	"embed"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed programs/python
var pythonPrograms embed.FS

var pythonLanguage = language{
	name: "python", packages: []string{"python3"},
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		return b.once("python/"+w.program, func(string) (command, error) {
			python, err := findPython(ctx)
			if err != nil {
				return command{}, err
			}
			source, err := b.source(pythonPrograms, "programs/python/"+w.program)
			return command{args: []string{python, source}}, err
		})
	},
	workloads: []workload{
		{name: "same-thread", what: "ThreadingHTTPServer, the serving thread calls", program: "threads.py", shape: "same", calls: 1, goal: 0.99},
		{name: "spawned", what: "ThreadingHTTPServer, a new thread calls", program: "threads.py", calls: 1, goal: 0.99},
		{name: "pool", what: "ThreadPoolExecutor", program: "threads.py", calls: 1, pooled: true, cause: "nothing tells a pool's thread yet what it works for"},
		{name: "asyncio", what: "start_server and pooled connections", program: "aio.py", shape: "direct", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-sequence", what: "three calls, one after the other", program: "aio.py", shape: "sequence", calls: 3, pooled: true, goal: 0.99},
		{name: "asyncio-gather", what: "gather of three", program: "aio.py", shape: "gather", calls: 3, pooled: true, goal: 0.99},
		{name: "asyncio-sleep", what: "sleep before each of two calls", program: "aio.py", shape: "sleep", calls: 2, pooled: true, goal: 0.99},
		{name: "asyncio-timer", what: "call_later starts the task that calls", program: "aio.py", shape: "timer", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-executor", what: "run_in_executor", program: "aio.py", shape: "executor", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-executors", what: "run_in_executor three times at once", program: "aio.py", shape: "executors", calls: 3, pooled: true, goal: 0.95},
		{name: "asyncio-to-thread", what: "to_thread", program: "aio.py", shape: "to_thread", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-detached", what: "a task that is left behind calls after the response", program: "aio.py", shape: "detached", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-dispatcher", what: "a task that the first request has started calls for all", program: "aio.py", shape: "dispatcher", calls: 1, pooled: true, cause: "what goes through an asyncio.Queue is not followed"},
		{name: "asyncio-afterwards", what: "the handler calls once more when it has answered", program: "aio.py", shape: "afterwards", calls: 1, pooled: true, goal: 0.99},
	},
}

// findPython asks the interpreter where it is: what PATH has may be a script that starts it.
func findPython(ctx context.Context) (string, error) {
	exe, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "", fmt.Errorf("find python3: %w", err)
	}
	return strings.TrimSpace(string(exe)), nil
}
