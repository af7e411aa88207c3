/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which request an execution context is serving, and the evidence of it. A request (epoch) is never
 * consumed: any number of calls may refer to it while it is live.
 */
#ifndef CONTEXT_BPF_H
#define CONTEXT_BPF_H

#include "conn.bpf.h"

/* Goroutine identity of the running thread. */
struct goroutine {
	__u64 id;
	__u64 parent;
};

static __always_inline int read_goroutine(__u64 g, const struct target *t, struct goroutine *out)
{
	if (bpf_probe_read_user(&out->id, sizeof(out->id), (void *)(g + t->goid)))
		return -1;
	if (t->parent_goid)
		bpf_probe_read_user(&out->parent, sizeof(out->parent), (void *)(g + t->parent_goid));
	return 0;
}

/*
 * The goroutine that made the current system call. On amd64 runtime.g is found through the thread
 * pointer (the kernel keeps it in thread.fsbase); on the scheduler's own stack (goid 0, cgo) the
 * user goroutine is m.curg.
 */
static __always_inline void current_goroutine(const struct target *t, struct goroutine *out)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 tp = BPF_CORE_READ(task, thread.fsbase);
	__u64 g = 0, m = 0;

	if (bpf_probe_read_user(&g, sizeof(g), (void *)(tp + t->tls_g)) || !g ||
	    read_goroutine(g, t, out)) {
		count_loss(LOSS_GOROUTINE);
		return;
	}
	if (out->id)
		return;
	if (bpf_probe_read_user(&m, sizeof(m), (void *)(g + t->m)) || !m ||
	    bpf_probe_read_user(&g, sizeof(g), (void *)(m + t->curg)) || !g)
		return;
	if (read_goroutine(g, t, out))
		count_loss(LOSS_GOROUTINE);
#endif
}

static __always_inline struct context *context_find(const struct context_key *key)
{
	if (key->kind == CONTEXT_GOROUTINE)
		return bpf_map_lookup_elem(&goroutines, key);
	return bpf_map_lookup_elem(&threads, key);
}

static __always_inline struct context *context_make(const struct context_key *key)
{
	struct context *found = context_find(key);
	struct context empty = {};

	if (found)
		return found;
	if (key->kind == CONTEXT_GOROUTINE)
		bpf_map_update_elem(&goroutines, key, &empty, BPF_NOEXIST);
	else
		bpf_map_update_elem(&threads, key, &empty, BPF_NOEXIST);
	found = context_find(key);
	if (!found)
		count_loss(LOSS_CONTEXTS_FULL);
	return found;
}

/* A token is live while its socket is still in the turn that it names. Whether the response was
 * complete when a call was made is for user space to say, which has parsed it. */
static __always_inline bool live(const struct token *t)
{
	struct conn *c;
	__u64 sk = t->sk;

	if (!t->epoch)
		return false;
	c = bpf_map_lookup_elem(&conns, &sk);
	return c && c->turn == t->epoch;
}

/* What a context is serving, and how that is known. Returns 0 when it is unknown. */
static __always_inline __u8 serving(const struct context *x, struct token *out)
{
	if (live(&x->own)) {
		*out = x->own;
		return x->loop ? EVIDENCE_LOOP : EVIDENCE_SAME_THREAD;
	}
	if (live(&x->given)) {
		*out = x->given;
		return x->given_by;
	}
	return 0;
}

/* Counts one use of what was handed to x. */
static __always_inline void use_given(struct context *x)
{
	if (x->uses < 255)
		x->uses++;
}

/* x: whose hand-over the edge rests on, or 0. */
static __always_inline void emit_evidence(__u32 tgid, __u8 what, __u64 call, __u64 epoch, __u64 ts,
					  const struct context *x)
{
	struct evidence_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count_loss(LOSS_EVENTS_FULL);
		return;
	}
	*e = (struct evidence_event){
		.kind = EVENT_EVIDENCE,
		.what = what,
		.tgid = tgid,
		.ts = ts,
		.call = call,
		.epoch = epoch,
	};
	if (x) {
		e->uses = x->uses;
		e->segment = x->segment;
		e->base_uses = x->base_uses;
		e->base = x->base;
	}
	bpf_ringbuf_submit(e, wakeup_flags(&events));
}

/* First bytes of a response or a request were read by this context on a server socket. */
static __always_inline void request_read(struct context *x, struct conn *c, __u64 sk, __u32 len)
{
	bool first = c->last_dir != DIR_IN;

	if (first) {
		c->turn = new_id();
		c->turn_bytes = 0;
	}
	/*
	 * Go's net/http reads the first byte of a request in a goroutine of its own, and a proxy's
	 * client reads the rest of a body. Only who reads the beginning serves the request; 16 bytes
	 * is less than any request line or frame header that is followed by more.
	 */
	if (x && c->turn_bytes < 16) {
		/* Two requests open in one context: it is a loop, not a thread for each request. */
		if (first && x->own.sk != sk && live(&x->own)) {
			struct conn *other = bpf_map_lookup_elem(&conns, &x->own.sk);

			if (other && other->last_dir == DIR_IN)
				x->loop = 1;
		}
		x->own.epoch = c->turn;
		x->own.sk = sk;
		x->given.epoch = 0;
		x->last_call = 0;
	}
	c->turn_bytes = c->turn_bytes + len < c->turn_bytes ? ~0U : c->turn_bytes + len;
	c->last_dir = DIR_IN;
}

/*
 * This context writes on a client socket. It goes on with its last call when nothing has come back since
 * and it still works for the same request; otherwise a new call begins. No hand-over may be visible
 * between two calls of a goroutine that writes for others: user space, which sees how many requests a
 * call holds, does not trust them.
 */
static __always_inline void call_written(struct context *x, struct conn *c, __u64 writer, __u32 tgid,
					 const struct target *t, __u64 parent_goid, __u64 ts)
{
	struct context_key parent = {.tgid = tgid, .kind = CONTEXT_GOROUTINE, .id = parent_goid};
	struct context *p;
	struct token token = {};
	__u8 what = 0;

	if (x) {
		what = serving(x, &token);
		x->wrote = 1;
	}
	if (c->last_dir == DIR_OUT) {
		if (c->writer == writer && c->epoch == token.epoch)
			return;
		c->flags |= CONN_MULTIPLEXED;
	}
	c->turn = new_id();
	c->writer = writer;
	c->epoch = token.epoch;
	c->last_dir = DIR_OUT;
	if (!what && parent_goid && t->flags & TARGET_NO_CREATION) {
		p = context_find(&parent);
		if (p && serving(p, &token))
			what = EVIDENCE_GO_PARENT;
	}
	if (what == EVIDENCE_CHANNEL)
		use_given(x);
	if (what)
		emit_evidence(tgid, what, c->turn, token.epoch, ts, what == EVIDENCE_CHANNEL ? x : 0);
}

/* This context is about to read on a client socket. Who waits for a response to a call that it did not
 * write reads for others, and will never be given a task of its own. Who wrote the call is known when its
 * bytes were the last to move: a connection may be older than the tracer. */
static __always_inline void response_awaited(struct context *x, const struct conn *c, __u64 self)
{
	if (x && c->last_dir == DIR_OUT && c->writer != self)
		x->reader = 1;
}

/* This context read (a part of) the response of the connection's current call. */
static __always_inline void response_read(struct context *x, struct conn *c, __u64 self)
{
	c->last_dir = DIR_IN;
	if (x && c->writer == self)
		x->wrote = 0;
	if (x && !(c->flags & CONN_MULTIPLEXED))
		x->last_call = c->turn;
}

#endif
