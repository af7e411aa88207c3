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

/* Something at an address of a program: a place in the buffer of a channel, a type, or a group. */
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
	__u8 handed, noted; /* likewise, since its read: see response_back */
	__u32 read;
	__u64 context[__builtin_offsetof(struct context, done_call) / sizeof(__u64)]; /* the beginning of a struct context */
};

#define ELEMENT_WORDS (sizeof(struct element) / sizeof(__u64))

static __always_inline struct context *context_in(struct element *e)
{
	return (struct context *)e->context;
}

#define PLACE_SETS_LOG2 12
#define PLACES_IN_SET 4

struct place_set {
	__u64 addr[PLACES_IN_SET]; /* of the places, 0: none */
	__u64 oldest;              /* goes next */
	struct {
		__u64 sum; /* see sum_with: an address alone does not say of which process it is */
		struct element element;
	} places[PLACES_IN_SET];
};

/*
 * Written where a value is put into a buffer, removed where it is taken: a place is found by its address, in one
 * set. What is received into nothing is not seen, so when a set is full, the oldest goes; of a value that was
 * forgotten the giver is not known. An array: to enter and remove an element of a map that is hashed takes longer than
 * all the rest that a program does about it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PLACE_SETS_LOG2);
	__type(key, __u32);
	__type(value, struct place_set);
} places SEC(".maps");

/* Where an address of a process is found in an array of 1 << log2. */
static __always_inline __u32 place_hash(const struct place *p, __u32 log2)
{
	/* Heaps begin at the same address in every process. */
	return ((p->addr ^ (__u64)p->tgid << 40) * 0x9e3779b97f4a7c15ULL) >> (64 - log2);
}

static __always_inline struct place_set *place_set_of(const struct place *p)
{
	__u32 at = place_hash(p, PLACE_SETS_LOG2);

	return bpf_map_lookup_elem(&places, &at);
}

static __always_inline __u64 place_sum(const struct place *p)
{
	return sum_with((__u64)p->tgid << 32 | p->program, p->addr);
}

/* Which of a set has this address, or PLACES_IN_SET. */
static __always_inline __u32 place_in(const struct place_set *set, __u64 addr)
{
	__u32 i;

#pragma unroll
	for (i = 0; i < PLACES_IN_SET; i++)
		if (set->addr[i] == addr)
			break;
	return i;
}

/* Which of a set is free, else the oldest. Two CPUs do not begin with the same one: of two that take one at once,
 * neither is known. */
static __always_inline __u32 place_free(struct place_set *set)
{
	__u32 i, at, first = bpf_get_smp_processor_id();

#pragma unroll
	for (i = 0; i < PLACES_IN_SET; i++) {
		at = (first + i) % PLACES_IN_SET;
		if (!set->addr[at])
			return at;
	}
	return set->oldest++;
}

/* The channel is locked: nobody else asks for this place. */
static __always_inline void place_put(struct place_set *set, const struct place *p, const struct element *e)
{
	__u32 i, at = place_in(set, p->addr);
	__u64 sum = place_sum(p);

	if (at == PLACES_IN_SET)
		at = place_free(set);
	at %= PLACES_IN_SET;
	set->addr[at] = p->addr;
#pragma unroll
	for (i = 0; i < ELEMENT_WORDS; i++)
		sum = sum_with(sum, ((const __u64 *)e)[i]);
	set->places[at].element = *e;
	set->places[at].sum = sum;
}

/* Returns false if nothing is known of what was there. */
static __always_inline bool place_take(struct place_set *set, const struct place *p, struct element *e)
{
	__u32 i, at = place_in(set, p->addr);
	__u64 sum = place_sum(p);

	if (at == PLACES_IN_SET)
		return false;
	at %= PLACES_IN_SET;
	*e = set->places[at].element;
	barrier(); /* what was copied is what is compared */
#pragma unroll
	for (i = 0; i < ELEMENT_WORDS; i++)
		sum = sum_with(sum, ((const __u64 *)e)[i]);
	set->addr[at] = 0;
	return sum == set->places[at].sum;
}

static __always_inline void place_clear(struct place_set *set, const struct place *p)
{
	__u32 at = place_in(set, p->addr);

	if (at != PLACES_IN_SET)
		set->addr[at % PLACES_IN_SET] = 0;
}

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

/* The same where nothing else is asked of the channel. */
static __always_inline int value_in(__u32 tgid, const struct target *t, __u64 at, struct value *v)
{
	__u64 type, offset = t->flags & TARGET_CHAN_TIMER ? __builtin_offsetof(struct hchan, rest[1])
							  : __builtin_offsetof(struct hchan, rest[0]);
	struct hchan chan;

	if (t->flags & TARGET_BUFFERS) {
		if (bpf_probe_read_user(&type, sizeof(type), (void *)(at + offset))) {
			count_loss(LOSS_GOROUTINE);
			return -1;
		}
		value_of_type(tgid, t, type, v);
		return 0;
	}
	if (read_chan(at, &chan))
		return -1;
	value_of_chan(tgid, t, &chan, v);
	return 0;
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

/* Counts one more of them, of which there were fewer than ON_PROBATION. */
static __always_inline bool on_probation(__u8 *times)
{
	if (*times >= ON_PROBATION)
		return false;
	(*times)++;
	return true;
}

/* Hardly any of this type was taken for a task: it may still turn out to be a resource. */
static __always_inline bool task_on_probation(const struct value *v)
{
	struct seen_type *seen = seen_type(v);

	if (!seen)
		return v->type; /* of which nothing can be remembered */
	return on_probation(&seen->tasks);
}

/* The same of an answer that did not come from one who was seen to work for its taker. */
static __always_inline bool answer_on_probation(const struct value *v)
{
	struct seen_type *seen = seen_type(v);

	if (!seen)
		return true;
	return on_probation(&seen->answers);
}

#endif
