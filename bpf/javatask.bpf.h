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

/* Where a thread makes objects: a buffer, and the end of what it has made there. */
struct java_range {
	__u64 start, top, end;
};

/* A thread of a Java VM. */
struct jvm_thread {
	__u64 pointer; /* its thread pointer, of which the next three were found: */
	__u64 java;    /* its JavaThread, */
	__u64 handle;  /* where the reference to its java.lang.Thread is, */
	__u64 base;    /* and the end of its stack, which grows down */
	__u64 epoch;           /* the request that it serves, */
	struct java_range had; /* and where its buffer was when it had read that */
	__u32 collections;     /* then */
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
 * it counts, and counts before it moves anything: what was read while the count was this is of one time. */
static __always_inline bool java_collections(const struct java_target *j, __u32 *count)
{
	__u8 now = 1;

	return !bpf_probe_read_user(&now, sizeof(now), (void *)j->collecting) && !now &&
	       !bpf_probe_read_user(count, sizeof(*count), (void *)j->collections);
}

/* Garbage was collected since it was so often. */
static __always_inline bool java_moved(const struct java_target *j, __u32 since)
{
	__u32 count = 0;

	return bpf_probe_read_user(&count, sizeof(count), (void *)j->collections) || count != since;
}

/* Finds of a thread of the current process what does not change while it lives. */
static __always_inline bool java_known(const struct java_target *j, struct jvm_thread *t, struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	__u64 tp = KERNEL_READ(task, thread.fsbase), java = 0;

	if (LIKELY(t->pointer == tp))
		return true;
	t->pointer = 0;
	t->slot = 0;
	t->misses = 0;
	if (java_thread_of(j, tp, &java) || !java || user_word(java + j->platform, &t->handle) || !t->handle ||
	    user_word(java + j->stack_base, &t->base))
		return false;
	if (j->direct)
		t->handle = java + j->platform;
	t->java = java;
	t->pointer = tp;
	return true;
#else
	return false;
#endif
}

/* Memory of the process is copied here: as much as holds what is read of an object or of a buffer, and a power of two,
 * which bounds an offset for the verifier. */
#define JAVA_COPY 64

/* Where an object has its class: oopDesc, with compressed class pointers. */
#define JAVA_CLASS 8

static __always_inline struct scratch *java_copy(__u64 from)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);

	return s && !bpf_probe_read_user(s->payload, JAVA_COPY, (void *)from) ? s : 0;
}

static __always_inline __u64 copied_word(const struct scratch *s, __u32 offset)
{
	return *(__u64 *)(s->payload + (offset & (JAVA_COPY - 1)));
}

static __always_inline __u32 copied_half(const struct scratch *s, __u32 offset)
{
	return *(__u32 *)(s->payload + (offset & (JAVA_COPY - 1)));
}

static __always_inline __u64 copied_reference(const struct java_target *j, const struct scratch *s, __u32 offset)
{
	__u32 narrow;

	if (!j->narrow)
		return copied_word(s, offset);
	narrow = copied_half(s, offset);
	return narrow ? j->base + ((__u64)narrow << (j->shift & 7)) : 0;
}

static __always_inline bool java_buffer(const struct java_target *j, const struct jvm_thread *t, struct java_range *to)
{
	struct scratch *s = java_copy(t->java + j->buffer);

	if (!s)
		return false;
	to->start = copied_word(s, j->start);
	to->top = copied_word(s, j->top);
	to->end = copied_word(s, j->end);
	return to->start <= to->top && to->top <= to->end;
}

/* No pool of a VM has made a call for so many requests: nothing more is noted until one does. */
#define JAVA_HOPE 4096

/* This thread has read a request; epoch 0: which it does not serve by itself. */
__noinline int java_requested(__u64 pid_tgid, __u64 epoch)
{
	struct java_target *j = java_with_tasks(pid_tgid >> 32);
	struct jvm_thread *t;

	if (!j || (!j->slot_of_task && j->requests++ > JAVA_HOPE))
		return 0;
	t = jvm_thread_of(pid_tgid);
	if (!t)
		return 0;
	t->epoch = 0;
	if (epoch && java_collections(j, &t->collections) &&
	    java_known(j, t, (struct task_struct *)bpf_get_current_task()) && java_buffer(j, t, &t->had))
		t->epoch = epoch;
	return 0;
}

static __always_inline struct object_event *object_event(__u64 pid_tgid, __u8 what, __u32 collections, __u64 token)
{
	struct object_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return 0;
	}
	*e = (struct object_event){
		.kind = EVENT_OBJECT,
		.what = what,
		.tgid = pid_tgid >> 32,
		.tid = (__u32)pid_tgid,
		.collections = collections,
		.ts = bpf_ktime_get_ns(),
		.token = token,
	};
	return e;
}

/* This thread begins to answer a request. */
__noinline int java_answered(__u64 pid_tgid, __u64 epoch)
{
	struct jvm_thread *t = bpf_map_lookup_elem(&jvm_threads, &pid_tgid);
	struct java_range now = {};
	struct java_target *j;
	struct object_event *e;
	__u32 count = 0;
	bool same;

	if (!t || t->epoch != epoch)
		return 0;
	t->epoch = 0;
	j = java_with_tasks(pid_tgid >> 32);
	if (!j || !java_collections(j, &count) || !java_buffer(j, t, &now) || java_moved(j, count))
		return 0;
	same = count == t->collections;
	e = object_event(pid_tgid, OBJECT_MADE, count, epoch);
	if (!e)
		return 0;
	e->from[0] = same && now.start == t->had.start ? t->had.top : now.start;
	e->to[0] = now.top;
	/* What was left of the buffer that it had. If it has used up another in between, nobody knows where that was. */
	if (same && now.start != t->had.start) {
		e->from[1] = t->had.top;
		e->to[1] = t->had.end;
	}
	bpf_ringbuf_submit(e, wakeup_flags(&events));
	return 0;
}

