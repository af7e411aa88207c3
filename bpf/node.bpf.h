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
	__u64 begin; /* the counter when the current activation began */
	__u64 base;  /* id of the first event of the activation */
	__u64 base_trigger;
	__u8 entered; /* base is known, it may be 0 */
	__u8 read;    /* the activation began with bytes */
	__u8 pad[6];
};

/* By pid_tgid: the main thread and the workers of each Node.js process. LRU: a forgotten one is found
 * again when its loop next goes round. */
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

static __always_inline bool read_async_ids(const struct node_loop *loop, struct async_ids *ids)
{
	if (!bpf_probe_read_user(ids, sizeof(*ids), (void *)loop->ids))
		return true;
	count_loss(LOSS_ASYNC_ID);
	return false;
}

static __always_inline void emit_async(__u64 pid_tgid, __u8 what, const struct context *x,
				       const struct node_loop *loop, const struct async_ids *ids, __u64 call)
{
	struct async_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return;
	}
	*e = (struct async_event){
		.kind = EVENT_ASYNC,
		.what = what,
		.flags = loop->read ? ASYNC_READ : 0,
		.tgid = pid_tgid >> 32,
		.tid = (__u32)pid_tgid,
		.ts = bpf_ktime_get_ns(),
		.call = call,
		.activation = x->activation,
		.token = x->own.epoch,
		.begin = loop->begin,
		.counter = ids->counter,
		.base = loop->base,
		.base_trigger = loop->base_trigger,
	};
	if (!e->token && x->last_call) {
		e->token = x->last_call;
		e->flags |= ASYNC_TOKEN_CALL;
	}
	if (what != ASYNC_ACTIVATION) {
		e->exec = ids->now.id;
		e->trigger = ids->now.trigger;
	}
	bpf_ringbuf_submit(e, wakeup_flags(&events));
}

/*
 * What the loop does from here on has nothing to do with what it did before. read: bytes are about to be
 * read, and the event's id will be that of a connection: it does not tell whose bytes they are.
 */
static __always_inline void node_activation(__u64 pid_tgid, bool read)
{
	struct context_key key = {.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
	struct context *x = context_find(&key);
	struct node_loop *loop;
	struct async_ids ids;
	bool own, event;

	if (!x || !x->loop)
		return; /* a thread that works for the loop */
	loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);
	if (loop && read_async_ids(loop, &ids)) {
		own = (x->own.epoch || x->last_call) && ids.counter != loop->begin;
		event = loop->base && !loop->read;
		if (own || event)
			emit_async(pid_tgid, ASYNC_ACTIVATION, x, loop, &ids, 0);
		loop->begin = ids.counter;
		loop->base = 0;
		loop->base_trigger = 0;
		loop->entered = 0;
		loop->read = read;
	} else if (loop) {
		bpf_map_delete_elem(&node_loops, &pid_tgid);
	}
	activation_begins(x);
	/* Here it is known where each ends, so what led to nothing was not put off to another: see loop.bpf.h. */
	x->unled_call_ns = 0;
	x->unled_request_ns = 0;
}

/* Reads that JavaScript asks for while it runs are of files; what the loop reads by itself is an event. */
static __always_inline void node_reads(__u64 pid_tgid, __s32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **fds, *file = 0;
	bool anonymous;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return;
	fds = BPF_CORE_READ(fdt, fd);
	if (bpf_core_read(&file, sizeof(file), &fds[fd]) || !file)
		return;
	/* An eventfd, by which threads that work for the loop say that they are done: since Linux 6.16 its
	 * mode looks like a file's. */
	anonymous = BPF_CORE_READ(file, f_inode, i_sb, s_magic) == ANON_INODE_FS_MAGIC;
	if (anonymous || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG)
		node_activation(pid_tgid, !anonymous);
}

/* A call begins: which id runs, as far as that says anything. */
static __always_inline void node_call(__u64 pid_tgid, const struct context *x, __u64 call)
{
	struct node_loop *loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);
	struct async_ids ids;

	if (x && loop && read_async_ids(loop, &ids))
		emit_async(pid_tgid, ASYNC_CALL, x, loop, &ids, call);
}

#endif
