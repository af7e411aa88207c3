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

/* What was seen of the values of a type, and what never changes of it. */
struct seen_type {
	__u8 marks; /* enum type_marks */
	__u8 shape; /* enum type_shape */
	/* How often one was taken for a task, or for an answer, up to ON_PROBATION. Not in marks: what two CPUs write
	 * at once must not take a mark away. */
	__u8 tasks, answers;
};

/* A value on its way from one goroutine to another. */
struct value {
	__u64 type;  /* address of its type, or 0 */
	struct seen_type *seen; /* its entry, or 0: looked up once, as everything below asks for it */
	bool signal; /* it has no bytes */
	bool plain;  /* it has no pointers: a slot, an index, a wish to wake somebody, and hardly a task */
	bool unseen; /* who takes it may have taken others, or take them later, and nobody sees it */
};

/* Something at an address of a program: a place in the buffer of a channel, or a type. */
struct place {
	__u32 tgid;
	__u32 program; /* of struct target: what the process ran before had other things there */
	__u64 addr;
};

static __always_inline void place_of(__u32 tgid, const struct target *t, __u64 addr, struct place *to)
{
	to->tgid = tgid;
	to->program = t->program;
	to->addr = addr;
}

/* What is in a place: who put it there, and what that served then. */
struct element {
	__u64 giver;
	__u8 uses, asked; /* of the giver, before */
	__u8 pad[6];
	__u64 context[__builtin_offsetof(struct context, done_call) / sizeof(__u64)]; /* the beginning of a struct context */
};

static __always_inline struct context *context_in(struct element *e)
{
	return (struct context *)e->context;
}

/* Written where a value is put into a buffer, removed where it is taken. LRU: values that are received
 * into nothing are not seen, and of one that was forgotten the giver is not known. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct place);
	__type(value, struct element);
} places SEC(".maps");

enum type_marks {
	/* An owner of a request gave one away: a task, or a resource. */
	TYPE_GIVEN = 1,
	/* One came to an owner of a request who had asked for nothing, from one who had no call finished or works
	 * for another, or from an owner of another request; or to one who gave such away next: a resource, as a
	 * connection of a pool is, and no task. */
	TYPE_RESOURCE = 2,
	/* One was taken by a goroutine that reads for others: it goes with a call, and is none. */
	TYPE_NOTE = 4,
	/* Who served a request got one from elsewhere, not as its task, and gave one away. */
	TYPE_LENT = 8,
};

/* That often a type is on probation: a resource looks like a task, or an answer, until it has gone round. */
#define ON_PROBATION 3

enum type_shape {
	TYPE_SIGNAL = 1, /* it has no bytes */
	TYPE_PLAIN = 2,  /* and no pointers */
};

/* By the address of the type. LRU: a program has few, and what was forgotten is learned again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct place);
	__type(value, struct seen_type);
} value_types SEC(".maps");

static __always_inline void value_of_type(__u32 tgid, const struct target *t, __u64 type, struct value *v)
{
	struct seen_type first = {};
	struct go_type read;
	struct place key;

	place_of(tgid, t, type, &key);
	v->type = type;
	v->seen = bpf_map_lookup_elem(&value_types, &key);
	if (!v->seen) {
		if (bpf_probe_read_user(&read, sizeof(read), (void *)type)) {
			count_loss(LOSS_GOROUTINE);
			v->plain = true;
			return;
		}
		if (!read.size)
			first.shape |= TYPE_SIGNAL;
		if (!read.pointers)
			first.shape |= TYPE_PLAIN;
		bpf_map_update_elem(&value_types, &key, &first, BPF_NOEXIST);
		v->seen = bpf_map_lookup_elem(&value_types, &key);
	}
	if (v->seen)
		first.shape = v->seen->shape;
	v->signal = first.shape & TYPE_SIGNAL;
	v->plain = first.shape & TYPE_PLAIN;
}

/* A few types in one word: two may have the same bit. */
static __always_inline __u64 type_bit(const struct value *v)
{
	return 1ULL << ((v->type * 0x9e3779b97f4a7c15ULL) >> 58);
}

static __always_inline __u64 elemtype_of(const struct target *t, const struct hchan *chan)
{
	return t->flags & TARGET_CHAN_TIMER ? chan->rest[1] : chan->rest[0];
}

static __always_inline int read_chan(__u64 at, struct hchan *chan)
{
	if (bpf_probe_read_user(chan, sizeof(*chan), (void *)at)) {
		count_loss(LOSS_GOROUTINE);
		return -1;
	}
	return 0;
}

/* What kind of values goes through a channel. */
static __always_inline void value_of_chan(__u32 tgid, const struct target *t, const struct hchan *chan, struct value *v)
{
	if (t->flags & TARGET_BUFFERS) {
		value_of_type(tgid, t, elemtype_of(t, chan), v);
	} else {
		v->signal = chan->elemsize == 0;
		v->unseen = chan->size != 0;
	}
}

/* The compiler would keep it twice, test one and use the other, of which the verifier knows nothing. */
static __always_inline struct seen_type *seen_type(const struct value *v)
{
	struct seen_type *seen = v->seen;

	barrier_var(seen);
	return seen;
}

static __always_inline __u8 type_marks(const struct value *v)
{
	struct seen_type *seen = seen_type(v);

	return seen ? seen->marks : 0;
}

static __always_inline void mark_type(const struct value *v, __u8 mark)
{
	struct seen_type *seen = seen_type(v);

	if (seen && !(seen->marks & mark))
		seen->marks |= mark;
}

/* Hardly any of this type was taken for a task: it may still turn out to be a resource. */
static __always_inline bool task_on_probation(const struct value *v)
{
	struct seen_type *seen = seen_type(v);

	if (!seen)
		return v->type; /* of which nothing can be remembered */
	if (seen->tasks >= ON_PROBATION)
		return false;
	seen->tasks++;
	return true;
}

/* The same of an answer that did not come from one who was seen to work for its taker. */
static __always_inline bool answer_on_probation(const struct value *v)
{
	struct seen_type *seen = seen_type(v);

	if (!seen)
		return true;
	if (seen->answers >= ON_PROBATION)
		return false;
	seen->answers++;
	return true;
}

#endif
