/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a program of syscall_entries or syscall_exits (syscall.bpf.h) is given, and how one begins. */
#ifndef SYSCALLARGS_BPF_H
#define SYSCALLARGS_BPF_H

#include "maps.bpf.h"

/* Arguments of both, include/trace/events/syscalls.h: the registers; the number at the beginning, the result at the
 * end. */
#define REGS(ctx) ((const struct regs *)(ctx)[0])
#define NUMBER(ctx) ((__u32)(ctx)[1])
#define RESULT(ctx) ((__s64)(ctx)[1])
#define ARG1(ctx) SYSCALL_ARG1(REGS(ctx))
#define ARG2(ctx) SYSCALL_ARG2(REGS(ctx))
#define ARG3(ctx) SYSCALL_ARG3(REGS(ctx))
#define ARG4(ctx) SYSCALL_ARG4(REGS(ctx))

/* The numbers of 32-bit programs mean something else, and they are not traced. */
static __always_inline bool native(void)
{
	return !SYSCALL_32BIT((struct task_struct *)bpf_get_current_task());
}

/* A program of syscall_entries or syscall_exits, followed by its body. */
#define SYSCALL_PROGRAM(section, name)                    \
	static __always_inline int on_##name(__u64 *ctx); \
	SEC(section) int name(__u64 *ctx)                 \
	{                                                 \
		return LIKELY(native()) ? on_##name(ctx) : 0; \
	}                                                 \
	static __always_inline int on_##name(__u64 *ctx)

#define ENTER(name) SYSCALL_PROGRAM("tp_btf/sys_enter", enter_##name)
#define EXIT(name) SYSCALL_PROGRAM("tp_btf/sys_exit", exit_##name)

#endif
