package main

import (
	"context"
	"embed"
)

//go:embed programs/perl
var perlPrograms embed.FS

var perlLanguage = language{
	name: "perl", packages: []string{"perl"},
	build: func(_ context.Context, b *builder, _ *workload) (command, error) {
		source, err := b.source(perlPrograms, "programs/perl/server.pl")
		return command{args: []string{"perl", source}}, err
	},
	workloads: []workload{
		{name: "fork", what: "a process for each connection, two calls; after some responses it calls for itself", calls: 2, goal: 0.99},
		{name: "prefork", what: "the same, processes that wait for connections", calls: 2, pooled: true, goal: 0.99},
	},
}
