/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The registers of user space at a system call that is under way. */
#ifndef REGISTERS_BPF_H
#define REGISTERS_BPF_H

#include "kernel.bpf.h"

static __always_inline bool have_task_pt_regs(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id___task_regs, BPF_FUNC_task_pt_regs___exists);
}

/* THREAD_SIZE of amd64, and of arm64 unless its pages are larger: a kernel with KASAN, which no distribution
 * has, has larger stacks. Set before load. */
const volatile __u64 stack_size = 16 << 10;

/* Where they are without the helper of 5.15: at the end of the stack. */
static __always_inline struct regs *registers_on_stack(struct task_struct *task)
{
	return (struct regs *)(BPF_CORE_READ(task, stack) + stack_size - bpf_core_type_size(struct pt_regs));
}

/* task: an argument of the program, as the kernel gave it. */
static __always_inline struct regs *registers_of(struct task_struct *task)
{
	if (have_task_pt_regs())
		return (struct regs *)bpf_task_pt_regs((void *)task);
	return registers_on_stack(task);
}

static __always_inline struct regs *current_registers(void)
{
	if (have_task_pt_regs())
		return (struct regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	return registers_on_stack((struct task_struct *)bpf_get_current_task());
}

static __always_inline __u64 register_value(const __u64 *at)
{
	__u64 v = 0;

	if (have_task_pt_regs())
		return *at; /* the helper's pointer has a type */
	bpf_probe_read_kernel(&v, sizeof(v), at);
	return v;
}

#endif
