/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which stream HAProxy works for. One thread reads for many and then writes for many, so that the order of
 * its system calls says little; but whatever it runs is a task, and it notes which one is running. The task
 * of a stream (a request and what becomes of it) writes the call as well as the response.
 */
#ifndef HAPROXY_BPF_H
#define HAPROXY_BPF_H

#include "java.bpf.h"

/* HAProxy processes by tgid. Written by user space once internal/haproxyruntime has found out where, and removed
 * when the process is not selected any more. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct haproxy_target);
} haproxy_targets SEC(".maps");

/*
 * The stream whose task is running, by its address; id 0 in any other task (health checks, and what moves
 * bytes for any stream). The address is used again once the stream is gone: see stream_calls.
 */
static __always_inline void current_stream(struct context_key *key)
{
	key->kind = CONTEXT_STREAM;
#if defined(__TARGET_ARCH_x86)
	struct haproxy_target *h = bpf_map_lookup_elem(&haproxy_targets, &key->tgid);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 thread = 0, running = 0, handler = 0;

	if (!h)
		return;
	if (user_word(KERNEL_READ(task, thread.fsbase) + h->tls, &thread) ||
	    user_word(thread + h->current, &running)) {
		count_loss(LOSS_STREAM);
		return;
	}
	if (!running)
		return;
	/* struct task: its handler, and what that is for */
	if (user_word(running + 8, &handler) || (handler == h->process_stream && user_word(running + 16, &key->id)))
		count_loss(LOSS_STREAM);
#endif
}

#endif
