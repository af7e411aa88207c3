/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A wake-up through a futex: what both ends are doing, and whether it is a lock that changes hands. */
#ifndef FUTEX_BPF_H
#define FUTEX_BPF_H

#include "maps.bpf.h"
#include "registers.bpf.h"
#include "schedule.bpf.h"

/* include/uapi/linux/futex.h */
#define FUTEX_WAKE 1
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_CMD_MASK 0x7f

/*
 * What a word says for as long as others wait for a lock: a mutex of Rust's standard library (sys::sync::mutex::futex)
 * and pthread_mutex_timedlock(3) of glibc 2, the phases and the writers of its pthread_rwlock_rdlock(3) 2 or 3. Who gives
 * it up writes less, and another may have taken it since. What counts (condition variables) has more once there is
 * something to wake for.
 */
#define LOCK_AWAITED 2
#define LOCK_AWAITED_MAX 3

/* p sleeps at uaddr, a word of the current process, for as long as it has the value of a lock that is waited for. */
static __always_inline bool awaits_lock(struct regs *waiter, __u64 uaddr)
{
	__u32 expected = register_value(&SYSCALL_ARG3(waiter)), word = 0;

	if (LIKELY(expected < LOCK_AWAITED || expected > LOCK_AWAITED_MAX))
		return false;
	return !bpf_probe_read_user(&word, sizeof(word), (void *)uaddr) && word <= expected;
}

/*
 * The address through which the current task wakes p, or 0. Both are in futex(2): their arguments are in
 * their registers. Condition variables, semaphores and the parking of threads wait with WAIT_BITSET; plain
 * WAIT is how glibc waits for a mutex, whose change of hands says nothing; nor does that of other locks. A timeout ends a wait from an
 * interrupt, which may have come while the current task was waking others: then at another address, or
 * at the moment at which it was to be woken anyway.
 */
static __always_inline __u64 futex_of_wake(struct task_struct *p)
{
	struct regs *waker = current_registers(), *waiter = registers_of(p);
	__u64 uaddr;
	__u32 op;

	if (!waker || !waiter || (__u32)register_value(&SYSCALL_NR(waker)) != NR_futex ||
	    (__u32)register_value(&SYSCALL_NR(waiter)) != NR_futex)
		return 0;
	op = register_value(&SYSCALL_ARG2(waker)) & FUTEX_CMD_MASK;
	if (op != FUTEX_WAKE && op != FUTEX_WAKE_BITSET && op != FUTEX_WAKE_OP && op != FUTEX_CMP_REQUEUE)
		return 0;
	op = register_value(&SYSCALL_ARG2(waiter)) & FUTEX_CMD_MASK;
	uaddr = register_value(&SYSCALL_ARG1(waker));
	if (op != FUTEX_WAIT_BITSET || register_value(&SYSCALL_ARG1(waiter)) != uaddr || awaits_lock(waiter, uaddr))
		return 0;
	return uaddr;
}

struct futex_key {
	__u32 tgid;
	__u32 pad;
	__u64 uaddr;
};

struct futex {
	__u64 waiters[4]; /* a bit for tid % 256 */
	__u64 wakers[4];
	__u64 since;      /* when counting began */
	__u64 lock_until; /* it is taken for a lock */
	__u64 wakes;
	/* The last wake-up: when, since when its waker had the CPU (by the scheduler's clock), and who. */
	__u64 woken_ns;
	__u64 waker_since;
	__u32 waker;
	__u32 waiter;
	__u64 served; /* the waiter serves a request */
};

/* LRU: a forgotten lock is learnt again within LOCK_WAKES wake-ups. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct futex_key);
	__type(value, struct futex);
} futexes SEC(".maps");

#define LOCK_WAKES 3
#define LOCK_WINDOW_NS (16ULL * 1000000000)
#define LOCK_BELIEVED_NS (60ULL * 1000000000)
/* More than from one wake-up to the next in one system call. */
#define ONE_CALL_NS 50000ULL

enum place {
	PLACE_RESULT,   /* as far as is known */
	PLACE_NEW_LOCK, /* known from now on: what was said of it before is wrong */
	PLACE_LOCK,
};

/*
 * p waits where another does who has been woken just now: by the same system call, or p slept already when the
 * other's waker got its CPU. (A system call may be interrupted between two wake-ups, by who was woken.)
 */
static __always_inline bool waited_together(const struct futex *f, struct task_struct *p, __u32 waker, __u64 now)
{
	if (!f->waiter || f->waiter == (__u32)p->pid)
		return false;
	if (f->waker == waker && now - f->woken_ns < ONE_CALL_NS)
		return true;
	return f->waker_since && slept_since(p) <= f->waker_since;
}

/*
 * Who waits for a result does not deliver results at the same place. Where several threads are found at
 * both ends something changes hands: a lock (Python's GIL, a mutex that parks its waiters). And who waits for
 * its own result waits alone: where two do at once, and one of them serves a request, who is woken looks for
 * itself whether it was meant (a condition variable for everybody). Workers may well wait together, for tasks.
 * served: p serves a request.
 */
static __always_inline enum place place_kind(__u32 tgid, __u64 uaddr, struct task_struct *p, bool served,
					     __u32 waker, __u64 now)
{
	__u32 waiter = p->pid;
	struct futex_key key = {.tgid = tgid, .uaddr = uaddr};
	struct futex *f = bpf_map_lookup_elem(&futexes, &key);
	bool known, together;
	__u32 both = 0;
	int i;

	if (!f) {
		struct futex fresh = {.since = now};

		/* LRU: it cannot be full */
		bpf_map_update_elem(&futexes, &key, &fresh, BPF_NOEXIST);
		f = bpf_map_lookup_elem(&futexes, &key);
		if (!f)
			return PLACE_LOCK;
	}
	if (now - f->since > LOCK_WINDOW_NS) {
		__builtin_memset(f->waiters, 0, sizeof(f->waiters));
		__builtin_memset(f->wakers, 0, sizeof(f->wakers));
		f->wakes = 0;
		f->since = now;
	}
	f->waiters[(waiter >> 6) & 3] |= 1ULL << (waiter & 63);
	f->wakers[(waker >> 6) & 3] |= 1ULL << (waker & 63);
	f->wakes++;
#pragma unroll
	for (i = 0; i < 4; i++) {
		__u64 b = f->waiters[i] & f->wakers[i];

		if (b)
			both += b & (b - 1) ? 2 : 1;
	}
	together = (served || f->served) && waited_together(f, p, waker, now);
	f->woken_ns = now;
	f->waker_since = running_since((struct task_struct *)bpf_get_current_task());
	f->waker = waker;
	f->waiter = waiter;
	f->served = served;
	known = now < f->lock_until;
	if (together || (both >= 2 && f->wakes >= LOCK_WAKES))
		f->lock_until = now + LOCK_BELIEVED_NS;
	if (known)
		return PLACE_LOCK;
	return now < f->lock_until ? PLACE_NEW_LOCK : PLACE_RESULT;
}

#endif
