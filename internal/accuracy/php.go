package main

import (
	"context"
	"embed"
	"path/filepath"
	"strconv"
)

//go:embed programs/php
var phpPrograms embed.FS

// phpServe starts PHP's own server with workers, which are processes with one thread each, and a job
// beside it: what one of them executes always belongs to one request.
func phpServe(_ context.Context, b *builder, w *workload, s site) (command, error) {
	dir, err := b.source(phpPrograms, "programs/php")
	if err != nil {
		return command{}, err
	}
	return command{
		args: []string{
			"sh", "-c", `php "$0/background.php" & exec php -q -S "$1" "$0/call.php" 2>"$2"`, dir, s.listen,
			filepath.Join(s.dir, "log"), // a line for each request
		},
		env: []string{"BACKEND=" + s.backend, "SHAPE=" + w.shape, "PHP_CLI_SERVER_WORKERS=" + strconv.Itoa(s.pool)},
	}, nil
}

var phpLanguage = language{
	name: "php", packages: []string{"php-cli:php"},
	workloads: []workload{
		{name: "direct", what: "built-in server with workers, file_get_contents", serve: phpServe, calls: 1, pooled: true, goal: 0.99},
		{name: "sequential", what: "the same, three calls in turn on a connection that the worker keeps", serve: phpServe, calls: 3, pooled: true, goal: 0.99},
	},
}
