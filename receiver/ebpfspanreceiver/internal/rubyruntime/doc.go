// Package rubyruntime finds where a thread of Ruby (MRI) says what it waits for.
//
// A thread sleeps on one condition variable of its own, for the interpreter's lock as for another thread. Before it waits
// for another thread it sets rb_thread_t.unblock, how it can be woken, and it takes that back before it waits for the
// lock; while it waits for a Mutex it has set rb_thread_t.locking_mutex too (native_cond_sleep and gvl_acquire_common in
// thread_pthread.c, do_mutex_lock in thread_sync.c, Ruby 3.1). Nobody else writes either, and who sleeps changes nothing.
//
// Where they are is taken from the code of functions that libruby exports, and checked in the memory of the process: what
// is not understood is not used. Before Ruby 3.1 and after it the structures are others.
package rubyruntime
