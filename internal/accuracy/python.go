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
