// Package goruntime reads from a Go executable what the BPF programs need to
// follow goroutines: where g, goid, parentGoid, m, m.g0 and m.curg are, how far
// g is from the thread pointer, and on which instructions to put the three
// uprobes (channel send to a waiter, channel receive from a waiter, new
// goroutine).
//
// It reads 64-bit little-endian ELF for amd64 and arm64, stripped or not,
// position independent or not, with or without cgo. Nothing depends on the
// symbol table: functions come from the runtime's own table (.gopclntab), which
// a Go program cannot run without.
//
// A wrong goid would become a wrong link, so an offset is reported only when
// the evidence agrees. There are three kinds:
//
//   - code: systemstack and newproc1 are disassembled. systemstack is assembly
//     that reads g from thread-local storage, then g.m, m.gsignal, m.g0, m.curg,
//     in that order in every release from 1.17 on; newproc1 stores goid and
//     parentGoid.
//   - table: offsets measured on one or more builds of each Go release line.
//   - DWARF, when present: asked when the other two disagree, or when one of them is
//     missing.
//
// Probes sit on instructions that the kernel emulates instead of
// single-stepping: push, relative call and conditional jump on x86
// (arch/x86/kernel/uprobes.c, push_setup_xol_ops and branch_setup_xol_ops),
// B.cond and BL on arm64 (arch/arm64/kernel/probes/decode-insn.c). The first
// instruction of a Go function is a compare, which is not emulated and costs
// about 30 times as much.
//
// On arm64, and before Go 1.21 on amd64, the cheap instruction is the jump of
// the stack check: a call that first grows its stack passes it twice
// (Site.Retried), with the same registers both times.
//
// A value that waits in the buffer of a channel is seen where typedmemmove is called to move it in or out
// ([Buffers]). Who joins or leaves a sync.WaitGroup is seen at its method Add ([WaitGroups]).
//
// Profile-guided builds can have runtime.send and runtime.recv inlined in their
// callers; each inlined copy is a further Site of the same Kind
// (Site.WaiterInClosure), so all Sites must be attached. A copy that cannot be
// located is in Info.Missing, while the Sites that were found remain valid.
//
// # Where g is
//
// On amd64 g is at the thread pointer (fs base) + TLSOffset for every thread
// that runs Go code, and in r14 while Go code with the register ABI runs.
//
// On arm64 g is in x28 while Go code runs, system call instructions included.
// The copy in thread-local storage is written only by programs that use cgo, so
// there the BPF side reads x28 of the saved user registers; TLSOffset serves
// threads that are inside C code.
//
// On a thread's system stack g is m.g0; the goroutine on whose behalf it runs
// is m.curg.
//
// # Limits
//
// Only the executable itself is read, not Go code in shared libraries or
// plugins it loads. Programs built by gccgo and TinyGo, packed executables and
// programs whose function names were obfuscated are refused with an error that
// says so. Before Go 1.21 there is no parentGoid; at the NewGoroutine site the
// creator is m.curg of the g0 in GReg. On arm64 the TLS offset of externally
// linked programs was tested on the instruction encoding only.
package goruntime
