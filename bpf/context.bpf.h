/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which request an execution context is serving, and the evidence of it. A request (epoch) is never
 * consumed: any number of calls may refer to it while it is live.
 */
#ifndef CONTEXT_BPF_H
#define CONTEXT_BPF_H

#include "conn.bpf.h"
#include "loop.bpf.h"
#include "java.bpf.h"
#include "haproxy.bpf.h"
#include "python.bpf.h"
#include "tokio.bpf.h"

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
	__u64 tp = KERNEL_READ(task, thread.fsbase);
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

/* What makes the current system call. key.id 0: nothing that says anything of requests. */
struct current {
	struct context_key key;
	__u64 parent; /* who made it, of the same kind, or 0 */
	bool lost;    /* there is something, and it could not be read */
};

/* A kind of context is added by adding a branch here, with a header of its own that reads its id. Where
 * there is none, the thread is the context; but a thread of a Go program runs whatever goroutine is next,
 * and says nothing. */
static __always_inline void current_context(const struct target *t, __u64 pid_tgid, struct current *out)
{
	__builtin_memset(out, 0, sizeof(*out));
	out->key.tgid = pid_tgid >> 32;
	if (LIKELY(!(t->flags & TARGET_OTHER_CONTEXTS))) {
		out->key.id = (__u32)pid_tgid;
	} else if (t->flags & TARGET_GO) {
		struct goroutine go = {};

		current_goroutine(t, &go);
		out->key.kind = CONTEXT_GOROUTINE;
		out->key.program = t->program;
		out->key.id = go.id;
		out->parent = go.parent;
	} else if (t->flags & TARGET_JAVA) {
		out->lost = !current_java((__u32)pid_tgid, &out->key);
	} else if (t->flags & TARGET_PYTHON) {
		current_python(pid_tgid, &out->key);
	} else if (t->flags & TARGET_HAPROXY) {
		current_stream(&out->key);
	} else if (t->flags & TARGET_TOKIO) {
		current_tokio(pid_tgid, &out->key);
	}
}

/* The same in one number, to be compared. */
static __always_inline __u64 context_id(const struct context_key *key)
{
	return (key->id << 3) | key->kind;
}

/* What a context begins as: not on the stack, of which there are 512 bytes. */
static const struct context unknown_context;

static __always_inline struct creation *creation_at(const struct context_key *key)
{
	__u32 at = (key->id + key->tgid * 0x9e3779b1U) % CREATIONS;

	return bpf_map_lookup_elem(&creations, &at);
}

static __always_inline __u64 creation_sum(const struct context_key *key, const struct token *given, __u64 tasker,
					  __u64 segment, __u64 base, __u16 uses)
{
	__u64 sum = sum_with(key->id, (__u64)key->tgid << 32 | (__u32)key->program << 16 | uses);

	sum = sum_with(sum_with(sum, given->epoch), given->sk);
	return sum_with(sum_with(sum_with(sum, tasker), segment), base);
}

/* The first thing that a goroutine does which was created by one that served a request, see goroutine.bpf.c. */
static __always_inline struct context *context_of_creation(const struct context_key *key)
{
	struct creation *c = creation_at(key);
	struct context *x;

	if (!c || c->id != key->id || c->tgid != key->tgid)
		return 0;
	if (bpf_map_update_elem(&tasks, key, &unknown_context, BPF_NOEXIST))
		return bpf_map_lookup_elem(&tasks, key);
	x = bpf_map_lookup_elem(&tasks, key);
	if (!x)
		return 0;
	x->given = c->given;
	x->tasker = c->tasker;
	x->segment = c->segment;
	x->base = c->base;
	x->uses = c->uses;
	x->base_uses = c->base_uses;
	barrier(); /* what was copied is what is compared */
	if (c->sum != creation_sum(key, &x->given, x->tasker, x->segment, x->base, x->base_uses << 8 | x->uses))
		x->given.epoch = 0; /* another goroutine was entered meanwhile, or it is of another program */
	else
		x->given_by = EVIDENCE_GO_CREATED;
	c->id = 0; /* once only: if the context is forgotten, what it has done since is as well */
	return x;
}

