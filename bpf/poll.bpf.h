/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which poll(2) and select(2) are the wait of an event loop. Blocking clients poll too, while a request is
 * being served: their own connection, and perhaps something that wakes them up. A loop waits for requests.
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

/* Requests come from there: it listens, or it is the server's end of a connection. A global function, so
 * that the verifier walks it once. */
__noinline int brings_requests(__s32 fd)
{
	__u64 sk = tcp_sock_of_file(file_of_fd(fd));
	struct conn *c;

	if (!sk)
		return 0;
	if (KERNEL_READ((struct sock *)sk, __sk_common.skc_state) == TCP_LISTEN)
		return 1;
	c = bpf_map_lookup_elem(&conns, &sk);
	return c && c->role == ROLE_SERVER;
}

static __always_inline bool polls_for_requests(__u64 fds, __u64 count)
{
	struct user_pollfd f;
	int i;

	if (count < 2)
		return false;
	for (i = 0; i < MAX_POLLED; i++) {
		if (i >= count || bpf_probe_read_user(&f, sizeof(f), (void *)(fds + i * sizeof(f))))
			return false;
		if (brings_requests(f.fd))
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

static __always_inline bool selects_for_requests(__u64 last, __u64 in)
{
	__u64 set = 0;
	int i;

	if (!in || bpf_probe_read_user(&set, sizeof(set), (void *)in) || (last <= 64 && !(set & (set - 1))))
		return false;
	for (i = 0; i < MAX_POLLED; i++) {
		if (!set)
			return false;
		if (brings_requests(lowest_of(set)))
			return true;
		set &= set - 1;
	}
	return false;
}

#endif
