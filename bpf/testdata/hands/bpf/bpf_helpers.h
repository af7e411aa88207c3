/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The helpers of the kernel, as far as goroutine.bpf.c needs them, for a program that runs in user space. */
#ifndef HANDS_BPF_HELPERS_H
#define HANDS_BPF_HELPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SEC(name)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define barrier() asm volatile("" ::: "memory")
#define barrier_var(x) asm volatile("" : "+r"(x))

extern unsigned long now;

bool readable(const void *user);

void *map_lookup(void *map, int type, size_t key_size, size_t value_size, const void *key);
long map_update(void *map, size_t key_size, size_t value_size, const void *key, const void *value, int flags);
long map_delete(void *map, size_t key_size, size_t value_size, const void *key);
void *record_reserve(void);
void record_submit(void *record);

#define bpf_map_lookup_elem(m, k)                                                                          \
	map_lookup((m), sizeof(*(m)->type) / sizeof(int), sizeof(*(m)->key), sizeof(*(m)->value), (k))
#define bpf_map_update_elem(m, k, v, f) map_update((m), sizeof(*(m)->key), sizeof(*(m)->value), (k), (v), (f))
#define bpf_map_delete_elem(m, k) map_delete((m), sizeof(*(m)->key), sizeof(*(m)->value), (k))
#define bpf_ringbuf_reserve(m, n, f) record_reserve()
#define bpf_ringbuf_submit(e, f) record_submit(e)
#define bpf_ringbuf_discard(e, f) ((void)(e))
#define bpf_ringbuf_query(m, f) 0
#define bpf_ktime_get_ns() now
#define bpf_get_current_pid_tgid() (1UL << 32 | 1)
#define bpf_get_smp_processor_id() 0
#define bpf_get_current_task() 0
#define bpf_get_current_task_btf() ((void *)0)
#define bpf_task_pt_regs(task) 0
#define bpf_probe_read_kernel(to, n, from) (-1)
#define bpf_probe_read_user(to, n, from) (readable(from) ? (memcpy((to), (from), (n)), 0) : -1)

#endif