/* x may be an object: of those that a thread has on its stack some twenty are. */
static __always_inline bool java_may_be(const struct java_target *j, __u64 x)
{
	return x >= j->heap && x < j->heap_end && !(x & 7);
}

/* A copy of x, if that is a task which the thread runs whose java.lang.Thread is self. Nothing else of this class names
 * it. */
static __always_inline struct scratch *java_running(const struct java_target *j, __u64 x, __u64 self)
{
	struct scratch *s = java_may_be(j, x) ? java_copy(x) : 0;

	return s && copied_half(s, JAVA_CLASS) == j->klass && copied_reference(j, s, j->runner) == self ? s : 0;
}

/* The same at a place of the stack. */
static __always_inline struct scratch *java_running_at(const struct java_target *j, const struct jvm_thread *t, __u32 slot,
						       __u64 *x)
{
	return slot && !user_word(t->base - slot, x) ? java_running(j, *x, t->self) : 0;
}

/* A part of a stack is looked through for each call, as many of them, from its base on, as hold the frames of a pool. Of
 * a thread in which nothing was found several times, now and then only. */
#define JAVA_PART 2048
#define JAVA_PARTS 8
#define JAVA_PATIENCE 16
#define JAVA_SELDOM 64

/* Looks for the task that a thread runs, in a part of its stack. */
static __always_inline bool find_task(struct java_target *j, struct jvm_thread *t)
{
	__u32 zero = 0, part, klass, narrow, i;
	struct scratch *s;
	__u64 x, runner;

	if (t->misses > JAVA_PATIENCE && t->misses++ % JAVA_SELDOM)
		return false;
	part = (t->misses++ % JAVA_PARTS + 1) * JAVA_PART;
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s || bpf_probe_read_user(s->payload, JAVA_PART, (void *)(t->base - part)))
		return false;
	for (i = 0; i < JAVA_PART; i += 8) {
		x = *(__u64 *)(s->payload + i);
		if (!java_may_be(j, x) || bpf_probe_read_user(&klass, sizeof(klass), (void *)(x + JAVA_CLASS)) ||
		    klass != j->klass)
			continue;
		if (!j->narrow) {
			if (user_word(x + j->runner, &runner))
				continue;
		} else if (bpf_probe_read_user(&narrow, sizeof(narrow), (void *)(x + j->runner))) {
			continue;
		} else {
			runner = j->base + ((__u64)narrow << (j->shift & 7));
		}
		if (runner == t->self) {
			t->slot = part - i;
			t->misses = 0;
			j->slot_of_task = t->slot;
			return true;
		}
	}
	return false;
}

/* The task that a thread runs is copied, and *task. 0: none is known. */
static __always_inline struct scratch *java_task(struct java_target *j, struct jvm_thread *t, __u64 *task)
{
	struct scratch *s;

	if (!java_known(j, t, (struct task_struct *)bpf_get_current_task()) || user_word(t->handle, &t->self) || !t->self)
		return 0;
	s = java_running_at(j, t, t->slot, task);
	if (LIKELY(s))
		return s;
	s = java_running_at(j, t, j->slot_of_task, task);
	if (s) {
		t->slot = j->slot_of_task;
		return s;
	}
	return find_task(j, t) ? java_running_at(j, t, t->slot, task) : 0;
}

/* This thread, which has read no request, writes a call. */
__noinline int java_calls(__u64 pid_tgid, __u64 call)
{
	struct java_target *j = java_with_tasks(pid_tgid >> 32);
	__u32 count = 0, klass = 0;
	struct jvm_thread *t;
	struct object_event *e;
	__u64 task = 0, does;
	struct scratch *s;

	if (!j)
		return 0;
	t = jvm_thread_of(pid_tgid);
	if (!t)
		return 0;
	t->task = 0;
	if (!java_collections(j, &count))
		return 0;
	s = java_task(j, t, &task);
	if (!s)
		return 0;
	does = copied_reference(j, s, j->callable);
	if (!does || bpf_probe_read_user(&klass, sizeof(klass), (void *)(does + JAVA_CLASS)))
		klass = 0;
	if (java_moved(j, count))
		return 0;
	t->task = task;
	t->task_collections = count;
	e = object_event(pid_tgid, OBJECT_RUN, count, call);
	if (!e)
		return 0;
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
	struct object_event *e;
	struct java_target *j;
	struct scratch *s;
	__u64 runner;
	__u32 state;

	if (!t || !t->task)
		return JAVA_ANY;
	j = java_with_tasks(pid_tgid >> 32);
	s = j ? java_copy(t->task) : 0;
	if (!s)
		return JAVA_ANY;
	runner = copied_reference(j, s, j->runner);
	state = copied_half(s, j->state);
	if (java_moved(j, t->task_collections))
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
	e = object_event(pid_tgid, OBJECT_WOKE, t->task_collections, 0);
	if (e) {
		e->from[0] = t->task;
		bpf_ringbuf_submit(e, wakeup_flags(&events));
	}
	return JAVA_WITHIN;
}

#endif
