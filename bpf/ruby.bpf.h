/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a thread of Ruby waits for. It sleeps on one condition variable of its own (native_thread_data.cond is a union,
 * thread_pthread.h), for the interpreter's lock as for another thread, so the address does not tell. It says itself
 * what it waits for before it goes to sleep, and nobody else writes that: rb_thread_t.unblock is how it can be woken,
 * and is set only where it waits for a thread; locking_mutex is the Mutex that it waits for.
 */
#ifndef RUBY_BPF_H
#define RUBY_BPF_H

#include "java.bpf.h"
#include "waits.bpf.h"

/* Processes of Ruby by tgid. Written by user space once internal/rubyruntime has found out where, and removed when
 * the process is not selected any more: as many as targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct ruby_target);
} ruby_targets SEC(".maps");

/* p sleeps, in futex(2) at uaddr, and is in the current address space. */
static __always_inline enum waits_for ruby_waits(__u32 tgid, struct task_struct *p, __u64 uaddr)
{
#if defined(__TARGET_ARCH_x86)
	struct ruby_target *r = bpf_map_lookup_elem(&ruby_targets, &tgid);
	__u64 vector = 0, block = 0, ec = 0, thread = 0, its = 0, unblock = 0, mutex = 0;

	if (!r || user_word(KERNEL_READ(p, thread.fsbase) + 8, &vector) || user_word(vector + r->slot, &block))
		return WAITS_UNKNOWN;
	/* A thread that is none of Ruby's. Not allocated (TLS_DTV_UNALLOCATED): it has never run anything of Ruby's. */
	if (block + 1 <= 1)
		return WAITS_OTHER;
	if (user_word(block + r->current, &ec))
		return WAITS_UNKNOWN;
	if (!ec)
		return WAITS_OTHER;
	/* A thread that has ended leaves its context behind, and a vector that is too short for this slot has anything
	 * behind its end: what is read counts where it names itself. */
	if (user_word(ec + r->thread, &thread) || user_word(thread + r->ec, &its) || its != ec ||
	    uaddr - thread >= r->unblock)
		return WAITS_UNKNOWN;
	if (user_word(thread + r->unblock, &unblock) || user_word(thread + r->locking, &mutex))
		return WAITS_UNKNOWN;
	return unblock && !mutex ? WAITS_RESULT : WAITS_LOCK;
#else
	return WAITS_UNKNOWN;
#endif
}

#endif
