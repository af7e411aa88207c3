package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed programs/python
var pythonPrograms embed.FS

var pythonLanguage = language{
	name: "python", packages: []string{"python3"},
	apart: pythonHome,
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		python, err := findPython(ctx, w)
		if err != nil {
			return command{}, err
		}
		dir, err := b.source(pythonPrograms, "programs/python")
		return command{args: []string{python, filepath.Join(dir, w.program)}}, err
	},
	pressure: []string{"GARBAGE=1"},
	pauses: []string{
		"pool", "pool-fanout", "queue", "asyncio", "asyncio-gather", "asyncio-timer", "asyncio-executor", "asyncio-executors", "uvicorn",
		"uvicorn-to-thread", "uvloop", "aiohttp", "gunicorn-gthread", "gunicorn-fanout",
	},
	workloads: []workload{
		{name: "same-thread", what: "ThreadingHTTPServer, the serving thread calls", program: "threads.py", shape: "same", calls: 1, goal: 0.99},
		{name: "spawned", what: "ThreadingHTTPServer, a new thread calls", program: "threads.py", calls: 1, goal: 0.99},
		{name: "pool", what: "ThreadPoolExecutor", program: "threads.py", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio", what: "start_server and pooled connections", program: "aio.py", shape: "direct", calls: 1, pooled: true, goal: 0.99, costly: true},
		{name: "asyncio-sequence", what: "three calls, one after the other", program: "aio.py", shape: "sequence", calls: 3, pooled: true, goal: 0.99},
		{name: "asyncio-gather", what: "gather of three", program: "aio.py", shape: "gather", calls: 3, pooled: true, goal: 0.99},
		{name: "asyncio-sleep", what: "sleep before each of two calls", program: "aio.py", shape: "sleep", calls: 2, pooled: true, goal: 0.99},
		{name: "asyncio-timer", what: "call_later starts the task that calls", program: "aio.py", shape: "timer", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-executor", what: "run_in_executor", program: "aio.py", shape: "executor", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-executors", what: "run_in_executor three times at once", program: "aio.py", shape: "executors", calls: 3, pooled: true, goal: 0.99},
		{name: "asyncio-to-thread", what: "to_thread", program: "aio.py", shape: "to_thread", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-detached", what: "a task that is left behind calls after the response", program: "aio.py", shape: "detached", calls: 1, pooled: true, goal: 0.99},
		{name: "asyncio-dispatcher", what: "a task that the first request has started calls for all", program: "aio.py", shape: "dispatcher", calls: 1, pooled: true, cause: "what goes through an asyncio.Queue is not followed"},
		{name: "asyncio-afterwards", what: "the handler calls once more when it has answered", program: "aio.py", shape: "afterwards", calls: 1, pooled: true, cause: "what a task does between two requests of a connection may be for either"},
		{name: "pool-fanout", what: "ThreadPoolExecutor, three at once", program: "threads.py", shape: "fanout", calls: 3, pooled: true, goal: 0.99},
		{name: "pool-awaited", what: "ThreadPoolExecutor; then an Event, after a call of another thread", program: "threads.py", calls: 1, pooled: true, goal: 0.99},
		{name: "pool-singleflight", what: "ThreadPoolExecutor; then the Future of a call of which there is one at a time", program: "threads.py", calls: 0, pooled: true, goal: 0.99},
		{name: "queue-awaited", what: "queue; then an Event, after a call of another thread", program: "threads.py", calls: 1, pooled: true, cause: "as queue"},
		{name: "pool-refreshed", what: "ThreadPoolExecutor; a thread calls while it holds a Lock which requests wait for after their call", program: "threads.py", calls: 1, pooled: true, goal: 0.99},
		{name: "queue", what: "threads that take tasks from a queue.Queue", program: "threads.py", shape: "queue", calls: 1, pooled: true, cause: "a queue.Queue is written in Python: only what comes back is seen"},
		{name: "queue-refreshed", what: "the same; a thread calls while it holds a Lock which requests wait for after their call", program: "threads.py", calls: 1, pooled: true, cause: "as queue"},
		{name: "uvicorn", what: "uvicorn on asyncio, pooled connections", program: "asgi.py", shape: "direct", args: []string{"asyncio"}, home: "/usr", packages: uvicornPackages, calls: 1, pooled: true, goal: 0.99},
		{name: "uvicorn-gather", what: "the same, gather of three", program: "asgi.py", shape: "gather", args: []string{"asyncio"}, home: "/usr", packages: uvicornPackages, calls: 3, pooled: true, goal: 0.99},
		{name: "uvicorn-to-thread", what: "the same, to_thread", program: "asgi.py", shape: "to_thread", args: []string{"asyncio"}, home: "/usr", packages: uvicornPackages, calls: 1, pooled: true, goal: 0.99},
		{name: "uvicorn-afterwards", what: "the same, one more call after the response", program: "asgi.py", shape: "afterwards", args: []string{"asyncio"}, home: "/usr", packages: uvicornPackages, calls: 1, pooled: true, goal: 0.99},
		{name: "uvloop", what: "uvicorn on uvloop", program: "asgi.py", shape: "direct", args: []string{"uvloop"}, home: "/usr", packages: uvloopPackages, calls: 1, pooled: true, goal: 0.99, costly: true},
		{name: "uvloop-gather", what: "the same, gather of three", program: "asgi.py", shape: "gather", args: []string{"uvloop"}, home: "/usr", packages: uvloopPackages, calls: 3, pooled: true, goal: 0.99},
		{name: "uvloop-executors", what: "the same, run_in_executor three times at once", program: "asgi.py", shape: "executors", args: []string{"uvloop"}, home: "/usr", packages: uvloopPackages, calls: 3, pooled: true, goal: 0.99},
		{name: "uvloop-shared", what: "the same, tasks write to connections that they share", program: "asgi.py", shape: "shared", args: []string{"uvloop"}, home: "/usr", packages: uvloopPackages, calls: 1, pooled: true, cause: "what several tasks write to one stream in one round goes in one system call"},
		{name: "uvloop-dispatcher", what: "the same, a task that the first request has started calls for all", program: "asgi.py", shape: "dispatcher", args: []string{"uvloop"}, home: "/usr", packages: uvloopPackages, calls: 1, pooled: true, cause: "what goes through an asyncio.Queue is not followed"},
		{name: "uvloop-afterwards", what: "the same, one more call after the response", program: "asgi.py", shape: "afterwards", args: []string{"uvloop"}, home: "/usr", packages: uvloopPackages, calls: 1, pooled: true, goal: 0.99},
		{name: "aiohttp", what: "server and client of aiohttp", program: "aioweb.py", shape: "direct", home: "/usr", packages: aiohttpPackages, calls: 1, pooled: true, goal: 0.99},
		{name: "aiohttp-gather", what: "the same, gather of three", program: "aioweb.py", shape: "gather", home: "/usr", packages: aiohttpPackages, calls: 3, pooled: true, goal: 0.99},
		{name: "gunicorn-sync", what: "gunicorn, a process for each request at a time", serve: gunicorn("sync"), shape: "direct", packages: []string{"gunicorn"}, calls: 1, pooled: true, goal: 0.99},
		{name: "gunicorn-gthread", what: "gunicorn, threads", serve: gunicorn("gthread"), shape: "direct", packages: []string{"gunicorn"}, calls: 1, pooled: true, goal: 0.99},
		{name: "gunicorn-fanout", what: "gunicorn, threads, three calls at once in a pool", serve: gunicorn("gthread"), shape: "fanout", packages: []string{"gunicorn"}, calls: 3, pooled: true, goal: 0.99},
	},
}

// Packages of Debian are for its own interpreter.
var (
	uvicornPackages = []string{"python3-uvicorn:/usr/lib/python3/dist-packages/uvicorn"}
	uvloopPackages  = []string{uvicornPackages[0], "python3-uvloop:/usr/lib/python3/dist-packages/uvloop"}
	aiohttpPackages = []string{"python3-aiohttp:/usr/lib/python3/dist-packages/aiohttp"}
)

// gunicorn serves wsgi.py with two workers.
func gunicorn(class string) func(context.Context, *builder, *workload, site) (command, error) {
	return func(_ context.Context, b *builder, w *workload, s site) (command, error) {
		dir, err := b.source(pythonPrograms, "programs/python")
		return command{
			args: []string{
				"/usr/bin/python3", "-m", "gunicorn", "-k", class, "--threads", strconv.Itoa(max(s.pool, 2)), "-w", "2",
				"--chdir", dir, "-b", s.listen, "--log-level", "error", "wsgi:app",
			},
			env: []string{"BACKEND=" + s.backend, "SHAPE=" + w.shape},
		}, err
	}
}

// findPython asks the interpreter where it is: what PATH has may be a script that starts it.
func findPython(ctx context.Context, w *workload) (string, error) {
	if w.home != "" {
		return filepath.Join(w.home, "bin/python3"), nil
	}
	exe, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "", fmt.Errorf("find python3: %w", err)
	}
	return strings.TrimSpace(string(exe)), nil
}

