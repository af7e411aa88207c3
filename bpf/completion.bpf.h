/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who has read the response of a call and then wakes the one that waits while it serves a request made the call
 * for that request: a thread (wake.bpf.c), or a task (tokio.bpf.c).
 */
#ifndef COMPLETION_BPF_H
#define COMPLETION_BPF_H

#include "context.bpf.h"

/* The request is being served and nothing of its response was written. */
static __always_inline bool unanswered(const struct token *t)
{
	struct conn *c = conn_of(t);

	return c && c->last_dir == DIR_IN;
}

static __always_inline bool owner(const struct context *x)
{
	return x && !x->loop && unanswered(&x->own);
}

static __always_inline void emit_wake(__u64 call, __u64 epoch, __u64 uaddr, __u8 passed, __u8 doubts, __u64 task,
				      __u64 now)
{
	emit_loop_evidence(EVIDENCE_WAKE_BACK, call, epoch, uaddr, passed, doubts, task, now);
}

static __always_inline void task_done(struct context *x)
{
	x->last_call = 0;
	x->last_by = 0;
	x->passed = 0;
	x->doubts = 0;
	x->arrived = 0;
}

/*
 * from, which has read a response before (else it completes nothing), wakes to, which waits while it serves a
 * request; since: since when, as response_at has it; doubts: what is known to speak against it; task: of a
 * Java VM, whose result is there, or 0. That ends a task of from, unless something else does: then the task may go on.
 */
static __always_inline void completed(struct context *from, const struct context *to, __u64 uaddr, __u64 since,
				      __u8 doubts, __u64 task, __u64 now)
{
	__u64 call;

	call = from->last_call;
	if (owner(from)) {
		if (!call)
			return;
		doubts |= WAKE_SERVES;
	} else if (!call) {
		call = from->done_call;
		if (call)
			doubts |= WAKE_DONE_BEFORE;
	} else {
		doubts |= from->doubts;
	}
	if (from->loop && (from->answered || from->last_by || arrivals(from, now) > 1))
		doubts |= WAKE_SEVERAL;
	if (call && since > from->response_at)
		doubts |= WAKE_SLEPT_LATER;
	emit_wake(call, to->own.epoch, uaddr, from->passed, doubts, task, now);
	if (!call || doubts & (WAKE_SERVES | WAKE_SEVERAL | WAKE_SLEPT_LATER | WAKE_DONE_BEFORE))
		return;
	if (from->loop)
		call_led(from);
	from->completes = 1;
	from->done_call = call;
	task_done(from);
}

#endif
