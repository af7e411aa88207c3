/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One hook where every system call of the machine begins, and one where it ends: the program of its number goes on
 * from there, if a selected process makes it. A tracepoint for each system call would go through perf, which needs
 * tracefs, and leaves programs out on a CPU where somebody's update of a map was preempted (kernel/trace/bpf_trace.c
 * trace_call_bpf).
 */
#ifndef SYSCALL_BPF_H
#define SYSCALL_BPF_H

#include "maps.bpf.h"

#define SYSCALLS 512

/* Whether one of the programs below is for the number. Set before load: most system calls end here. */
const volatile __u8 begins[SYSCALLS], ends[SYSCALLS];

/* By number. Filled by user space before the two hooks are attached: hooks.go. */
struct syscalls {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SYSCALLS);
	__type(key, __u32);
	__type(value, __u32);
};

struct syscalls syscall_entries SEC(".maps"), syscall_exits SEC(".maps");

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

SEC("tp_btf/sys_enter")
int syscall_begins(__u64 *ctx)
{
	__u32 nr = NUMBER(ctx);

	if (begins[nr % SYSCALLS] && may_be_selected(bpf_get_current_pid_tgid() >> 32))
		bpf_tail_call(ctx, &syscall_entries, nr);
	return 0;
}

SEC("tp_btf/sys_exit")
int syscall_ends(__u64 *ctx)
{
	__u32 nr = SYSCALL_NR(REGS(ctx));

	if (ends[nr % SYSCALLS] && may_be_selected(bpf_get_current_pid_tgid() >> 32))
		bpf_tail_call(ctx, &syscall_exits, nr);
	return 0;
}

#endif
