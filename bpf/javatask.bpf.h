/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tasks of thread pools of a Java VM. What a pool's thread runs is an object (java.util.concurrent.FutureTask), and
 * who made that gave the task to the pool. HotSpot lets each thread make its objects one after the other in a buffer
 * of its own (ThreadLocalAllocBuffer), so the address of an object lies where the buffer of its maker was while it
 * served a request. Both are told here; user space compares them (internal/causality).
 *
 * Addresses hold until garbage is collected: both are told with how often it was. A collector that moves objects
 * while the program runs has none that hold, and is left out by internal/javaruntime.
 */
#ifndef JAVATASK_BPF_H
#define JAVATASK_BPF_H

#include "java.bpf.h"

/* A thread of a Java VM. */
struct jvm_thread {
	__u64 epoch;           /* the request that it serves, and where its buffer was when it had read that: */
	__u64 start, top, end;
	__u32 collections;
	__u32 slot;   /* where it was found to have its task last, from the base of its stack down; 0: nowhere yet */
	__u32 misses; /* how often nothing was found since */
	__u32 task_collections;
	__u64 task; /* in which it made its last call, 0: not known; and its java.lang.Thread then */
	__u64 self;
	__u64 woke; /* the last task in the middle of which it woke somebody */
};

/* By pid_tgid, removed when it ends. LRU: what goes is found again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct jvm_thread);
} jvm_threads SEC(".maps");

static const struct jvm_thread new_jvm_thread;

static __always_inline struct jvm_thread *jvm_thread_of(__u64 pid_tgid)
{
	struct jvm_thread *t = bpf_map_lookup_elem(&jvm_threads, &pid_tgid);

	if (t)
		return t;
	bpf_map_update_elem(&jvm_threads, &pid_tgid, &new_jvm_thread, BPF_NOEXIST);
	return bpf_map_lookup_elem(&jvm_threads, &pid_tgid);
}

/* The target of a VM whose tasks can be read. */
static __always_inline struct java_target *java_with_tasks(__u32 tgid)
{
	struct java_target *j = bpf_map_lookup_elem(&java_targets, &tgid);

	return j && j->tasks ? j : 0;
}

/* How often garbage was collected. Returns false while it is, or if that cannot be read. The VM sets the mark before
 * it counts, and counts before it moves anything: what was read between two equal counts is of one time. */
static __always_inline bool java_collections(const struct java_target *j, __u32 *count)
{
	__u8 now = 1;

	return !bpf_probe_read_user(&now, sizeof(now), (void *)j->collecting) && !now &&
	       !bpf_probe_read_user(count, sizeof(*count), (void *)j->collections);
}

/* The JavaThread of the current thread, or 0. */
static __always_inline __u64 current_java_thread(const struct java_target *j)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 java = 0;

	return java_thread_of(j, KERNEL_READ(task, thread.fsbase), &java) ? 0 : java;
#else
	return 0;
#endif
}

/* Where its buffer is, and the end of what it has made there. */
static __always_inline bool java_buffer(const struct java_target *j, __u64 java, struct jvm_thread *to)
{
	return !user_word(java + j->start, &to->start) && !user_word(java + j->top, &to->top) &&
	       !user_word(java + j->end, &to->end) && to->start <= to->top && to->top <= to->end;
}

/* No pool of a VM has made a call for so many requests: nothing more is noted until one does. */
#define JAVA_HOPE 4096

/* This thread has read a request, which it serves by itself as far as is known. */
__noinline int java_requested(__u64 pid_tgid, __u64 epoch)
{
	struct java_target *j = java_with_tasks(pid_tgid >> 32);
	struct jvm_thread *t;
	__u64 java;

	if (!j || (!j->slot_of_task && j->requests++ > JAVA_HOPE))
		return 0;
	t = jvm_thread_of(pid_tgid);
	if (!t)
		return 0;
	t->epoch = 0;
	if (!java_collections(j, &t->collections))
		return 0;
	java = current_java_thread(j);
	if (java && java_buffer(j, java, t))
		t->epoch = epoch;
	return 0;
}

/* This thread begins to answer the request that it has read last. */
__noinline int java_answered(__u64 pid_tgid, __u64 epoch)
{
	struct jvm_thread *t = bpf_map_lookup_elem(&jvm_threads, &pid_tgid);
	struct jvm_thread now;
	struct java_target *j;
	struct object_event *e;
	bool same;
	__u32 count = 0;
	__u64 java;

	if (!t || t->epoch != epoch)
		return 0;
	t->epoch = 0;
	j = java_with_tasks(pid_tgid >> 32);
	if (!j || !java_collections(j, &now.collections))
		return 0;
	java = current_java_thread(j);
	if (!java || !java_buffer(j, java, &now) || !java_collections(j, &count) || count != now.collections)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_OBJECT;
	e->what = OBJECT_MADE;
	e->tgid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->collections = count;
	e->ts = bpf_ktime_get_ns();
	e->token = epoch;
	same = count == t->collections;
	e->from[0] = same && now.start == t->start ? t->top : now.start;
	e->to[0] = now.top;
	/* What was left of the buffer that it had. If it has used up another in between, nobody knows where that was. */
	if (same && now.start != t->start) {
		e->from[1] = t->top;
		e->to[1] = t->end;
	}
	bpf_ringbuf_submit(e, wakeup_flags(&events));
	return 0;
}

