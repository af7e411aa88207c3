//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Node.js: five kinds of probe sites, each on an instruction that is cheap to probe and at which the arguments
 * are still in registers (internal/noderuntime finds them). They tell where an activation of the event loop
 * ends that the kernel cannot see the end of; see node.bpf.h.
 *
 *   InternalCallbackScope        an event calls JavaScript: with the ids of the event
 *   AsyncWrap::EmitAsyncInit     an operation begins
 *   Environment::CheckImmediate  the loop has handled its descriptors
 *   Environment::RunTimers       timers are due
 */
#include "function.bpf.h"
#include "node.bpf.h"

char __license[] SEC("license") = "Dual BSD/GPL";

static __always_inline struct node_target *node_target(__u64 pid_tgid)
{
	__u32 tgid = pid_tgid >> 32;

	return target_with(tgid, TARGET_NODE) ? bpf_map_lookup_elem(&node_targets, &tgid) : 0;
}

/* An event is about to call JavaScript. Several may follow one read: parts of a message, each with the
 * id of the connection's parser. Another id is another event. */
static __always_inline int event_begins(__u64 pid_tgid, struct node_loop *loop, __u64 pair_at)
{
	struct async_pair pair;
	__u64 depth = 1;

	if (!read_async(&depth, sizeof(depth), loop->depth))
		return 0;
	/* Most often JavaScript that runs already calls it. A loop is known for longer than it is selected. */
	if (depth || !node_target(pid_tgid) || !read_async(&pair, sizeof(pair), pair_at))
		return 0;
	if (loop->entered) {
		if (loop->base == pair.id)
			return 0;
		node_activation(pid_tgid, false);
	}
	loop->entered = 1;
	loop->base = pair.id;
	loop->base_trigger = pair.trigger;
	return 0;
}

/* What immediates and timers do has an event of its own, which no other probe needs to tell: its id is 0. */
static __always_inline void phase_begins(__u64 pid_tgid)
{
	struct node_loop *loop;

	node_activation(pid_tgid, false);
	loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);
	if (!loop)
		return;
	loop->entered = 1;
	loop->base = 0;
	loop->base_trigger = 0;
}

/* call of InternalCallbackScope(Environment *, Local<Object>, const async_context &, int) */
SEC("uprobe/node_callback")
int node_callback(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct node_loop *loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);

	return loop ? event_begins(pid_tgid, loop, ARGUMENT_4(ctx)) : 0;
}

/* call of InternalCallbackScope(AsyncWrap *, int) */
SEC("uprobe/node_callback_wrap")
int node_callback_wrap(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct node_loop *loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);

	return loop ? event_begins(pid_tgid, loop, ARGUMENT_2(ctx) + loop->wrap_ids) : 0;
}

/*
 * AsyncWrap::EmitAsyncInit(Environment *, ...): the last id that was drawn is that of an operation which
 * begins: a connection, a look-up, the reading of a file. When it ends, it goes on with what runs now. That
 * is told where it may not be what the activation began with: timers, and what waited in a queue.
 */
SEC("uprobe/node_init")
int node_init(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct context_key key = {.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
	struct node_loop *loop = bpf_map_lookup_elem(&node_loops, &pid_tgid);
	struct context *x;
	__u64 exec = 0;

	if (!loop || !read_async(&exec, sizeof(exec), loop->ids) || !exec || !node_target(pid_tgid))
		return 0;
	node_base(loop);
	if (exec == loop->base)
		return 0;
	x = context_find(&key);
	if (x)
		emit_async(pid_tgid, ASYNC_INIT, x, loop, 0);
	return 0;
}

/* Environment::CheckImmediate(uv_check_t *): each time that a loop goes round, which is how its
 * Environment becomes known. */
SEC("uprobe/node_check")
int node_check(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct node_target *t = node_target(pid_tgid);
	struct node_loop fresh = {};

	if (!t)
		return 0;
	if (!bpf_map_lookup_elem(&node_loops, &pid_tgid)) {
		fresh.env = ARGUMENT_1(ctx) - t->check;
		fresh.depth = fresh.env + t->depth;
		fresh.wrap_ids = t->wrap_ids;
		if (t->stack) {
			fresh.stack = fresh.env + t->stack;
			fresh.fields = fresh.env + t->fields;
		}
		if (!read_async(&fresh.ids, sizeof(fresh.ids), fresh.env + t->async_ids) ||
		    !read_counter(&fresh, &fresh.begin))
			return 0;
		if (bpf_map_update_elem(&node_loops, &pid_tgid, &fresh, BPF_ANY))
			count_loss(LOSS_LOOPS_FULL);
	}
	phase_begins(pid_tgid);
	return 0;
}

/* Environment::RunTimers(uv_timer_t *) */
SEC("uprobe/node_timers")
int node_timers(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	if (node_target(pid_tgid))
		phase_begins(pid_tgid);
	return 0;
}
