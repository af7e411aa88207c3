/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bounded copies of user memory into the scratch record. */
#ifndef PAYLOAD_BPF_H
#define PAYLOAD_BPF_H

#include "maps.bpf.h"

#define MAX_IOVECS 16

/* Copies len bytes to offset at; returns the new offset. Both are masked for the verifier; the
 * caller keeps at + len within payload_size. */
static __always_inline __u32 copy_bytes(struct scratch *s, __u32 at, __u64 from, __u32 len)
{
	__u32 last;

	if (!len)
		return at;
	if (len > MAX_PAYLOAD)
		len = MAX_PAYLOAD;
	if (at >= MAX_PAYLOAD)
		return at;
	/* 1..MAX_PAYLOAD again, with arithmetic that the verifier of 5.10 and 6.1 follows: they lose a
	 * comparison's bound when the compiler compares one register and passes another. */
	last = len - 1;
	asm volatile("" : "+r"(last));
	last &= MAX_PAYLOAD - 1;
	if (bpf_probe_read_user(&s->payload[at & (MAX_PAYLOAD - 1)], last + 1, (void *)from)) {
		count_loss(LOSS_PAYLOAD_FAULT);
		return ~0U;
	}
	return at + len;
}

/*
 * Copies up to want bytes of an iovec array into this CPU's scratch record. Returns how many were
 * copied. A global function, so that the verifier walks its loop once and not at each of its callers;
 * before 5.12 such a function takes numbers only.
 */
__noinline __u32 copy_iovecs(__u64 iov, __u32 count, __u32 want)
{
	__u32 zero = 0, at = 0, next, i;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);
	struct user_iovec v;

	if (!s)
		return 0;
	for (i = 0; i < MAX_IOVECS; i++) {
		if (i >= count || at >= want)
			return at;
		if (bpf_probe_read_user(&v, sizeof(v), (void *)(iov + i * sizeof(v)))) {
			count_loss(LOSS_PAYLOAD_FAULT);
			return at;
		}
		if (v.len > want - at)
			v.len = want - at;
		next = copy_bytes(s, at, v.base, v.len);
		if (next == ~0U)
			return at;
		at = next;
	}
	if (at < want)
		count_loss(LOSS_VECTORS);
	return at;
}

#endif
