/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which virtual thread a thread of a Java VM runs. Since JDK 24 the VM keeps it, for its monitors, in the
 * structure of the carrier thread; before, only in an object of the heap. internal/javaruntime finds out
 * where.
 */
#ifndef JAVA_BPF_H
#define JAVA_BPF_H

#include "maps.bpf.h"

/* Java VMs by tgid. Written by user space once the VM can be read, and removed when the process is not
 * selected any more. A selected VM without an entry has just been started. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct java_target);
} java_targets SEC(".maps");

static __always_inline long user_word(__u64 at, __u64 *to)
{
	return bpf_probe_read_user(to, sizeof(*to), (void *)at);
}

/*
 * The identity in the object that is mounted. Collectors move objects while a thread is in a system call,
 * so what is read may be anything: it counts only where it names this carrier as its own, which of all
 * objects only the one does that is mounted here.
 */
static __always_inline int mounted_object(const struct java_target *j, __u64 java, __u64 *id)
{
	__u64 handle = 0, mounted = 0, platform = 0, carrier = 0;
	__u32 reference = 0;

	if (user_word(java + j->mounted, &handle) || user_word(handle, &mounted) ||
	    user_word(java + j->platform, &handle) || user_word(handle, &platform))
		return -1;
	if (mounted == platform)
		return 0;
	if (!j->id || user_word(mounted + j->id, id))
		return -1;
	if (j->narrow) {
		if (bpf_probe_read_user(&reference, sizeof(reference), (void *)(mounted + j->carrier)))
			return -1;
		carrier = j->base + ((__u64)reference << (j->shift & 7));
	} else if (user_word(mounted + j->carrier, &carrier)) {
		return -1;
	}
	return carrier == platform && *id ? 0 : -1;
}

/* The JavaThread of the thread whose thread pointer this is, 0 where the VM does not know it. Returns -1 when that
 * cannot be read. */
static __always_inline int java_thread_of(const struct java_target *j, __u64 tp, __u64 *java)
{
	__u64 vector = 0, block = 0, native = 0, whose = 0;

	*java = 0;
	if (user_word(tp + 8, &vector) || user_word(vector + j->slot, &block))
		return -1;
	/* Not allocated: 0 in musl, -1 in glibc (TLS_DTV_UNALLOCATED). */
	if (block + 1 <= 1)
		return 0;
	if (user_word(block + j->current, java))
		return -1;
	if (!*java)
		return 0;
	/* A vector that is too short for this slot has anything behind its end. */
	if (user_word(*java + j->os_thread, &native) || user_word(native + j->pthread, &whose) || whose != tp)
		return -1;
	return 0;
}

/* What the VM says of the thread whose thread pointer this is. Returns -1 when it cannot be read; else
 * *owner is the virtual thread that runs, or 0 where none does. */
static __always_inline int mounted_thread(const struct java_target *j, __u64 tp, __u64 *owner)
{
	__u64 java = 0, mounted = 0;

	*owner = 0;
	if (java_thread_of(j, tp, &java))
		return -1;
	if (!java)
		return 0;
	if (j->threads == JAVA_OBJECTS)
		return mounted_object(j, java, owner);
	if (user_word(java + j->continuation, &mounted))
		return -1;
	if (!mounted)
		return 0; /* a carrier in its own code is a platform thread too */
	return user_word(java + j->owner, owner) || !*owner ? -1 : 0;
}

/*
 * The virtual thread of the current thread, or the thread itself where it is a platform thread. What
 * cannot be read is neither (id 0): a carrier runs one virtual thread after the other. Returns false then.
 * Not inlined: its variables would be on the stack of every program.
 */
static __noinline bool current_java(__u32 tid, struct context_key *key)
{
	struct java_target *j = bpf_map_lookup_elem(&java_targets, &key->tgid);
	__u64 owner = 0;

	key->kind = CONTEXT_VIRTUAL;
	if (!j || j->threads == JAVA_UNREADABLE)
		return true; /* user space knows */
#if defined(__TARGET_ARCH_x86)
	if (j->threads != JAVA_PLATFORM) {
		struct task_struct *task = (struct task_struct *)bpf_get_current_task();

		if (mounted_thread(j, KERNEL_READ(task, thread.fsbase), &owner))
			return false;
	}
#endif
	if (owner) {
		key->id = owner;
		return true;
	}
	key->kind = CONTEXT_THREAD;
	key->id = tid;
	return true;
}

#endif
