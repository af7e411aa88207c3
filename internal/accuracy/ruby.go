package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

//go:embed programs/ruby
var rubyPrograms embed.FS

// puma starts Ruby's usual server: a thread that waits for requests on all connections and a pool of
// threads that serve them, in as many processes as the row's env says.
func puma(_ context.Context, b *builder, w *workload, s site) (command, error) {
	app, err := b.source(rubyPrograms, "programs/ruby/config.ru")
	if err != nil {
		return command{}, err
	}
	threads := strconv.Itoa(s.pool)
	config := filepath.Join(s.dir, "puma.rb")
	text := fmt.Sprintf("bind 'tcp://%s'\nthreads %s, %s\nenvironment 'production'\nlog_requests false\n", s.listen, threads, threads)
	if w.program != "" {
		text += w.program + "\n"
	}
	return command{
		args: []string{"puma", "--quiet", "--config", config, app},
		env:  []string{"BACKEND=" + s.backend, "SHAPE=" + w.shape},
	}, os.WriteFile(config, []byte(text), 0o644)
}

// pumaReactor: one thread reads what comes on idle connections and hands it to a pool.
const pumaReactor = "a thread that answers one request and is handed the next by the reactor looks late: its own last request " +
	"is over, and response affinity is refused; next: affinity before what the thread read itself"

var rubyLanguage = language{
	name: "ruby", packages: []string{"puma"},
	pressure: []string{"RUBY_GC_HEAP_GROWTH_MAX_SLOTS=1000", "RUBY_GC_MALLOC_LIMIT=10000", "RUBY_GC_MALLOC_LIMIT_MAX=10000"},
	workloads: []workload{
		{name: "puma", what: "Puma, a thread of its pool calls", serve: puma, calls: 1, pooled: true, cause: pumaReactor},
		{name: "puma-sequential", what: "the same, three calls in turn", shape: "sequential", serve: puma, calls: 3, pooled: true, cause: pumaReactor},
		{name: "puma-spawned", what: "the same, a new thread calls", shape: "spawned", serve: puma, calls: 1, pooled: true, cause: "the thread is created by one that did not read the request itself; next: a join as completion"},
		{name: "puma-after-reply", what: "the same, and a call of rack.after_reply that is nobody's", shape: "after-reply", serve: puma, calls: 1, pooled: true},
		{name: "puma-inline", what: "Puma, queue_requests false: the pool's threads read the requests", serve: puma, program: "queue_requests false", calls: 1, pooled: true},
		{name: "puma-cluster", what: "Puma, two processes", serve: puma, program: "workers 2", calls: 1, pooled: true, cause: pumaReactor},
	},
}
