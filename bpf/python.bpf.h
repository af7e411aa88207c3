/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which contextvars.Context of CPython a thread is in: asyncio runs each task and each callback in one.
 * python.bpf.c writes what is read here, wherever bytes move.
 */
#ifndef PYTHON_BPF_H
#define PYTHON_BPF_H

#include "maps.bpf.h"

struct py_context_key {
	__u64 address;
	__u32 tgid;
	__u32 pad;
};

/* The context at an address. It gets its number when it is made, so that the next one at the same address
 * is another. */
struct py_context {
	__u64 id;
	__u32 tid; /* the thread that entered it last */
	__u32 awaited; /* a request has come that it may wait for: rounds of the thread + 1; 0: none */
};

/* LRU: nothing says when a context goes. A forgotten one that is entered once more gets a new number: a
 * missing link. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct py_context_key);
	__type(value, struct py_context);
} py_contexts SEC(".maps");

#define PY_DEPTH 4 /* contexts that run in one another: task, callback, and two to spare */

struct py_frame {
	struct py_context_key key;
	__u64 type; /* of the object, to know that it still is one */
	__u64 id;
	__u64 as; /* whose work it does there: of id, or of the connection for whose bytes uvloop entered it */
};

/* struct _pycontextobject, CPython's Include/internal/pycontext.h and pycore_context.h, the same from 3.7
 * to 3.13; internal/pyruntime refuses others. */
struct py_object {
	__u64 references;
	__u64 type;
	__u64 previous;
	__u64 variables;
	__u64 weak_references;
	__u32 entered;
	__u32 pad;
};

struct py_thread {
	__u64 item; /* the task that it took from a queue, as a context; 0: none */
	__u32 depth;
	__u32 took; /* it has taken something from a queue */
	__u32 rounds; /* how often it has waited in epoll, if it is a loop */
	__u32 streams; /* it runs uvloop: rounds + 1 when a stream was first written to */
	__u64 read; /* the connection of which uvloop has read, and has not given it to anybody yet: its number */
	struct py_frame frames[PY_DEPTH];
	struct py_object object; /* what was read last: the stacks of programs are full */
};

/* Threads of Python, by pid_tgid: removed at exit. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct py_thread);
} py_threads SEC(".maps");

/* Leaving a context is not probed: it says of itself whether it is entered. It may have been freed, and its
 * address be another's, or be entered by another thread. */
static __always_inline bool py_entered(struct py_thread *t, const struct py_frame *f, __u64 pid_tgid)
{
	struct py_context *c;

	if (bpf_probe_read_user(&t->object, sizeof(t->object), (void *)f->key.address) ||
	    t->object.type != f->type || t->object.entered != 1)
		return false;
	c = bpf_map_lookup_elem(&py_contexts, &f->key);
	return c && c->id == f->id && c->tid == (__u32)pid_tgid;
}

/* Forgets the contexts that the thread has left since, and returns the number of the one it is in, or 0.
 * They are left in the reverse order. */
static __noinline __u64 py_in(struct py_thread *t, __u64 pid_tgid)
{
	int i;

	if (!t)
		return 0;
#pragma unroll
	for (i = PY_DEPTH - 1; i >= 0; i--) {
		if (i >= t->depth)
			continue;
		if (py_entered(t, &t->frames[i], pid_tgid))
			return t->frames[i].as;
		t->depth = i;
	}
	return 0;
}

struct py_answer {
	__u64 address;
	__u64 id;
};

/* The context that began the last response on a socket. LRU: sockets go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct py_answer);
} py_answers SEC(".maps");

/*
 * uvloop keeps what is written to a stream in a buffer of its own, and makes the system call at the end of a round,
 * for all streams and in nobody's context. So the method that writes notes who called it, see py_writing.
 */
struct py_writer {
	struct py_answer by;
	__u64 conn;   /* its number: addresses of sockets are used again */
	__u64 stream; /* uv_stream_t */
	__u32 round;  /* of the last write */
	__u8 waiting; /* in the buffer of uvloop */
	__u8 mixed;   /* several contexts wrote it, or it is not known which */
	__u8 pad[2];
};

/* By socket. LRU: sockets go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct py_writer);
} py_writers SEC(".maps");

#define UV_TCP 12              /* enum uv_handle_type */
#define UV_WRITE_QUEUE_SIZE 96 /* of uv_stream_t: what the kernel would not take at once */
#define UV_STREAM_FD 184       /* its io_watcher.fd; internal/pyruntime says why these are fixed */