/* The context as it is known, without what a goroutine was made for. */
static __always_inline struct context *context_known(const struct context_key *key)
{
	if (key->kind == CONTEXT_THREAD)
		return bpf_map_lookup_elem(&threads, key);
	return bpf_map_lookup_elem(&tasks, key);
}

static __always_inline struct context *context_find(const struct context_key *key)
{
	struct context *x;

	if (!key->id)
		return 0;
	x = context_known(key);
	if (UNLIKELY(!x && key->kind == CONTEXT_GOROUTINE)) /* at the end of each program, out of the way */
		return context_of_creation(key);
	return x;
}

/*
 * The same of what is a goroutine for sure. The kind in its key lies next to what was read from a program, so
 * neither the compiler nor the verifier would know it any more: each such question would be looked at for two maps.
 */
static __always_inline struct context *goroutine_find(const struct context_key *key)
{
	struct context *x = bpf_map_lookup_elem(&tasks, key);

	return LIKELY(x) ? x : context_of_creation(key);
}

/* One of which goroutine_find knows nothing. */
static __always_inline struct context *task_make(const struct context_key *key)
{
	struct context *x;

	bpf_map_update_elem(&tasks, key, &unknown_context, BPF_NOEXIST);
	x = bpf_map_lookup_elem(&tasks, key);
	if (!x)
		count_loss(LOSS_CONTEXTS_FULL);
	return x;
}

static __always_inline struct context *context_make(const struct context_key *key)
{
	struct context *found = context_find(key);

	if (found || !key->id)
		return found;
	if (key->kind != CONTEXT_THREAD)
		return task_make(key);
	bpf_map_update_elem(&threads, key, &new_thread, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&threads, key);
	if (!found)
		count_loss(LOSS_CONTEXTS_FULL);
	return found;
}

/* The connection of a token, which is live while that is still in the turn that it names; else 0. Whether the
 * response was complete when a call was made is for user space to say, which has parsed it. */
static __always_inline struct conn *conn_of(const struct token *t)
{
	struct conn *c;
	__u64 sk = t->sk;

	if (!t->epoch)
		return 0;
	c = bpf_map_lookup_elem(&conns, &sk);
	return c && c->turn == t->epoch ? c : 0;
}

static __always_inline bool live(const struct token *t) { return conn_of(t); }

/* The turn of the socket that was asked for last. The tokens that a hand-over compares are mostly of one request,
 * or of its connection. */
struct last_turn {
	__u64 sk, turn;
};

/* The same, where several are asked. */
static __always_inline bool live_too(const struct token *t, struct last_turn *last)
{
	__u64 sk = t->sk;
	struct conn *c;

	if (!t->epoch)
		return false;
	if (sk != last->sk) {
		c = bpf_map_lookup_elem(&conns, &sk);
		last->sk = sk;
		last->turn = c ? c->turn : 0;
	}
	return last->turn == t->epoch;
}

/* What a context is serving, and how that is known. Returns 0 when it is unknown. owns: its own is live. */
static __always_inline __u8 serves(const struct context *x, bool owns, struct token *out, struct last_turn *last)
{
	if (owns) {
		*out = x->own;
		return x->loop ? EVIDENCE_LOOP : EVIDENCE_SAME_THREAD;
	}
	if (live_too(&x->given, last)) {
		*out = x->given;
		return x->given_by;
	}
	return 0;
}

static __always_inline __u8 serving(const struct context *x, struct token *out)
{
	struct last_turn last = {};

	return serves(x, live_too(&x->own, &last), out, &last);
}

/* What a context serves is known well enough to be handed on: hints are not. */
static __always_inline bool known_to_serve(__u8 how)
{
	return how && how != EVIDENCE_LOOP && how != EVIDENCE_WAKE;
}

