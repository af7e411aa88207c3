/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which task of tokio a thread polls. tokio.bpf.c writes what is read here, wherever bytes move.
 *
 * The end of a poll is not probed: the stack tells. A poll that goes on has its return address where it was when it
 * began, and the stack pointer is below.
 */
#ifndef TOKIO_BPF_H
#define TOKIO_BPF_H

#include "maps.bpf.h"
#include "registers.bpf.h"

struct tokio_task_key {
	__u64 address; /* of its Header */
	__u32 tgid;
	__u32 pad;
};

/* The task at an address, from its making or its first poll to its end: the next one there is another. */
struct tokio_task {
	__u64 id;
	__u64 polled; /* when it was polled last */
	__u64 made;   /* its maker was told */
};

/* LRU: one whose end is not seen. A forgotten one that is polled again gets a new number: a missing link. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct tokio_task_key);
	__type(value, struct tokio_task);
} tokio_tasks SEC(".maps");

/* Processes by tgid. Written by user space, and removed when the process is not selected any more: as many as targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct tokio_target);
} tokio_targets SEC(".maps");

#define TOKIO_DEPTH 4 /* polls within one another: a LocalSet in a task, and two to spare */

struct tokio_poll {
	__u64 sp; /* where the return address is */
	__u64 returns;
	__u64 id;
};

struct tokio_thread {
	__u64 depth;
	struct tokio_poll polls[TOKIO_DEPTH];
};

/* Threads that have polled a task, by pid_tgid: removed at exit. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct tokio_thread);
} tokio_threads SEC(".maps");

/* Forgets the polls that are over where the stack pointer is sp, and returns the task of the one that goes on, or
 * 0. */
static __noinline __u64 tokio_in(struct tokio_thread *t, __u64 sp)
{
	__u64 returns;
	int i;

	if (!t)
		return 0;
#pragma unroll
	for (i = TOKIO_DEPTH - 1; i >= 0; i--) {
		if (i >= t->depth)
			continue;
		if (t->polls[i].sp >= sp &&
		    !bpf_probe_read_user(&returns, sizeof(returns), (void *)t->polls[i].sp) &&
		    returns == t->polls[i].returns)
			return t->polls[i].id;
		t->depth = i;
	}
	return 0;
}

/* The thread waits for whatever comes: nothing is being polled. */
static __always_inline void tokio_waits(__u64 pid_tgid)
{
	struct tokio_thread *t = bpf_map_lookup_elem(&tokio_threads, &pid_tgid);

	if (t)
		t->depth = 0;
}

/* The task that a thread polls, else the thread. */
static __always_inline void current_tokio(__u64 pid_tgid, struct context_key *key)
{
	struct tokio_thread *t = bpf_map_lookup_elem(&tokio_threads, &pid_tgid);
	struct regs *regs = t && t->depth ? current_registers() : 0;

	key->kind = CONTEXT_TOKIO;
	key->id = regs ? tokio_in(t, register_value(&regs->sp)) : 0;
	if (key->id)
		return;
	key->kind = CONTEXT_THREAD;
	key->id = (__u32)pid_tgid;
}

#endif