/* Who wrote what goes to this stream now, or 0 where no note says it: then whoever makes the system call does. What
 * the kernel does not take at once goes in later rounds, from the queue of libuv; while there is something in that, no
 * system call is for the buffer. */
static __always_inline const struct py_writer *py_wrote(__u64 pid_tgid, __u64 sk, const struct conn *c)
{
	struct py_thread *t = bpf_map_lookup_elem(&py_threads, &pid_tgid);
	struct py_writer *w;
	__u64 queued = 0;

	if (!t || !t->streams)
		return 0;
	w = bpf_map_lookup_elem(&py_writers, &sk);
	if (!w || w->conn != c->id ||
	    bpf_probe_read_user(&queued, sizeof(queued), (void *)(w->stream + UV_WRITE_QUEUE_SIZE)))
		return 0;
	if (queued)
		return w;
	if (!w->waiting)
		return 0;
	w->waiting = 0; /* all of it */
	return w;
}

/* The context of a write of uvloop: none, where several have written. Returns the note of it, or 0. */
static __always_inline const struct py_writer *writer_of_stream(__u64 pid_tgid, __u64 sk, const struct conn *c,
								 struct context_key *key)
{
	const struct py_writer *w = py_wrote(pid_tgid, sk, c);

	if (!w)
		return 0;
	key->kind = CONTEXT_PYTHON;
	key->id = w->mixed ? 0 : w->by.id;
	return w;
}

/*
 * uvloop has read a request, in no context, and gives it to one that it has for all connections of a listener. What
 * runs there works for this one alone, as it does in asyncio, where each has a context of its own: so the
 * connection is the context, by its number.
 */
static __always_inline void reader_of_stream(__u64 pid_tgid, const struct conn *c, struct context_key *key)
{
	struct py_thread *t;

	if (key->kind != CONTEXT_THREAD)
		return;
	t = bpf_map_lookup_elem(&py_threads, &pid_tgid);
	if (!t || !t->streams)
		return;
	t->read = 0;
	if (c->role != ROLE_SERVER)
		return;
	t->read = c->id;
	key->kind = CONTEXT_PYTHON;
	key->id = c->id;
}

/* A response was written by a context. A task that serves its connection reads the next request then: or
 * it goes on with something else. */
static __always_inline void py_answered(__u64 pid_tgid, __u64 sk, __u64 id,
						 const struct py_writer *noted)
{
	struct py_thread *t = bpf_map_lookup_elem(&py_threads, &pid_tgid);
	struct py_answer answer = {.id = id};
	__u32 top;

	if (noted) {
		if (id)
			bpf_map_update_elem(&py_answers, &sk, &noted->by, BPF_ANY);
		return;
	}
	if (!t || !t->depth)
		return;
	top = (t->depth - 1) & (PY_DEPTH - 1);
	if (t->frames[top].as != id)
		return;
	answer.address = t->frames[top].key.address;
	bpf_map_update_elem(&py_answers, &sk, &answer, BPF_ANY);
}

/* The next request of the connection has come. If the context waits for it, it runs in the next round. */
static __always_inline void py_requested(__u64 pid_tgid, __u64 sk)
{
	struct py_answer *answer = bpf_map_lookup_elem(&py_answers, &sk);
	struct py_thread *t = bpf_map_lookup_elem(&py_threads, &pid_tgid);
	struct py_context_key key = {.tgid = pid_tgid >> 32};
	struct py_context *c;

	if (!answer || !t)
		return;
	key.address = answer->address;
	c = bpf_map_lookup_elem(&py_contexts, &key);
	if (c && c->id == answer->id && c->tid == (__u32)pid_tgid)
		c->awaited = t->rounds + 1;
}

static __always_inline void py_round(__u64 pid_tgid)
{
	struct py_thread *t = bpf_map_lookup_elem(&py_threads, &pid_tgid);

	if (t) {
		t->rounds++;
		t->read = 0;
	}
}

/* The context that a thread of Python is in, else the task that it took from a queue, else the thread. */
static __always_inline void current_python(__u64 pid_tgid, struct context_key *key)
{
	struct py_thread *t = bpf_map_lookup_elem(&py_threads, &pid_tgid);

	key->kind = CONTEXT_PYTHON;
	key->id = py_in(t, pid_tgid);
	if (!key->id && t)
		key->id = t->item;
	if (key->id)
		return;
	key->kind = CONTEXT_THREAD;
	key->id = (__u32)pid_tgid;
}

#endif