/*
 * Of a goroutine that has a task, to which a connection came from one that had opened it for somebody else: almost
 * certainly for its task, as a client gives a connection to whoever waits first; or its next task. Its `uses` says from
 * there on that only the way back can tell; this says whether it is known whose its task is if the connection was none.
 */
enum connection_doubt {
	DOUBT_NONE = 0,
	DOUBT_UNUSED = 1,
	DOUBT_ONCE = 2,  /* it has written one call, or given somebody one to write */
	DOUBT_ELSE = 3,  /* there is more to doubt */
	DOUBT_GIVER = 4, /* it was given a call to write by one who is in doubt */
};

/* Counts one use of what was handed to x. */
static __always_inline void use_given(struct context *x)
{
	if (x->uses < 255)
		x->uses++;
	if (UNLIKELY(x->doubt) && x->doubt < DOUBT_ELSE)
		x->doubt++;
}

/* EVIDENCE_NEXT of a thread. */
static __always_inline void emit_next(const struct context *x, __u64 call, __u64 ts)
{
	EMIT(evidence_event, .kind = EVENT_EVIDENCE, .what = EVIDENCE_NEXT,
	     .tgid = bpf_get_current_pid_tgid() >> 32, .ts = ts, .call = call, .epoch = x->last_call,
	     .uses = x->arrived, .base_uses = x->answers, .base = x->completes ? WAKE_WORKER : 0);
}

/* x: whose hand-over the edge rests on, or 0. */
static __always_inline void emit_evidence(__u32 tgid, __u8 what, __u64 call, __u64 epoch, __u64 ts,
					  const struct context *x)
{
	/* Who the giver had it from does not matter when it is back. */
	__u8 base_uses = !x || what == EVIDENCE_CHANNEL_BACK ? 0 : x->base_uses;

	EMIT(evidence_event, .kind = EVENT_EVIDENCE, .what = what, .tgid = tgid, .ts = ts, .call = call, .epoch = epoch,
	     .uses = x ? x->uses : 0, .segment = x ? x->segment : 0, .base_uses = base_uses, .base = x ? x->base : 0);
}

/* EVIDENCE_CHANNEL_DIALED of who writes a call. */
static __always_inline void emit_dialed(__u32 tgid, __u64 call, __u64 epoch, __u64 ts, const struct context *x)
{
	EMIT(evidence_event, .kind = EVENT_EVIDENCE, .what = EVIDENCE_CHANNEL_DIALED,
	     .uses = x->doubt == DOUBT_ONCE ? 1 : x->uses, .tgid = tgid, .ts = ts, .call = call, .epoch = epoch,
	     .segment = x->segment, .base = x->doubt_of);
}

/* What became of an execution context. */
static __always_inline void emit_origin(__u8 context_kind, __u8 what, __u32 tgid, __u64 child,
					__u64 parent)
{
	EMIT(origin_event, .kind = EVENT_ORIGIN, .what = what, .context_kind = context_kind, .tgid = tgid,
	     .ts = bpf_ktime_get_ns(), .child = child, .parent = parent);
}

static __always_inline void serves_from_now_on(struct context *x, __u64 epoch, __u64 sk)
{
	x->own.epoch = epoch;
	x->own.sk = sk;
	x->given.epoch = 0;
	x->last_call = 0;
	x->done_call = 0;
	x->arrived = 0;
	x->answers = 0;
	x->asked = 0; /* nothing of what this one is for */
	x->begun = BEGUN_UNKNOWN;
	x->asks = 0;
	x->lent = 0;
	x->type = 0;
}

