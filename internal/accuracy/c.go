package main

import (
	"context"
	"embed"
)

//go:embed programs/c
var cPrograms embed.FS

var cLanguage = language{
	name: "c", packages: []string{"gcc", "libc6-dev:/usr/include/stdio.h"},
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		return b.once("c/"+w.program, func(out string) (command, error) {
			source, err := b.source(cPrograms, "programs/c/"+w.program)
			if err == nil {
				err = runTool(ctx, "gcc", "-O2", "-pthread", "-o", out, source)
			}
			return command{args: []string{out}}, err
		})
	},
	workloads: []workload{
		{name: "thread", what: "a thread and a backend connection for each connection", program: "threads.c", calls: 1, goal: 0.99},
	},
}
