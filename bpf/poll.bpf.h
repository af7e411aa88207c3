/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which poll(2) and select(2) are the wait of an event loop. Blocking clients poll too, while a request is
 * being served: their own connection, and perhaps something that wakes them up. A loop waits for requests.
 *
 * Any thread of Ruby that waits for something may be the one that is told of signals meanwhile (rb_sigwait_fd_get,
 * thread_pthread.c), so that it waits for two: a connection of its own is no loop there. With poll it waits for one alone
 * (IO#wait_readable); Puma's threads look so at the socket that listens, too, whether to keep a connection.
 */
#ifndef POLL_BPF_H
#define POLL_BPF_H

#include "conn.bpf.h"

/* How many descriptors of a set are looked at. What listens was opened first. */
#define MAX_POLLED 16

struct user_pollfd {
	__s32 fd;
	__s16 events;
	__s16 revents;
};

/* What requests come from: it listens, or it is the server's end of a connection. */
enum brings_requests { BRINGS_NONE, BRINGS_FROM_ONE, BRINGS_FROM_ALL };

/* A global function, so that the verifier walks it once. */
__noinline int brings_requests(__s32 fd)
{
	__u64 sk = tcp_sock_of_file(file_of_fd(fd));
	struct conn *c;

	if (!sk)
		return BRINGS_NONE;
	if (KERNEL_READ((struct sock *)sk, __sk_common.skc_state) == TCP_LISTEN)
		return BRINGS_FROM_ALL;
	c = bpf_map_lookup_elem(&conns, &sk);
	return c && c->role == ROLE_SERVER ? BRINGS_FROM_ONE : BRINGS_NONE;
}

/* A loop waits for as many. */
static __always_inline int enough_requests(const struct target *t)
{
	return t->flags & TARGET_RUBY ? BRINGS_FROM_ALL : BRINGS_FROM_ONE;
}

static __always_inline bool polls_for_requests(const struct target *t, __u64 fds, __u64 count)
{
	int i, brings = 0, enough = enough_requests(t);
	struct user_pollfd f;

	if (count < 2 || (t->flags & TARGET_RUBY && count < 3))
		return false;
	for (i = 0; i < MAX_POLLED; i++) {
		if (i >= count || bpf_probe_read_user(&f, sizeof(f), (void *)(fds + i * sizeof(f))))
			return false;
		brings += brings_requests(f.fd);
		if (brings >= enough)
			return true;
	}
	return false;
}

/* The lowest member of a set that has one. */
__noinline int lowest_of(__u64 set)
{
	set &= -set;
	return (!!(set & 0xffffffff00000000ULL) << 5) | (!!(set & 0xffff0000ffff0000ULL) << 4) |
	       (!!(set & 0xff00ff00ff00ff00ULL) << 3) | (!!(set & 0xf0f0f0f0f0f0f0f0ULL) << 2) |
	       (!!(set & 0xccccccccccccccccULL) << 1) | !!(set & 0xaaaaaaaaaaaaaaaaULL);
}

static __always_inline bool selects_for_requests(const struct target *t, __u64 last, __u64 in)
{
	int i, brings = 0, enough = enough_requests(t);
	__u64 set = 0;

	if (!in || bpf_probe_read_user(&set, sizeof(set), (void *)in) || (last <= 64 && !(set & (set - 1))))
		return false;
	for (i = 0; i < MAX_POLLED; i++) {
		if (!set)
			return false;
		brings += brings_requests(lowest_of(set));
		if (brings >= enough)
			return true;
		set &= set - 1;
	}
	return false;
}

#endif
