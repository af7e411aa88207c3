/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Event loops of Node.js: where one activation ends and the next begins, and the asynchronous ids of
 * each.
 *
 * An activation is what the loop does for one event: for bytes that arrived on one socket, for one
 * finished operation, for the timers that are due. What it read says what it works for; of what it read
 * nothing, the id of its event tells where that was begun, because ids come from one counter. User space
 * does the looking up (internal/causality); here a record is sent for each activation that something is
 * known of, and for each call.
 */
#ifndef NODE_BPF_H
#define NODE_BPF_H

#include "context.bpf.h"

#define ANON_INODE_FS_MAGIC 0x09041934 /* include/uapi/linux/magic.h */
#define S_IFREG 0100000

/* Where Node.js keeps what is read, as internal/noderuntime found it; in bytes. */
struct node_target {
	__u32 async_ids; /* node::Environment: pointer to struct async_ids */
	__u32 depth;     /* node::Environment: callback scopes that are open */
	__u32 wrap_ids;  /* node::AsyncWrap: struct async_pair */
	__u32 check;     /* node::Environment: the uv_check_t */
	__u32 stack;     /* node::Environment: pointer to the ids below those that run; 0: not known */
	__u32 fields;    /* node::Environment: pointer to enum async_fields */
};

/* By tgid. Written by user space before the process is selected, and removed with it: as many as targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct node_target);
} node_targets SEC(".maps");

/* The loop of a thread. */
struct node_loop {
	__u64 env; /* its node::Environment */
	__u64 ids; /* where its struct async_ids is */
	__u64 depth; /* where it counts its callback scopes */
	__u64 begin; /* the counter when the current activation began */
	__u64 base;  /* id of the first event of the activation */
	__u64 base_trigger;
	__u8 entered; /* base is known, it may be 0 */
	__u8 read;    /* the activation began with bytes */
	__u8 inside;  /* it began while JavaScript ran: what runs was there before */
	__u8 pad;
	__u32 wrap_ids; /* of its struct node_target */
	__u64 stack;  /* where the pointers of its struct node_target are; 0: not known */
	__u64 fields;
};

/* Numbers of node::AsyncHooks::Fields, 32 bits each. */
enum async_fields {
	ASYNC_STACK_LENGTH = 7,
};

/* By pid_tgid: the main thread and the workers of each Node.js process, removed when they end. LRU: a
 * forgotten one is found again when its loop next goes round. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct node_loop);
} node_loops SEC(".maps");

/* Doubles, of which only the bits matter here. */
struct async_pair {
	__u64 id;
	__u64 trigger;
};

struct async_ids {
	struct async_pair now;
	__u64 counter;
	__u64 default_trigger;
};

static __always_inline bool read_async(void *to, __u32 size, __u64 from)
{
	if (!bpf_probe_read_user(to, size, (void *)from))
		return true;
	count_loss(LOSS_ASYNC_ID);
	return false;
}

static __always_inline bool read_counter(const struct node_loop *loop, __u64 *counter)
{
	return read_async(counter, sizeof(*counter), loop->ids + offsetof(struct async_ids, counter));
}

/*
 * The HTTP parser opens scopes in which JavaScript runs, and no probe tells of them: they are many, and most
 * are nested. But whatever scope is open, the ids of the outermost are at hand: they run, or are the first
 * that others were put on top of (node::AsyncHooks::push_async_context).
 */
static __noinline int node_base(struct node_loop *loop)
{
	struct async_pair pair;
	__u64 fields = 0, at;
	__u32 length = 0;

	if (!loop || loop->entered || loop->inside || !loop->stack)
		return 0;
	if (!read_async(&fields, sizeof(fields), loop->fields) ||
	    !read_async(&length, sizeof(length), fields + ASYNC_STACK_LENGTH * sizeof(length)) || !length)
		return 0;
	at = loop->ids;
	if (length > 1) {
		if (!read_async(&at, sizeof(at), loop->stack))
			return 0;
		at += sizeof(pair); /* below the outermost are the ids of nothing */
	}
	if (!read_async(&pair, sizeof(pair), at))
		return 0;
	loop->entered = 1;
	loop->base = pair.id;
	loop->base_trigger = pair.trigger;
	return 0;
}

