// Package pyruntime finds, in the files of CPython, the places at which probes learn what its execution
// contexts do: contextvars.Context objects, of which asyncio makes one for each task and callback, and the
// items of queue.SimpleQueue, by which concurrent.futures hands tasks to its threads. And those at which uvloop is
// asked to write, which it does later, for all tasks at once.
//
// Only what distributions leave in a stripped file is used: exported symbols, relocations, and the tables
// of methods (PyMethodDef) that name the functions which are not exported. Nothing is run.
//
// A probe on push, call, jmp, a conditional jump or nop costs about 0.5 µs; on anything else the kernel
// single-steps it, which costs 16 µs in a virtual machine. So every site is on such an instruction, at
// which the value that is wanted is still, or already, in its register. A context that was made is known
// before PyContext_CopyCurrent returns: where memory for it has just been got.
//
// The exception is SimpleQueue.get, whose result is known at its return only. A return probe is safe there:
// it runs no Python code but handlers of signals, so no coroutine library can switch stacks inside.
package pyruntime
