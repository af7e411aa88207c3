//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tasks of tokio, by the address of their Header. Where the probes sit is for internal/tokioruntime to find.
 *
 *   tokio_poll   raw::poll: a thread begins to poll a task
 *   tokio_made   a function that makes one returns: its address, or a handle that is nothing else
 *   tokio_gone   raw::dealloc: it has ended, and nobody waits for it
 *   tokio_wake   waker::wake_by_val, waker::wake_by_ref: it is to be polled again. Who gives up a lock wakes who waits
 *                for it, and has no result for it; what waits for a time is woken by none that has.
 */
#include "completion.bpf.h"
#include "function.bpf.h"

char __license[] SEC("license") = "Dual BSD/GPL";

/* The entry of a task, which is new where there is none. */
static __always_inline struct tokio_task *tokio_task_make(const struct tokio_task_key *key)
{
	struct tokio_task *task = bpf_map_lookup_elem(&tokio_tasks, key), fresh = {};

	if (task)
		return task;
	fresh.id = new_id();
	/* LRU: it cannot be full */
	bpf_map_update_elem(&tokio_tasks, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tokio_tasks, key);
}

static __always_inline struct tokio_thread *tokio_thread_make(__u64 pid_tgid)
{
	struct tokio_thread *t = bpf_map_lookup_elem(&tokio_threads, &pid_tgid), empty = {};

	if (t)
		return t;
	bpf_map_update_elem(&tokio_threads, &pid_tgid, &empty, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&tokio_threads, &pid_tgid);
	if (!t)
		count_loss(LOSS_CONTEXTS_FULL);
	return t;
}

/* The task that the thread polls, or 0. */
static __always_inline __u64 tokio_current(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	return tokio_in(bpf_map_lookup_elem(&tokio_threads, &pid_tgid), ctx->sp);
}

SEC("uprobe/tokio_poll")
int tokio_poll(struct regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), sp = ctx->sp, returns = 0, depth;
	struct tokio_task_key key = {.address = ARGUMENT_1(ctx), .tgid = pid_tgid >> 32};
	struct tokio_thread *t;
	struct tokio_task *task;

	if (!target_with(key.tgid, TARGET_TOKIO))
		return 0;
	t = tokio_thread_make(pid_tgid);
	task = tokio_task_make(&key);
	if (!t || !task)
		return 0;
	task->polled = bpf_ktime_get_ns();
	tokio_in(t, sp + 1); /* a poll that began here is over */
	depth = t->depth;
	if (bpf_probe_read_user(&returns, sizeof(returns), (void *)sp) || depth >= TOKIO_DEPTH) {
		count_loss(LOSS_TOKIO);
		t->depth = 0;
		return 0;
	}
	t->polls[depth & (TOKIO_DEPTH - 1)] = (struct tokio_poll){.sp = sp, .returns = returns, .id = task->id};
	t->depth = depth + 1;
	return 0;
}

/* Several of these functions may return for one task, one after the other; and it may be polled before. */
SEC("uretprobe/tokio_made")
int tokio_made(struct regs *ctx)
{
	struct tokio_task_key key = {.address = RESULT(ctx), .tgid = bpf_get_current_pid_tgid() >> 32};
	struct tokio_task *task;
	__u64 maker;

	if (!target_with(key.tgid, TARGET_TOKIO) || !key.address)
		return 0;
	maker = tokio_current(ctx);
	task = maker ? tokio_task_make(&key) : 0;
	if (!task || task->made)
		return 0;
	task->made = 1;
	emit_origin(CONTEXT_TOKIO, ORIGIN_MADE, key.tgid, task->id, maker);
	return 0;
}

SEC("uprobe/tokio_gone")
int tokio_gone(struct regs *ctx)
{
	struct tokio_task_key key = {.address = ARGUMENT_1(ctx), .tgid = bpf_get_current_pid_tgid() >> 32};
	struct tokio_task *task;

	if (!target_with(key.tgid, TARGET_TOKIO))
		return 0;
	task = bpf_map_lookup_elem(&tokio_tasks, &key);
	if (!task)
		return 0;
	if (task->made)
		emit_origin(CONTEXT_TOKIO, ORIGIN_ENDED, key.tgid, task->id, 0);
	bpf_map_delete_elem(&tokio_tasks, &key);
	return 0;
}

static __always_inline enum tokio_code tokio_code(const struct tokio_target *t, __u64 at)
{
	int i;

	for (i = 0; i < TOKIO_WAKES; i++) {
		if (at - t->wakes[i].start < t->wakes[i].size)
			return t->wakes[i].code;
	}
	return TOKIO_NONE;
}

/* As much of the stack is looked through as the frames of what wakes for others take. */
#define TOKIO_FRAMES 512

/*
 * What wakes a task, directly or through what wakes for others; TOKIO_NONE: nothing that is known. False: that cannot be
 * told. Callers are found by their return addresses: what lies on the stack and is in the code.
 */
static __always_inline bool tokio_waker(__u32 tgid, __u64 sp, enum tokio_code *out)
{
	struct tokio_target *t = bpf_map_lookup_elem(&tokio_targets, &tgid);
	__u32 zero = 0, i;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);

	*out = TOKIO_NONE;
	if (!t || !s || bpf_probe_read_user(s->payload, TOKIO_FRAMES, (void *)sp))
		return false;
	for (i = 0; i < TOKIO_FRAMES; i += 8) {
		__u64 at = *(__u64 *)(s->payload + i);
		enum tokio_code code;

		if (at - t->text >= t->size)
			continue;
		code = tokio_code(t, at);
		if (code == TOKIO_PASS)
			continue;
		*out = code;
		break;
	}
	return true;
}

SEC("uprobe/tokio_wake")
int tokio_wake(struct regs *ctx)
{
	struct tokio_task_key key = {.address = ARGUMENT_1(ctx), .tgid = bpf_get_current_pid_tgid() >> 32};
	struct context_key from_key = {.tgid = key.tgid, .kind = CONTEXT_TOKIO};
	struct context_key to_key = {.tgid = key.tgid, .kind = CONTEXT_TOKIO};
	struct context *from, *to;
	struct tokio_task *task;
	enum tokio_code code;
	bool known;

	if (!target_with(key.tgid, TARGET_TOKIO))
		return 0;
	task = bpf_map_lookup_elem(&tokio_tasks, &key);
	from_key.id = tokio_current(ctx);
	if (!task || task->id == from_key.id)
		return 0;
	to_key.id = task->id;
	to = context_find(&to_key);
	if (!from_key.id && to && (owner(to) || to->wrote))
		return 0; /* bytes have come */
	known = tokio_waker(key.tgid, ctx->sp, &code);
	if (code == TOKIO_LOCK)
		return 0;
	if (!from_key.id) {
		if (code == TOKIO_TIME && (to = context_make(&to_key)))
			woke_itself(to);
		return 0;
	}
	from = context_find(&from_key);
	if (owner(to)) {
		if (from && from->called) /* else it has no result */
			completed(from, to, 0, task->polled, known ? 0 : WAKE_UNKNOWN, 0, bpf_ktime_get_ns());
		return 0;
	}
	if (to && !to->wrote)
		woken_by(to, from);
	if (from && from->last_call && !owner(from)) {
		from->doubts |= WAKE_OTHERS_TOO;
		completes_others(from);
	}
	return 0;
}
