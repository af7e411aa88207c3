//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Threads that wake each other. Who has read the response of a call and then wakes the thread that waits
 * while it serves a request made the call for that request: the way back is sure where the way there is
 * not, because the worker that is woken for a task is often not the one that takes it.
 */
#include "completion.bpf.h"
#include "futex.bpf.h"
#include "javawaits.bpf.h"
#include "pythonlock.bpf.h"
#include "ruby.bpf.h"
#include "syscallargs.bpf.h"

char __license[] SEC("license") = "Dual BSD/GPL";

/*
 * from wakes another worker, for its next task or with a part of one. What that had done before is over.
 * It may be that it waits for exactly this call, in the middle of its own task: that is passed on, and
 * said.
 */
static __always_inline void handed(struct context *from, struct context *to, const struct context_key *key)
{
	struct token token = {};

	if (!to)
		to = context_make(key);
	if (!to)
		return;
	task_done(to);
	to->done_call = 0;
	woken_by(to, from);
	if (!from || to->loop)
		return;
	if (from->last_call && !owner(from)) {
		from->doubts |= WAKE_OTHERS_TOO;
		completes_others(from);
		to->last_call = from->last_call;
		to->response_at = from->response_at;
		to->last_by = EVIDENCE_WAKE_BACK;
		to->passed = from->passed < 255 ? from->passed + 1 : 255;
		to->doubts = 0;
		to->called = 1;
		return;
	}
	if (!serving(from, &token) || (to->given_by != EVIDENCE_WAKE && live(&to->given)))
		return;
	to->given = token;
	to->given_by = EVIDENCE_WAKE;
}

/* What p waits for, which is in futex(2) at uaddr, as far as its runtime tells. */
static __always_inline enum waits_for waits_of(const struct target *t, __u32 tgid, struct task_struct *p, __u64 uaddr)
{
	if (UNLIKELY(t->flags & TARGET_RUBY))
		return ruby_waits(tgid, p, uaddr);
	if (UNLIKELY(t->flags & TARGET_PYTHON))
		return python_waits(tgid, uaddr);
	if (UNLIKELY(t->flags & TARGET_JAVA))
		return java_waits(tgid, p);
	return WAITS_OTHER;
}

/*
 * kernel/sched/core.c try_to_wake_up: (task). Runs where the waker does; sched_wakeup may not. The woken
 * task's lock is held: nobody else wakes it, and it does not run.
 */
SEC("tp_btf/sched_waking")
int wake(__u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	__u64 pid_tgid = bpf_get_current_pid_tgid(), uaddr, now;
	__u32 tgid = pid_tgid >> 32;
	struct context_key from_key = {.tgid = tgid, .id = (__u32)pid_tgid}, to_key = {.tgid = tgid};
	struct context *from, *to;
	struct target *t;
	enum waits_for waits;
	enum place kind;
	__u64 task = 0;
	bool serves;

	if (p->tgid != tgid || !may_be_selected(tgid)) /* most are; it costs nothing to see */
		return 0;
	t = target_of(tgid);
	if (!t || t->flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	uaddr = futex_of_wake(p);
	if (!uaddr)
		return 0;
	waits = waits_of(t, tgid, p, uaddr);
	if (waits == WAITS_LOCK)
		return 0;
	to_key.id = p->pid;
	now = bpf_ktime_get_ns();
	from = context_find(&from_key);
	to = context_find(&to_key);
	serves = owner(to);
	if (UNLIKELY(t->flags & TARGET_JAVA) && from && java_wakes(pid_tgid, &task) == JAVA_AFTER) {
		task_done(from);
		from->done_call = 0;
		if (serves)
			return 0; /* whom the task that it has now works for is told by that itself */
	}
	kind = waits == WAITS_RESULT ? PLACE_RESULT : place_kind(tgid, uaddr, p, serves, from_key.id, now);
	if (kind == PLACE_NEW_LOCK)
		emit_wake(0, 0, uaddr, 0, WAKE_LOCK, 0, now);
	if (kind != PLACE_RESULT)
		return 0;
	/* A loop of Node.js waits in the middle of what it does for the threads that collect garbage with it, and goes on. */
	if (UNLIKELY(t->flags & TARGET_NODE) && to && to->loop)
		return 0;
	if (!serves)
		handed(from, to, &to_key);
	else if (from && from->called)
		completed(from, to, uaddr, slept_since(p), waits == WAITS_UNKNOWN ? WAKE_UNKNOWN : 0, task, now);
	return 0;
}

/* The thread has waited until a time was over, and for nothing else. */
static __always_inline int waited_in_vain(__u64 uaddr)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct context_key key = {.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
	struct target *t = target_of(key.tgid);
	struct context *x;
	enum waits_for waits;

	if (!t || t->flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	if (uaddr) {
		waits = waits_of(t, key.tgid, (struct task_struct *)bpf_get_current_task(), uaddr);
		if (waits == WAITS_LOCK || waits == WAITS_UNKNOWN)
			return 0;
	}
	x = context_make(&key);
	if (x)
		woke_itself(x);
	return 0;
}

/* nanosleep, clock_nanosleep; poll, ppoll, select and pselect6, of which nothing was ready */
EXIT(sleep) { return RESULT(ctx) ? 0 : waited_in_vain(0); }

EXIT(futex)
{
	__u32 expected = (__u32)ARG3(ctx);

	/* A lock: see awaits_lock */
	if (RESULT(ctx) != -ETIMEDOUT || expected == LOCK_AWAITED || expected == LOCK_AWAITED_MAX ||
	    ((__u32)ARG2(ctx) & FUTEX_CMD_MASK) != FUTEX_WAIT_BITSET)
		return 0;
	return waited_in_vain(ARG1(ctx));
}
