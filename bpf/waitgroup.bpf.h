/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sync.WaitGroup of Go: for whom somebody is done. */
#ifndef WAITGROUP_BPF_H
#define WAITGROUP_BPF_H

#include "channel.bpf.h"

/* A group that only who serves one request has added to since nobody was in it. */
struct wait_group {
	__u64 addr;
	__u64 epoch;  /* of that request; 0: others have added to it as well */
	__u64 unread; /* how many it holds then, see group_unread; 0: it is known that nobody was in it */
	__u64 sum;    /* see sum_with: of which process it is as well */
};

#define WAIT_GROUPS_LOG2 13

/* One at a place that its address gives: who loses it gets a missing link. An array: see places. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << WAIT_GROUPS_LOG2);
	__type(key, __u32);
	__type(value, struct wait_group);
} wait_groups SEC(".maps");

static __always_inline struct wait_group *wait_group_of(const struct place *p)
{
	__u32 at = place_hash(p, WAIT_GROUPS_LOG2);

	return bpf_map_lookup_elem(&wait_groups, &at);
}

static __always_inline __u64 wait_group_sum(const struct place *p, __u64 epoch, __u64 unread)
{
	return sum_with(sum_with(place_sum(p), epoch), unread);
}

/* Whether anything is known of this group: the request whose alone it is, or 0, and what was not read of it. */
static __always_inline bool wait_group_known(const struct wait_group *w, const struct place *p, __u64 *epoch,
					     __u64 *unread)
{
	if (w->addr != p->addr)
		return false;
	*epoch = w->epoch;
	*unread = w->unread;
	barrier(); /* what was copied is what is compared */
	return w->sum == wait_group_sum(p, *epoch, *unread);
}

static __always_inline void wait_group_is(struct wait_group *w, const struct place *p, __u64 epoch, __u64 unread)
{
	w->addr = p->addr;
	w->epoch = epoch;
	w->unread = unread;
	w->sum = wait_group_sum(p, epoch, unread);
}

/* How many are in it, or below 0. From Go 1.20 on the counter is the upper half of the first word. */
static __always_inline __s64 wait_group_count(const struct place *p)
{
	__u32 counter;

	if (bpf_probe_read_user(&counter, sizeof(counter), (void *)(p->addr + 4)))
		return -1;
	return counter;
}

#endif
