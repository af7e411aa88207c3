package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// nginxLanguage is nginx as a proxy: an event loop in each worker, connections to the backend that are kept.
// It makes no calls of its own.
var nginxLanguage = language{
	name: "nginx", packages: []string{"nginx-light:nginx"},
	workloads: []workload{
		{name: "proxy", what: "one worker, kept backend connections", serve: nginx(1, ""), calls: 1, pooled: true, goal: 0.99},
		{name: "workers", what: "two workers", serve: nginx(2, ""), calls: 1, pooled: true, goal: 0.99},
		{name: "unbuffered", what: "proxy_buffering off", serve: nginx(1, "proxy_buffering off;"), calls: 1, pooled: true, goal: 0.99},
		{
			name: "no-keepalive", what: "a backend connection for each call",
			serve: nginx(1, "proxy_set_header Connection close;"), calls: 1, goal: 0.99,
		},
	},
}

func nginx(workers int, extra string) func(context.Context, *builder, *workload, site) (command, error) {
	if extra == "" || extra == "proxy_buffering off;" {
		extra += ` proxy_set_header Connection "";`
	}
	return func(_ context.Context, _ *builder, _ *workload, s site) (command, error) {
		config := filepath.Join(s.dir, "nginx.conf")
		text := fmt.Sprintf(`
daemon off; user root; worker_processes %d; pid %[2]s/pid; error_log stderr error;
events { worker_connections 2048; }
http {
	access_log off; keepalive_requests 1000000;
	client_body_temp_path %[2]s; proxy_temp_path %[2]s; fastcgi_temp_path %[2]s; uwsgi_temp_path %[2]s; scgi_temp_path %[2]s;
	upstream backend { server %[3]s max_fails=0; keepalive %[4]d; keepalive_requests 1000000; }
	server {
		listen %[5]s reuseport;
		location / {
			rewrite ^/r/(.*) /d/$1/p break;
			proxy_pass http://backend; proxy_http_version 1.1; %[6]s
		}
	}
}
`, workers, s.dir, s.backend, s.pool, s.listen, extra)
		return command{args: []string{"nginx", "-p", s.dir, "-e", "stderr", "-c", config}}, os.WriteFile(config, []byte(text), 0o644)
	}
}
