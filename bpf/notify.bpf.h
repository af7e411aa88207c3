/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completions that a worker leaves for an event loop: it puts the result into a queue and writes to an
 * eventfd, a pipe or a socket pair, which the loop reads before it looks into the queue. Who wrote knows
 * the call; if it was the only one, and only one response is begun after that, they belong together.
 *
 * An item may be taken from the queue before its notification is read. From then on notifications and
 * answers are out of step, until as many were read as answers begun (struct context, ahead).
 */
#ifndef NOTIFY_BPF_H
#define NOTIFY_BPF_H

#include "context.bpf.h"

/* Since a loop has read it last. */
struct note {
	__u64 call;    /* what the last writer had finished, or 0 */
	__u32 written; /* how often */
	__u32 reader;  /* the thread that read it last, or MANY_READERS */
	__u32 tgid;    /* its process */
	__u32 pad;
};

/* Whichever thread waits is woken through it, for whatever reason, as Ruby does it: no place of results. */
#define MANY_READERS (~0U)

/* By the kernel's object. Entered by the loop that reads it, so that a pipe which none reads (a log) costs a
 * writer a look-up. LRU: nothing says when the object goes; a forgotten one costs one link. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct note);
} notes SEC(".maps");

/* Out of step is over when nothing was notified or answered for so long. */
#define IN_STEP_NS 200000000ULL

/* "[eventfd", the name of the file in fs/eventfd.c, as a number. */
#define EVENTFD_NAME 0x6466746e6576655bULL

/* Set in the address of an object that says how often it was written to. */
#define NOTE_COUNTS 1ULL

/* What a file that is no TCP socket leads to, from the end that dir says: an eventfd, a pipe, or the
 * socket of a pair that bytes arrive at. 0: something else. A global function, so that the verifier walks it
 * once: it takes numbers. */
__noinline __u64 note_of_file(__u64 of, __u32 dir)
{
	struct file *file = (struct file *)of;
	struct socket *socket;
	struct unix_sock *pair;
	const unsigned char *name;
	struct sock *sk;
	__u64 begins = 0;
	__u32 type;

	if (!file)
		return 0;
	type = KERNEL_READ(file, f_inode, i_mode) & S_IFMT;
	if (type == S_IFIFO)
		return (__u64)BPF_CORE_READ(file, f_inode);
	if (type == S_IFSOCK) {
		socket = BPF_CORE_READ(file, private_data);
		sk = BPF_CORE_READ(socket, sk);
		if (!sk || KERNEL_READ(sk, __sk_common.skc_family) != AF_UNIX)
			return 0;
		pair = (struct unix_sock *)sk;
		return dir == DIR_OUT ? (__u64)BPF_CORE_READ(pair, peer) : (__u64)sk;
	}
	if (type && type != S_IFREG)
		return 0;
	name = KERNEL_READ(file, f_path.dentry, d_name.name);
	if (bpf_probe_read_kernel(&begins, sizeof(begins), name) || begins != EVENTFD_NAME)
		return 0;
	return (__u64)BPF_CORE_READ(file, private_data) | NOTE_COUNTS;
}

/* Of an object that a loop has read before, else 0. */
static __always_inline struct note *note_awaited(__u64 object)
{
	return object ? bpf_map_lookup_elem(&notes, &object) : 0;
}

/* A thread of a selected process is about to write there. */
static __always_inline void note_written(struct note *n, struct context *x)
{
	n->call = 0;
	if (x && !x->loop && !live(&x->own)) {
		n->call = x->unaided ? 0 : x->last_call; /* see enum begun */
		x->last_call = 0; /* the task is done */
		x->arrived = 0;
	}
	__sync_fetch_and_add(&n->written, 1);
}

/* x, which is no loop, has read what file leads to: what it does next it may have been told to do. (By a UNIX socket it may
 * have the response of another process to what it does by itself.) */
static __always_inline void told(struct context *x, struct file *file, __u64 object)
{
	if (object && (KERNEL_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		x->begun = BEGUN_UNKNOWN;
}

/* A loop has read it. count: how often it was written to, as it says itself; 0: it does not. */
static __always_inline void note_read(__u64 object, struct context *x, __u64 count)
{
	struct note *n = bpf_map_lookup_elem(&notes, &object), last = {}, none = {};
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tid = (__u32)pid_tgid;
	__u64 now = bpf_ktime_get_ns();

	if (n)
		last = *n;
	/* The address was that of an object of another process before, or it is shared: its readers are told apart
	 * from here on, and what was written to it is nobody's. */
	if (last.tgid != pid_tgid >> 32)
		last.reader = last.call = 0;
	none.tgid = pid_tgid >> 32;
	none.reader = last.reader && last.reader != tid ? MANY_READERS : tid;
	bpf_map_update_elem(&notes, &object, &none, BPF_ANY);
	if (!count)
		count = last.written;
	forget_arrivals(x, now);
	x->own.epoch = 0;
	if (now - x->in_step_ns > IN_STEP_NS)
		x->ahead = 0;
	x->in_step_ns = now;
	x->last_call = none.reader == MANY_READERS ? 0 : last.call;
	x->last_sk = 0;
	x->last_by = EVIDENCE_NOTIFY_BACK;
	x->arrived = count == 1 && last.written == 1 && !x->ahead ? 1 : 2;
	x->ahead += count > 100 ? 100 : count;
}

#endif
