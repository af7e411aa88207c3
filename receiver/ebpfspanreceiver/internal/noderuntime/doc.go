// Package noderuntime finds, in a Node.js executable, where its event loop can be observed: five kinds of
// places for uprobes and the offsets by which asynchronous ids are read. Nothing is executed and no debug
// information is needed: the functions are exported (for native addons), so that their names survive
// stripping, and the offsets are read from their machine code.
//
// Node.js numbers asynchronous operations (async_hooks): each has an id, drawn from one counter of its
// environment, and the id of what triggered it. node::AsyncHooks keeps, in an array of four doubles, the
// id that runs now, its trigger, the counter, and a default trigger:
//
//	Environment + AsyncIDs → double[4]{execution, trigger, counter, default trigger}
//
// Every call from C++ into JavaScript that an event leads to is made inside of an InternalCallbackScope,
// which is told the ids of the event. Each may be nested; Environment + Depth counts them. An
// AsyncWrap keeps its pair of ids at WrapIDs. A scope begins by pushing the ids that ran on a stack: Stack
// points to it, and the eighth word that Fields points to counts them. So the ids of the outermost scope are
// known in every scope, and most need no probe: calls.go tells which.
//
// Read from amd64 code as GCC and Clang emit it for Node.js 20. Code that looks otherwise is
// [ErrUnsupported]: a version, or a machine, for which the calls of event loops are linked by what the
// kernel sees only.
package noderuntime
