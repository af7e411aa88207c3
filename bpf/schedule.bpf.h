/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Since when a task runs or sleeps, from the scheduler's own accounts (CONFIG_SCHED_INFO): no hook on
 * context switches, no hook where a task goes to sleep. The times are those of the scheduler's clock, of
 * all CPUs: they are compared with each other only.
 */
#ifndef SCHEDULE_BPF_H
#define SCHEDULE_BPF_H

#include "maps.bpf.h"

/* When it last got a CPU. */
static __always_inline __u64 running_since(struct task_struct *p)
{
	if (!bpf_core_field_exists(p->sched_info.last_arrival))
		return 0;
	return KERNEL_READ(p, sched_info.last_arrival);
}

/* p sleeps: when it began to, the time that interrupts took from it left out. */
static __always_inline __u64 slept_since(struct task_struct *p)
{
	__u64 ran = KERNEL_READ(p, se.sum_exec_runtime) - KERNEL_READ(p, se.prev_sum_exec_runtime);

	return running_since(p) + ran;
}

/* The current task reads the beginning of a response. It got the CPU to do so, or had it before: who went to
 * sleep before that has certainly waited when the response came. */
static __always_inline void response_arrives(struct context *x)
{
	x->response_at = running_since((struct task_struct *)bpf_get_current_task());
	x->called = 1;
	x->done_call = 0;
	x->doubts = 0;
}

#endif