/* The ids are read into the record: the stacks of the programs that send it are nearly full. */
static __always_inline void emit_async(__u64 pid_tgid, __u8 what, const struct context *x,
				       const struct node_loop *loop, __u64 call)
{
	struct async_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_ASYNC;
	e->what = what;
	e->flags = loop->read ? ASYNC_READ : 0;
	e->tgid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->ts = bpf_ktime_get_ns();
	e->call = call;
	e->activation = x->activation;
	e->token = x->own.epoch;
	e->begin = loop->begin;
	e->base = loop->base;
	e->base_trigger = loop->base_trigger;
	if (!e->token && x->last_call) {
		e->token = x->last_call;
		e->flags |= ASYNC_TOKEN_CALL;
	}
	if (read_counter(loop, &e->counter) &&
	    (what == ASYNC_ACTIVATION || read_async(&e->exec, sizeof(struct async_pair), loop->ids)))
		bpf_ringbuf_submit(e, wakeup_flags(&events));
	else
		bpf_ringbuf_discard(e, 0);
}

/* Functions that are not inlined have a stack of their own: those of their callers are nearly full. */

/* The event loop that this thread is, or 0: it works for one. */
static __noinline struct context *node_thread(__u64 pid_tgid)
{
	struct context_key key = {.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
	struct context *x = context_find(&key);

	return x && x->loop ? x : 0;
}

/* The activation is over. read: as node_activation has it. */
static __noinline int node_turns(struct context *x, __u64 pid_tgid, __u32 read)
{
	struct node_loop *loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);
	__u64 counter = 0, depth = 0;

	if (!x || !loop)
		return 0;
	if (!read_counter(loop, &counter) || !read_async(&depth, sizeof(depth), loop->depth)) {
		bpf_map_delete_elem(&node_loops, &pid_tgid);
		return 0;
	}
	if ((loop->base && !loop->read) || ((x->own.epoch || x->last_call) && counter != loop->begin))
		emit_async(pid_tgid, ASYNC_ACTIVATION, x, loop, 0);
	loop->begin = counter;
	loop->base = 0;
	loop->base_trigger = 0;
	loop->entered = 0;
	loop->read = read;
	loop->inside = depth != 0;
	return 0;
}

/* Another one begins. */
static __noinline int node_begins(struct context *x)
{
	if (!x)
		return 0;
	activation_begins(x);
	/* Here it is known where each ends, so what led to nothing was not put off to another: see loop.bpf.h. */
	x->unled_call.ns = 0;
	x->unled_request.ns = 0;
	return 0;
}

/*
 * What the loop does from here on has nothing to do with what it did before. read: bytes are about to be
 * read, and the event's id will be that of a connection: it does not tell whose bytes they are.
 */
static __always_inline void node_activation(__u64 pid_tgid, bool read)
{
	struct context *x = node_thread(pid_tgid);

	if (!x)
		return;
	node_turns(x, pid_tgid, read);
	node_begins(x);
}

enum node_read {
	NODE_READ_FILE = 0,    /* JavaScript asks for it while it runs */
	NODE_READ_BYTES = 1,   /* an event: from a socket, a pipe */
	NODE_READ_EVENT = 2,   /* an event, as that threads which work for the loop are done */
};

/* What the loop has read, or tried to: a struct file. */
__noinline int node_reads(__u64 of)
{
	struct file *file = (struct file *)of;

	if (!file)
		return NODE_READ_FILE;
	/* An eventfd: since Linux 6.16 its mode looks like a file's. */
	if (KERNEL_READ(file, f_inode, i_sb, s_magic) == ANON_INODE_FS_MAGIC)
		return NODE_READ_EVENT;
	return (KERNEL_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG;
}

/* A call begins: which id runs, as far as that says anything. */
__noinline int node_call(__u64 pid_tgid, __u64 call)
{
	struct context_key key = {.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
	struct node_loop *loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);
	struct context *x = context_find(&key);

	if (!x || !loop)
		return 0;
	node_base(loop);
	emit_async(pid_tgid, ASYNC_CALL, x, loop, call);
	return 0;
}

#endif
