/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Channels of Go: what a value is, where it waits in a buffer, and who put it there. */
#ifndef CHANNEL_BPF_H
#define CHANNEL_BPF_H

#include "context.bpf.h"

/* The beginning of runtime.hchan. Go 1.23 put a timer between closed and elemtype. */
struct hchan {
	__u64 count;
	__u64 size; /* dataqsiz: of the buffer, in elements */
	__u64 buf;
	__u16 elemsize;
	__u16 pad[3];
	__u64 rest[4]; /* elemtype, sendx, recvx, from the first or the second on */
};

/* The beginning of internal/abi.Type. */
struct go_type {
	__u64 size;
	__u64 pointers; /* bytes of the prefix that can hold pointers; 0: there are none */
};

/* A value on its way from one goroutine to another. */
struct value {
	__u64 type;  /* address of its type, or 0 */
	bool signal; /* it has no bytes */
	bool plain;  /* it has no pointers: a slot, an index, a wish to wake somebody, and hardly a task */
	bool unseen; /* who takes it may have taken others, or take them later, and nobody sees it */
};

/* A place in the buffer of a channel. */
struct place {
	__u64 tgid;
	__u64 addr;
};

/* What is in a place: who put it there, and what that served then. */
struct element {
	__u64 giver;
	struct context context;
	__u8 uses, asked; /* of the giver, before */
	__u8 pad[6];
};

/* Written where a value is put into a buffer, removed where it is taken. LRU: values that are received
 * into nothing are not seen, and of one that was forgotten the giver is not known. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct place);
	__type(value, struct element);
} places SEC(".maps");

/* Where an element is put together, or looked at: it is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct element);
} elements SEC(".maps");

static __always_inline struct element *scratch_element(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&elements, &zero);
}

/* What was seen of the values of a type. */
enum type_marks {
	/* An owner of a request gave one away: a task, or a resource. */
	TYPE_GIVEN = 1,
	/* One came to an owner of a request who had asked for nothing, from one who had no call finished,
	 * or from an owner of another request: a resource, as a connection of a pool is, and no task. */
	TYPE_RESOURCE = 2,
	/* One was taken by a goroutine that reads for others: it goes with a call, and is none. */
	TYPE_NOTE = 4,
	/* Who served a request got one from elsewhere, not as its task, and gave one away. */
	TYPE_LENT = 8,
	/* The rest counts how often one was taken for a task. */
	TYPE_TASK = 16,
};

/* That often a type is on probation: a resource looks like a task until it has gone round. */
#define TASKS_ON_PROBATION 3

/* By the address of the type. LRU: a program has few, and what was forgotten is learned again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct place);
	__type(value, __u8);
} value_types SEC(".maps");

static __always_inline void value_of_type(__u64 type, struct value *v)
{
	struct go_type t;

	v->type = type;
	if (bpf_probe_read_user(&t, sizeof(t), (void *)type)) {
		count_loss(LOSS_GOROUTINE);
		v->plain = true;
		return;
	}
	v->signal = t.size == 0;
	v->plain = t.pointers == 0;
}

static __always_inline int read_chan(__u64 at, const struct target *t, struct hchan *chan, struct value *v)
{
	if (bpf_probe_read_user(chan, sizeof(*chan), (void *)at)) {
		count_loss(LOSS_GOROUTINE);
		return -1;
	}
	v->signal = chan->elemsize == 0;
	if (t->flags & TARGET_BUFFERS)
		value_of_type(t->flags & TARGET_CHAN_TIMER ? chan->rest[1] : chan->rest[0], v);
	else
		v->unseen = chan->size != 0;
	return 0;
}

static __always_inline __u8 type_marks(__u32 tgid, const struct value *v)
{
	struct place key = {tgid, v->type};
	__u8 *marks = v->type ? bpf_map_lookup_elem(&value_types, &key) : 0;

	return marks ? *marks : 0;
}

static __always_inline void mark_type(__u32 tgid, const struct value *v, __u8 mark)
{
	struct place key = {tgid, v->type};
	__u8 *marks, first = mark;

	if (!v->type)
		return;
	marks = bpf_map_lookup_elem(&value_types, &key);
	if (!marks)
		bpf_map_update_elem(&value_types, &key, &first, BPF_ANY);
	else if (!(*marks & mark))
		*marks |= mark;
}

/* Hardly any of this type was taken for a task: it may still turn out to be a resource. */
static __always_inline bool on_probation(__u32 tgid, const struct value *v)
{
	struct place key = {tgid, v->type};
	__u8 *marks, first = TYPE_TASK;

	if (!v->type)
		return false;
	marks = bpf_map_lookup_elem(&value_types, &key);
	if (!marks)
		bpf_map_update_elem(&value_types, &key, &first, BPF_ANY);
	else if (*marks < TASKS_ON_PROBATION * TYPE_TASK)
		*marks += TYPE_TASK;
	else
		return false;
	return true;
}

#endif
