// Package haproxyruntime finds out how to tell which stream of HAProxy a thread works for.
//
// HAProxy exports its symbols, for the sake of Lua modules, also where its file is stripped. Each thread
// has a structure (th_ctx, thread-local) that names the running task, and the tasks of streams are those
// whose handler is process_stream. Where in the structure that is, differs by version and is read from the
// machine code of the scheduler: it clears the member after each call of a handler.
package haproxyruntime
