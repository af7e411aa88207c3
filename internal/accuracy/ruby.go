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

// rubyLock: a thread of Ruby that waits for the interpreter's lock is woken by whoever lets go of it, at the
// same address as by whoever has a task or a result for it (glibc: native_thread_data.cond is a union).
const rubyLock = "a thread that waits for Ruby's lock in the middle of a task looks as if it were given the next one, and one " +
	"such answer makes those of tasks that the reactor hands over doubtful; next: the lock's owner, read when a thread is woken " +
	"(0: it is let go of)"

var rubyLanguage = language{
	name: "ruby", packages: []string{"puma"},
	pressure: []string{"RUBY_GC_HEAP_GROWTH_MAX_SLOTS=1000", "RUBY_GC_MALLOC_LIMIT=10000", "RUBY_GC_MALLOC_LIMIT_MAX=10000"},
	workloads: []workload{
		{name: "puma", what: "Puma, a thread of its pool calls", serve: puma, calls: 1, pooled: true, cause: rubyLock},
		{name: "puma-sequential", what: "the same, three calls in turn", shape: "sequential", serve: puma, calls: 3, pooled: true, cause: rubyLock},
		{name: "puma-spawned", what: "the same, a new thread calls", shape: "spawned", serve: puma, calls: 1, pooled: true, cause: "Ruby keeps threads and uses them again, so that few are created; and who waits for one is woken where the lock wakes it, too (4 of 468 such links were wrong at 128 requests at once), so wake-ups are not believed; next: as ruby/puma"},
		{name: "puma-after-reply", what: "the same, and a call of rack.after_reply that is nobody's", shape: "after-reply", serve: puma, calls: 1, pooled: true, cause: rubyLock},
		{name: "puma-inline", what: "Puma, queue_requests false: the pool's threads read the requests", serve: puma, program: "queue_requests false", calls: 1, pooled: true, goal: 0.99},
		{name: "puma-cluster", what: "Puma, two processes", serve: puma, program: "workers 2", calls: 1, pooled: true, cause: rubyLock},
	},
}