// pythonFiles prints where an interpreter looks for its library, its extension modules, and what it is linked with.
const pythonFiles = `import sys
print(sys.prefix)
print("".join(d for d in sys.path if d.endswith("/lib-dynload")))
print("".join({line[line.index("/"):-1] for line in open("/proc/self/maps") if "/libpython3." in line}))`

// pythonHome: an interpreter looks for its library beside itself. What is probed may be in libpython, and is in a module.
func pythonHome(ctx context.Context, original, dir string) ([]string, error) {
	out, err := exec.CommandContext(ctx, original, "-c", pythonFiles).Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its files: %w", original, err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 3 {
		return nil, fmt.Errorf("%s says of its files %q", original, out)
	}
	prefix, modules, library := lines[0], lines[1], lines[2]
	env := []string{"PYTHONHOME=" + prefix}
	if modules != "" {
		// lib/python3.11/lib-dynload of what Python calls exec_prefix.
		to := filepath.Join(dir, "lib", filepath.Base(filepath.Dir(modules)), filepath.Base(modules))
		if err := copyDir(to, modules); err != nil {
			return nil, err
		}
		env[0] += ":" + dir
	}
	if library != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := copyFile(filepath.Join(dir, filepath.Base(library)), library); err != nil {
			return nil, err
		}
		env = append(env, "LD_LIBRARY_PATH="+dir)
	}
	return env, nil
}