/* First bytes of a response or a request were read by this context on a server socket. */
static __always_inline void request_read(struct context *x, struct conn *c, const struct target *t, __u64 sk,
					 const struct data_event *e)
{
	bool first = c->last_dir != DIR_IN;

	if (first) {
		c->turn = new_id_at(e->ts);
		c->turn_bytes = 0;
	}
	/*
	 * Go's net/http reads the first byte of a request in a goroutine of its own, and a proxy's
	 * client reads the rest of a body. Only who reads the beginning serves the request; 16 bytes
	 * is less than any request line or frame header that is followed by more.
	 */
	if (x && c->turn_bytes < 16) {
		/* Two requests open in one context: it is a loop, not a thread for each request. In Ruby another thread may
		 * have taken the first, see taken.bpf.h. */
		if (first && x->own.sk != sk && !(t->flags & TARGET_RUBY) && live(&x->own)) {
			struct conn *other = bpf_map_lookup_elem(&conns, &x->own.sk);

			if (other && other->last_dir == DIR_IN)
				x->loop = 1;
		}
		if (x->loop && first)
			loop_request(x, e->ts);
		serves_from_now_on(x, c->turn, sk);
	}
	c->turn_bytes = c->turn_bytes + e->len < c->turn_bytes ? ~0U : c->turn_bytes + e->len;
	c->last_dir = DIR_IN;
}

/* A connection that HAProxy makes for a stream is written on by another task, once it is made. */
static __always_inline void stream_of_connection(struct context_key *key, const struct conn *c)
{
	if (key->kind == CONTEXT_STREAM && !key->id && c->last_dir == DIR_NONE)
		key->id = c->writer >> 3;
}

/*
 * The stream that writes this call will answer a request, and it serves no other. (An address is used
 * again; but then the call is older than that request, or it is another call.)
 */
static __always_inline void stream_calls(struct context *x, const struct conn *c)
{
	if (!x)
		return;
	x->last_call = c->turn;
	x->last_by = EVIDENCE_CONTEXT;
}

/*
 * This context writes on a client socket. It goes on with its last call when nothing has come back since
 * and it still works for the same request; otherwise a new call begins. No hand-over may be visible
 * between two calls of a goroutine that writes for others: user space, which sees how many requests a
 * call holds, does not trust them. e: the record of the bytes.
 */
static __always_inline void call_written(struct context *x, struct conn *c, const struct current *cur,
					 const struct target *t, struct data_event *e)
{
	struct context_key parent = {
		.tgid = cur->key.tgid, .kind = CONTEXT_GOROUTINE, .program = t->program, .id = cur->parent};
	__u64 writer = context_id(&cur->key), opened_for = 0;
	__u64 ts = e->ts;
	struct context *p;
	struct token token = {};
	__u8 what = 0, sure = c->flags & CONN_SURE ? 1 : 2;

	if (x) {
		what = serving(x, &token);
		x->wrote = 1;
		x->unaided = x->begun;
	}
	if (UNLIKELY(c->last_dir == DIR_OUT)) {
		if (c->writer == writer && (c->epoch == token.epoch || (x && loop_goes_on(x))))
			return;
		if (cur->key.kind == CONTEXT_STREAM && !cur->key.id)
			return; /* whatever moves bytes goes on for the stream */
		c->flags |= CONN_MULTIPLEXED;
	}
	if (c->last_dir == DIR_NONE)
		opened_for = c->epoch;
	c->flags &= ~(CONN_LED | CONN_SURE);
	c->turn = new_id_at(ts);
	c->writer = writer;
	c->epoch = token.epoch;
	c->last_dir = DIR_OUT;
	if (!what && cur->parent && t->flags & TARGET_NO_CREATION) {
		p = goroutine_find(&parent);
		if (p && serving(p, &token))
			what = EVIDENCE_GO_PARENT;
	}
	if (what == EVIDENCE_CHANNEL)
		use_given(x);
	if (cur->key.kind == CONTEXT_STREAM) {
		stream_calls(x, c);
		return;
	}
	if (opened_for)
		emit_loop_evidence(EVIDENCE_CONNECTED, c->turn, opened_for, 0, sure, 0, 0, ts);
	if (what == EVIDENCE_LOOP) {
		/* What a loop writes when a connection is made is what it was made for. */
		if (!opened_for) {
			emit_loop_evidence(what, c->turn, token.epoch, x->activation, loop_requests(x, ts), 0, 0,
					   ts);
			x->led = 1;
		}
	} else if (what == EVIDENCE_CHANNEL || what == EVIDENCE_GO_CREATED) {
		emit_evidence(cur->key.tgid, what, c->turn, token.epoch, ts, x);
		if (what == EVIDENCE_CHANNEL && UNLIKELY(x->doubt == DOUBT_ONCE || x->doubt == DOUBT_GIVER))
			emit_dialed(cur->key.tgid, c->turn, token.epoch, ts, x);
	} else if (what) {
		e->evidence = what; /* it goes with the bytes */
		e->epoch = token.epoch;
	}
	if (!x || !x->last_call || cur->key.kind == CONTEXT_GOROUTINE)
		return;
	if (x->loop) {
		loop_next(x, c->turn, ts);
		return;
	}
	/* Who has woken a thread that serves nothing has probably ended a task of no request. */
	if ((!what || what == EVIDENCE_WAKE) && !(x->doubts & WAKE_OTHERS_TOO))
		emit_next(x, c->turn, ts);
	x->arrived = 0; /* it led to this */
}

