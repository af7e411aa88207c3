/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests that one thread reads and another answers. Puma's reactor puts what it has read into a queue; which thread of
 * the pool takes it is not seen when that has not waited for it. But before it calls the application it asks for the
 * state of the connection, so as not to work for a client that has gone: getsockopt(2) of TCP_INFO, in Puma's
 * Server#closed_socket?, which Request#handle_request calls first (lib/puma/server.rb, request.rb; since 5.0).
 *
 * Of Ruby alone: elsewhere it may be who watches connections that asks.
 */
#ifndef TAKEN_BPF_H
#define TAKEN_BPF_H

#include "context.bpf.h"

/* include/uapi/linux/tcp.h */
#define TCP_INFO 11

/* The thread has asked for the state of the connection c. */
static __always_inline void connection_looked_at(__u64 pid_tgid, const struct conn *c, __u64 sk)
{
	struct context_key key = {.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
	struct context *x;

	if (c->role != ROLE_SERVER || c->last_dir != DIR_IN)
		return;
	x = context_make(&key);
	if (!x || x->loop || x->own.epoch == c->turn)
		return;
	serves_from_now_on(x, c->turn, sk);
	emit_origin(CONTEXT_THREAD, ORIGIN_TAKEN, key.tgid, key.id, c->turn);
}

#endif
