/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a thread of a Java VM waits for. It sleeps on a condition variable of its own (Parker, ParkEvent) for
 * everything, so that who gives up a lock and wakes it looks like one who has a result. A thread says itself what it
 * waits for before it goes to sleep: the VM which monitor (JavaThread::_current_pending_monitor, vmStructs.hpp),
 * java.util.concurrent which object (java.lang.Thread.parkBlocker), whose class says what it is.
 *
 * A collector that stops the program moves nothing meanwhile: who wakes another is in the VM then, which is not stopped
 * before it has done so. With another one a reference may be old, and lead to an old copy or to anything that was made
 * there since: a thread counts if it names its JavaThread, and a class if its name is one of those below.
 */
#ifndef JAVAWAITS_BPF_H
#define JAVAWAITS_BPF_H

#include "javatask.bpf.h"
#include "waits.bpf.h"

/* What threads are parked for, by how the names of classes begin. Who waits for a lock is woken by whoever gives it up; a
 * permit of a semaphore is one, too. */
#define JAVA_NAME 28
static const struct {
	char name[JAVA_NAME + 1];
	__u32 waits;
} java_blockers[] = {
	{"java/util/concurrent/locks/R", WAITS_LOCK},  /* eentrantLock$NonfairSync, eentrantReadWriteLock$FairSync, ... */
	{"java/util/concurrent/locks/S", WAITS_LOCK},  /* tampedLock */
	{"java/util/concurrent/Semapho", WAITS_LOCK},  /* re$NonfairSync, re$FairSync */
	{"java/util/concurrent/locks/A", WAITS_OTHER}, /* bstractQueuedSynchronizer$ConditionObject */
	{"java/util/concurrent/FutureT", WAITS_OTHER}, /* ask */
	{"java/util/concurrent/Complet", WAITS_OTHER}, /* ableFuture$Signaller */
	{"java/util/concurrent/CountDo", WAITS_OTHER}, /* wnLatch$Sync */
	{"java/util/concurrent/Synchro", WAITS_OTHER}, /* nousQueue$TransferStack */
	{"java/util/concurrent/LinkedT", WAITS_OTHER}, /* ransferQueue */
	{"java/util/concurrent/ForkJoi", WAITS_OTHER}, /* nPool, nTask */
};

/* What a thread waits for that is parked for an object of the class at that address. */
static __always_inline enum waits_for java_blocker_waits(const struct java_target *j, __u64 class)
{
	char name[JAVA_NAME];
	__u64 symbol = 0;
	__u32 i, k;

	if (user_word(class + j->name, &symbol) || bpf_probe_read_user(name, sizeof(name), (void *)(symbol + j->body)))
		return WAITS_UNKNOWN;
#pragma unroll
	for (i = 0; i < sizeof(java_blockers) / sizeof(java_blockers[0]); i++) {
		bool same = true;

#pragma unroll
		for (k = 0; k < JAVA_NAME; k++)
			same = same && name[k] == java_blockers[i].name[k];
		if (same)
			return java_blockers[i].waits;
	}
	return j->moving ? WAITS_UNKNOWN : WAITS_OTHER;
}

/* hotspot/share/gc/z/zAddress.hpp: 16 bits of color, of which one of the upper four is set, below which the address
 * begins. */
static __always_inline __u64 java_uncolored(__u64 reference)
{
	return reference & 1 << 12 ? reference >> 13 :
	       reference & 1 << 13 ? reference >> 14 :
	       reference & 1 << 14 ? reference >> 15 :
				     reference >> 16;
}

/* Classes lie at multiples of 8: what a thread waits for that is parked for one stands below. */
#define JAVA_CLASS_WAITS 7

/* What a thread waits for that is parked for the object at that address. */
static __always_inline enum waits_for java_object_waits(struct java_target *j, __u64 object)
{
	__u64 head = 0, class, *known;
	enum waits_for waits;

	if (user_word(object + j->class_at, &head))
		return WAITS_UNKNOWN;
	head >>= j->class_from & 63;
	if (j->class_bits < 64)
		head &= (1ULL << j->class_bits) - 1;
	class = (j->class_base + (head << (j->class_shift & 31))) & ~(__u64)JAVA_CLASS_WAITS;
	known = &j->classes[(class >> 3) & 7];
	if (LIKELY((*known & ~(__u64)JAVA_CLASS_WAITS) == class))
		return *known & JAVA_CLASS_WAITS;
	waits = java_blocker_waits(j, class);
	if (waits != WAITS_UNKNOWN)
		*known = class | waits;
	return waits;
}

/* p sleeps, in futex(2), and is in the current address space. */
static __always_inline enum waits_for java_waits(__u32 tgid, struct task_struct *p)
{
#if defined(__TARGET_ARCH_x86)
	struct java_target *j = bpf_map_lookup_elem(&java_targets, &tgid);
	__u64 self = 0, monitor = 0, blocker = 0, names = 0;
	struct jvm_thread *t;
	__u32 narrow = 0;

	if (!j || !j->waits)
		return WAITS_UNKNOWN;
	t = jvm_thread_of((__u64)tgid << 32 | (__u32)KERNEL_READ(p, pid));
	if (!t || !java_known(j, t, p) || user_word(t->java + j->monitor, &monitor))
		return WAITS_UNKNOWN;
	if (monitor)
		return WAITS_LOCK;
	if (user_word(t->handle, &self))
		return WAITS_UNKNOWN;
	if (j->colored)
		self = java_uncolored(self);
	if (j->moving && (user_word(self + j->thread, &names) || names != t->java))
		return WAITS_UNKNOWN;
	if (!j->narrow) {
		if (user_word(self + j->blocker, &blocker))
			return WAITS_UNKNOWN;
		if (blocker && j->colored)
			blocker = java_uncolored(blocker);
	} else {
		if (bpf_probe_read_user(&narrow, sizeof(narrow), (void *)(self + j->blocker)))
			return WAITS_UNKNOWN;
		if (narrow)
			blocker = j->base + ((__u64)narrow << (j->shift & 7));
	}
	if (!blocker)
		return WAITS_OTHER; /* for another reason, as in java.lang.Object.wait */
	return java_object_waits(j, blocker);
#else
	return WAITS_UNKNOWN;
#endif
}

#endif