/*
 * This context begins the response of the request that was read on a server socket. If it knows of a
 * finished call, and of nothing since, that call was made for this request: it had to wait for it.
 */
static __always_inline void response_written(struct context *x, struct conn *c, const struct current *cur,
					     __u64 ts)
{
	bool begins = c->last_dir == DIR_IN;

	c->last_dir = DIR_OUT;
	if (!begins || !x || cur->key.kind == CONTEXT_GOROUTINE)
		return;
	if (x->loop) {
		loop_answer(x, c, ts);
		return;
	}
	/* Else it reads, calls and answers by itself: EVIDENCE_SAME_THREAD. Who never calls has nothing to tell; who
	 * does, and answers without, makes it doubtful whose call the next answer is. */
	if (x->own.epoch != c->turn && (x->called || x->last_call)) {
		if (x->passed)
			emit_loop_evidence(x->last_by, x->last_call, c->turn, 0, x->passed, 0, 0, ts);
		else
			emit_loop_evidence(x->last_by ? x->last_by : EVIDENCE_ANSWER, x->last_call, c->turn, 0,
					   x->arrived, 1, 0, ts);
		x->completes = 1;
	}
	x->arrived = 0;
	x->last_call = 0; /* the task is done */
	x->last_by = 0;
	x->passed = 0;
}

/* Who waits for a response to a call that it did not write reads for others, and will never be given a task
 * of its own. Who wrote the call is known when its bytes were the last to move: a connection may be older than
 * the tracer. */
static __always_inline bool awaits_for_others(const struct conn *c, __u64 self)
{
	return c->last_dir == DIR_OUT && c->writer != self;
}

/* This context read (a part of) the response of the connection's current call. */
static __always_inline void response_read(struct context *x, struct conn *c, __u64 sk, __u64 self, __u64 ts)
{
	c->last_dir = DIR_IN;
	if (x && c->writer == self)
		x->wrote = 0;
	if (x && x->reader) {
		x->read = c->flags & CONN_MULTIPLEXED ? ts : 0;
		x->handed = 0;
	}
	if (!x || c->flags & CONN_MULTIPLEXED)
		return;
	if (x->loop) {
		loop_response(x, c, sk, ts);
		return;
	}
	if (x->last_call != c->turn) {
		if (x->arrived < 255)
			x->arrived++;
		response_arrives(x);
	}
	if ((self & 7) == CONTEXT_TOKIO)
		x->response_at = ts; /* its thread has had the CPU for other tasks */
	x->last_call = c->turn;
	x->returned = 0;
	x->last_by = 0;
	x->passed = 0;
}

#endif
