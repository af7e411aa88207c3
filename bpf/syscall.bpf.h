/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One hook where every system call of the machine begins, and one where it ends: the program of its number goes on
 * from there, if a selected process makes it. A tracepoint for each system call would go through perf, which needs
 * tracefs, and leaves programs out on a CPU where somebody's update of a map was preempted (kernel/trace/bpf_trace.c
 * trace_call_bpf).
 */
#ifndef SYSCALL_BPF_H
#define SYSCALL_BPF_H

#include "syscallargs.bpf.h"

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
