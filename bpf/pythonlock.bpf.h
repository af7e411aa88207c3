/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lock of CPython: its condition variables are in the variable _PyRuntime (Include/internal/pycore_gil.h,
 * pycore_runtime.h), at which threads wait for nothing else. Which thread has it says nothing of requests, and few
 * wake-ups are needed to take one for a result: who gives the lock up waits until another has it (FORCE_SWITCHING).
 */
#ifndef PYTHONLOCK_BPF_H
#define PYTHONLOCK_BPF_H

#include "maps.bpf.h"
#include "waits.bpf.h"

/* Processes of CPython by tgid. Written by user space once internal/pyruntime has found where, and removed when the
 * process is not selected any more: as many as targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct python_target);
} python_targets SEC(".maps");

/* A thread waits at uaddr. */
static __always_inline enum waits_for python_waits(__u32 tgid, __u64 uaddr)
{
	struct python_target *p = bpf_map_lookup_elem(&python_targets, &tgid);

	if (!p)
		return WAITS_UNKNOWN;
	return uaddr - p->runtime < p->size ? WAITS_LOCK : WAITS_OTHER;
}

#endif