/* A reference in an object. */
static __always_inline bool java_reference(const struct java_target *j, __u64 at, __u64 *to)
{
	__u32 narrow = 0;

	if (!j->narrow)
		return !user_word(at, to);
	if (bpf_probe_read_user(&narrow, sizeof(narrow), (void *)at))
		return false;
	*to = narrow ? j->base + ((__u64)narrow << (j->shift & 7)) : 0;
	return true;
}

/* x is a task that the thread runs whose java.lang.Thread is self. Nothing else of this class names it. */
static __always_inline bool java_runs(const struct java_target *j, __u64 x, __u64 self)
{
	__u64 runner = 0;
	__u32 klass = 0;

	if (x < j->heap || x >= j->heap_end || x & 7 || bpf_probe_read_user(&klass, sizeof(klass), (void *)(x + 8)) ||
	    klass != j->klass)
		return false;
	return java_reference(j, x + j->runner, &runner) && runner == self;
}

/* A part of a stack is looked through for each call, as many of them, from its base on, as hold the frames of a pool. Of
 * a thread in which nothing was found several times, now and then only. */
#define JAVA_PART 2048
#define JAVA_PARTS 8
#define JAVA_PATIENCE 16
#define JAVA_SELDOM 64

static __always_inline bool java_runs_at(const struct java_target *j, __u64 base, __u32 slot, __u64 self, __u64 *x)
{
	return slot && !user_word(base - slot, x) && java_runs(j, *x, self);
}

/* The task that a thread runs, or 0. */
static __always_inline __u64 java_task(struct java_target *j, struct jvm_thread *t, __u64 java)
{
	__u64 base = 0, handle = 0, self = 0, x = 0;
	__u32 zero = 0, part, i;
	struct scratch *s;

	if (user_word(java + j->stack_base, &base) || user_word(java + j->platform, &handle) || user_word(handle, &self) ||
	    !self)
		return 0;
	t->self = self;
	if (java_runs_at(j, base, t->slot, self, &x))
		return x;
	if (java_runs_at(j, base, j->slot_of_task, self, &x)) {
		t->slot = j->slot_of_task;
		return x;
	}
	if (t->misses > JAVA_PATIENCE && t->misses++ % JAVA_SELDOM)
		return 0;
	part = (t->misses++ % JAVA_PARTS + 1) * JAVA_PART;
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s || bpf_probe_read_user(s->payload, JAVA_PART, (void *)(base - part)))
		return 0;
	for (i = 0; i < JAVA_PART; i += 8) {
		x = *(__u64 *)(s->payload + i);
		if (java_runs(j, x, self)) {
			t->slot = part - i;
			t->misses = 0;
			j->slot_of_task = t->slot;
			return x;
		}
	}
	return 0;
}

/* This thread, which has read no request, writes a call. */
__noinline int java_calls(__u64 pid_tgid, __u64 call)
{
	struct java_target *j = java_with_tasks(pid_tgid >> 32);
	struct jvm_thread *t;
	struct object_event *e;
	__u32 before = 0, after = 0, klass = 0;
	__u64 java, task, does = 0;

	if (!j)
		return 0;
	t = jvm_thread_of(pid_tgid);
	if (!t)
		return 0;
	t->task = 0;
	if (!java_collections(j, &before))
		return 0;
	java = current_java_thread(j);
	task = java ? java_task(j, t, java) : 0;
	if (!task || !java_collections(j, &after) || before != after)
		return 0;
	t->task = task;
	t->task_collections = after;
	if (!java_reference(j, task + j->callable, &does) || !does ||
	    bpf_probe_read_user(&klass, sizeof(klass), (void *)(does + 8)))
		klass = 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_OBJECT;
	e->what = OBJECT_RUN;
	e->tgid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->collections = after;
	e->ts = bpf_ktime_get_ns();
	e->token = call;
	e->from[0] = task;
	e->to[0] = klass;
	bpf_ringbuf_submit(e, wakeup_flags(&events));
	return 0;
}

enum java_wake {
	JAVA_ANY,    /* it says nothing of tasks, or nothing is known */
	JAVA_AFTER,  /* the task is over: what the thread does now is not for the call that it made in it */
	JAVA_WITHIN, /* it goes on */
	JAVA_END,    /* its result is there: who waits for that is woken */
};

/* This thread wakes another: where in the task is it in which it has made its last call? FutureTask.set stores the
 * state before it wakes who waits, and FutureTask.run who runs it, nobody, after that. */
static __always_inline enum java_wake java_wakes(__u64 pid_tgid, __u64 *task)
{
	struct jvm_thread *t = bpf_map_lookup_elem(&jvm_threads, &pid_tgid);
	__u32 count = 0, state = 0;
	struct object_event *e;
	struct java_target *j;
	__u64 runner = 0;

	if (!t || !t->task)
		return JAVA_ANY;
	j = java_with_tasks(pid_tgid >> 32);
	if (!j || !java_reference(j, t->task + j->runner, &runner) ||
	    bpf_probe_read_user(&state, sizeof(state), (void *)(t->task + j->state)) || !java_collections(j, &count) ||
	    count != t->task_collections)
		return JAVA_ANY;
	if (runner != t->self) {
		t->task = 0;
		return JAVA_AFTER;
	}
	if (state) {
		*task = t->task;
		return JAVA_END;
	}
	if (t->woke == t->task)
		return JAVA_WITHIN;
	t->woke = t->task;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return JAVA_WITHIN;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = EVENT_OBJECT;
	e->what = OBJECT_WOKE;
	e->tgid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->collections = count;
	e->ts = bpf_ktime_get_ns();
	e->from[0] = t->task;
	bpf_ringbuf_submit(e, wakeup_flags(&events));
	return JAVA_WITHIN;
}

#endif
