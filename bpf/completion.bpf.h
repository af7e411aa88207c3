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
 * from has woken x, which does something next. May that be for a request? It may if from serves one, if it has been woken by
 * who does and makes no calls itself (it passes tasks on), or if it has completed something for one: a worker wakes the
 * next. Who else serves nothing has a task of its own for x, or waits for a result.
 */
static __always_inline void woken_by(struct context *x, struct context *from)
{
	bool serves = owner(from);

	if (serves && from->asks < 255 && !from->asks++)
		from->asked_at = id_time(new_id());
	if (serves || (from && from->works && !from->called))
		x->works = 1;
	else if (!from || !from->completes) {
		x->begun = BEGUN_FOR_OTHERS;
		return;
	}
	x->begun = BEGUN_UNKNOWN;
}

/* x was not woken: a time was over. What it was given by a request that is not answered yet may go on. */
static __always_inline void woke_itself(struct context *x)
{
	x->works = 0;
	if (x->given_by != EVIDENCE_WAKE || !unanswered(&x->given))
		x->begun = BEGUN_FOR_NONE;
}

/*
 * from made the call for none that waits for what it brings: nobody had woken it, or one who serves nothing had. But to may
 * have woken another one before that, which took what from was woken for.
 */
static __always_inline bool made_unaided(const struct context *from, const struct context *to, __u64 call)
{
	if (from->loop || !from->unaided)
		return false;
	/* It was made for that request. It may have waited for a lock since, which looks like anything where its runtime does
	 * not know it yet (a new thread of Ruby). */
	if (from->given_by == EVIDENCE_SPAWN && from->given.epoch == to->own.epoch)
		return false;
	if (from->unaided == BEGUN_FOR_NONE)
		return true;
	return !to->asks || id_time(call) < to->asked_at;
}

/* x has woken who waits for what it did. Its next task may have waited in a queue. */
static __always_inline void completes_others(struct context *x)
{
	if (x->begun == BEGUN_FOR_OTHERS)
		x->begun = BEGUN_UNKNOWN;
}

/*
 * from, which has read a response before (else it completes nothing), wakes to, which waits while it serves a
 * request; since: since when, as response_at has it; doubts: what is known to speak against it; task: of a
 * Java VM, whose result is there, or 0. That ends a task of from, unless something else does: then the task may go on.
 */
static __always_inline void completed(struct context *from, struct context *to, __u64 uaddr, __u64 since,
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
	if (call && made_unaided(from, to, call))
		doubts |= WAKE_UNAIDED;
	if (to->asks)
		to->asks--;
	emit_wake(call, to->own.epoch, uaddr, from->passed, doubts, task, now);
	if (!call || doubts & (WAKE_SERVES | WAKE_SEVERAL | WAKE_SLEPT_LATER | WAKE_DONE_BEFORE))
		return;
	if (from->loop)
		call_led(from);
	completes_others(from);
	if (!(doubts & WAKE_UNAIDED) && !from->passed)
		from->completes = 1;
	from->done_call = call;
	task_done(from);
}

#endif
