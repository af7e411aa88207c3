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
		env:  []string{"BACKEND=" + s.backend, "SHAPE=" + w.shape, "WORKERS=" + threads},
	}, os.WriteFile(config, []byte(text), 0o644)
}

// rubyPool: threads that read their requests themselves, and wait for what a pool makes of them.
const rubyPool = "where a result is there before it is waited for nobody is woken"

var rubyLanguage = language{
	name: "ruby", packages: []string{"puma"},
	pressure: []string{"RUBY_GC_HEAP_GROWTH_MAX_SLOTS=1000", "RUBY_GC_MALLOC_LIMIT=10000", "RUBY_GC_MALLOC_LIMIT_MAX=10000"},
	workloads: []workload{
		{name: "puma", what: "Puma, a thread of its pool calls", serve: puma, calls: 1, pooled: true, goal: 0.99},
		{name: "puma-sequential", what: "the same, three calls in turn", shape: "sequential", serve: puma, calls: 3, pooled: true, goal: 0.99},
		{name: "puma-spawned", what: "the same, a new thread calls", shape: "spawned", serve: puma, calls: 1, pooled: true, cause: "a system thread that has run one of Ruby's runs the next one, too (thread_lives_on), and whom it wakes is believed only once that hardly ever comes without a call (wake_in_doubt); next: who is woken by a thread that ends, which its status says, has waited for that one"},
		{name: "puma-after-reply", what: "the same, and a call of rack.after_reply that is nobody's", shape: "after-reply", serve: puma, calls: 1, pooled: true, goal: 0.99},
		{name: "puma-pool", what: "the same, a pool of threads calls and gives the result to a Queue", shape: "pool", serve: puma, program: "queue_requests false", calls: 1, pooled: true, cause: rubyPool},
		{name: "puma-reactor-pool", what: "the same, and Puma's reactor reads the requests", shape: "pool", serve: puma, calls: 1, pooled: true, cause: rubyPool},
		{name: "puma-pool-mutex", what: "the same, and all lock one Mutex for a while", shape: "pool-mutex", serve: puma, program: "queue_requests false", calls: 1, pooled: true, cause: rubyPool},
		{
			name: "puma-pool-awaited", what: "puma-pool; then a ConditionVariable, after a call of another thread", shape: "pool-awaited", serve: puma, program: "queue_requests false", calls: 1, pooled: true, cause: rubyPool,
			open: "one of 220 to 680 background calls had a parent in three of seven cells of 120 requests, one at a time",
		},
		{name: "puma-pool-refreshed", what: "puma-pool; a thread calls while it holds a Mutex which requests wait for after their call", shape: "pool-refreshed", serve: puma, program: "queue_requests false", calls: 1, pooled: true, cause: rubyPool},
		{name: "puma-pool-condition", what: "a pool whose results are in one place, and everybody who waits is woken", shape: "pool-condition", serve: puma, program: "queue_requests false", calls: 1, pooled: true, cause: "who is woken with all others looks for itself whether it was meant: no wake-up is the end of a task"},
		{name: "puma-pool-bounded", what: "a pool whose queue has room for two tasks", shape: "pool-bounded", serve: puma, program: "queue_requests false", calls: 1, pooled: true, cause: "who has put a task into a full queue was woken by a worker that had done another one, which looks like the result of that one; next: the queue that a thread waits for"},
		{name: "puma-inline", what: "Puma, queue_requests false: the pool's threads read the requests", serve: puma, program: "queue_requests false", calls: 1, pooled: true, goal: 0.99},
		{name: "puma-cluster", what: "Puma, two processes", serve: puma, program: "workers 2", calls: 1, pooled: true, goal: 0.99},
	},
}
