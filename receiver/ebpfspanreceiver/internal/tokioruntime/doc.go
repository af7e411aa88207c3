// Package tokioruntime finds, in executables that tokio is linked into, the places at which probes learn which task a
// thread polls, which task made it, what wakes it and when it is gone.
//
// Tokio is linked statically, and most of it is compiled once for each future that is spawned, so its functions are
// found by their names in the symbol table, as rustc's legacy and its v0 mangling spell them. What is used is there
// whatever is inlined, because tables hold its address: raw::poll and raw::dealloc in the Vtable of each kind of
// task, wake_by_val and wake_by_ref in that of wakers. All of them get the address of the task's Header as their
// first argument, in tokio 1.0 and later. What makes a task may be inlined: any function that returns its address,
// or a JoinHandle, will do; of a task whose making is not seen the maker is not known.
//
// A stripped executable has no such names. Its panic messages still name tokio's source files.
package tokioruntime
