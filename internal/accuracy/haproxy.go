package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// haproxyLanguage is HAProxy: an event loop in each thread, and health checks that belong to no request.
var haproxyLanguage = language{
	name: "haproxy", packages: []string{"haproxy"},
	workloads: []workload{
		{name: "proxy", what: "one thread, http-reuse safe", serve: haproxy(1, "safe"), calls: 1, pooled: true, goal: 0.99},
		{name: "threads", what: "two threads, http-reuse always: connections move between them", serve: haproxy(2, "always"), calls: 1, pooled: true, goal: 0.99},
		{name: "never", what: "two threads, http-reuse never", serve: haproxy(2, "never"), calls: 1, goal: 0.99},
		{name: "queue", what: "two threads, maxconn: calls wait for a connection", serve: haproxy(2, "aggressive", "maxconn"), calls: 1, pooled: true, goal: 0.99},
	},
}

func haproxy(threads int, reuse string, limits ...string) func(context.Context, *builder, *workload, site) (command, error) {
	return func(_ context.Context, _ *builder, _ *workload, s site) (command, error) {
		config := filepath.Join(s.dir, "haproxy.cfg")
		limit := ""
		for _, l := range limits {
			limit += fmt.Sprintf(" %s %d", l, s.pool)
		}
		text := fmt.Sprintf(`
global
	nbthread %d
	maxconn 2000
	tune.idle-pool.shared on
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
	timeout queue 30s
frontend in
	bind %s
	http-request set-path %%[path,regsub(^/r/,/d/)]/p
	default_backend out
backend out
	http-reuse %s
	option httpchk GET /d/bg/1
	server one %s check inter 100ms fall 1000000 pool-max-conn 1000%s
`, threads, s.listen, reuse, s.backend, limit)
		return command{args: []string{"haproxy", "-db", "-q", "-f", config}}, os.WriteFile(config, []byte(text), 0o644)
	}
}
