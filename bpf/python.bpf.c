//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Contexts of CPython, and the tasks that its threads take from queues. Where the probes sit is for
 * internal/pyruntime to find.
 *
 *   py_enter            a context begins to run something
 *   py_made             a context was made, as a rule as a copy of the one that the thread is in
 *   py_put, py_got      an item of a queue.SimpleQueue: concurrent.futures hands its tasks over in them
 *   py_write            bytes for a stream of uvloop, which it writes later
 */
#include "context.bpf.h"
#include "function.bpf.h"

char __license[] SEC("license") = "Dual BSD/GPL";

struct py_item_key {
	__u64 address;
	__u32 tgid;
	__u32 pad;
};

/* An item that was put and not taken yet. */
struct py_item {
	struct token token; /* what who put it serves, where that is a thread */
	__u64 context;      /* where it is a context: a new one, whose parent it is */
	__u64 since;
	__u32 count; /* how often it is in queues */
	__u8 doubtful; /* more than once, since it last was in none: which of them is taken is not known */
	__u8 nobodys;  /* who put it serves nothing, and has not worked for others */
	__u8 pad[2];
};

/* LRU: an item that is never taken. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct py_item_key);
	__type(value, struct py_item);
} py_items SEC(".maps");

struct py_process {
	__u64 since;  /* of the first event */
	__u64 unseen; /* until then items may have been taken unseen, by threads that waited already */
};

/* By tgid. LRU: processes end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct py_process);
} py_processes SEC(".maps");

static __always_inline struct py_thread *py_thread_make(__u64 pid_tgid)
{
	struct py_thread *t = bpf_map_lookup_elem(&py_threads, &pid_tgid);
	struct py_thread empty = {};

	if (t)
		return t;
	bpf_map_update_elem(&py_threads, &pid_tgid, &empty, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&py_threads, &pid_tgid);
	if (!t)
		count_loss(LOSS_CONTEXTS_FULL);
	return t;
}

static __always_inline int py_entering(__u64 address)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), type = 0;
	struct py_context_key key = {.address = address, .tgid = pid_tgid >> 32};
	struct py_context *c, fresh = {};
	struct py_thread *t;
	__u32 depth;

	if (!target_with(key.tgid, TARGET_PYTHON))
		return 0;
	if (bpf_probe_read_user(&type, sizeof(type), (void *)(address + offsetof(struct py_object, type)))) {
		count_loss(LOSS_PYTHON);
		return 0;
	}
	c = bpf_map_lookup_elem(&py_contexts, &key);
	if (!c) { /* older than the tracer */
		fresh.id = new_id();
		fresh.tid = (__u32)pid_tgid;
		bpf_map_update_elem(&py_contexts, &key, &fresh, BPF_ANY);
	} else {
		fresh = *c;
		c->tid = (__u32)pid_tgid;
		c->awaited = 0;
	}
	t = py_thread_make(pid_tgid);
	if (!t)
		return 0;
	if (fresh.awaited && t->rounds + 1 - fresh.awaited > 1)
		emit_origin(CONTEXT_PYTHON, ORIGIN_BUSY, key.tgid, fresh.id, 0);
	py_in(t, pid_tgid);
	depth = t->depth;
	if (depth >= PY_DEPTH) {
		count_loss(LOSS_PYTHON); /* the outermost ones are what is left of them */
		depth = PY_DEPTH - 1;
	}
	t->frames[depth & (PY_DEPTH - 1)] = (struct py_frame){key, type, fresh.id, t->read ? t->read : fresh.id};
	t->read = 0;
	t->depth = depth + 1;
	return 0;
}

/* A new context, made by the current one. It serves what that does. Returns its number. */
static __always_inline __u64 py_child(const struct current *cur)
{
	struct context_key key = {.tgid = cur->key.tgid, .kind = CONTEXT_PYTHON, .id = new_id()};
	struct context *x = context_find(&cur->key);
	struct context fresh = {};
	__u8 how = 0;

	if (x)
		how = serving(x, &fresh.given);
	if (known_to_serve(how)) {
		fresh.given_by = EVIDENCE_COPY;
		if (bpf_map_update_elem(&tasks, &key, &fresh, BPF_ANY))
			count_loss(LOSS_CONTEXTS_FULL);
	}
	if (cur->key.kind == CONTEXT_PYTHON)
		emit_origin(CONTEXT_PYTHON, ORIGIN_MADE, key.tgid, key.id, cur->key.id);
	return key.id;
}

static __always_inline int py_making(__u64 address)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct py_context_key key = {.address = address, .tgid = pid_tgid >> 32};
	struct target *t = target_with(key.tgid, TARGET_PYTHON);
	struct py_context fresh = {};
	struct current cur;

	if (!t || !address)
		return 0;
	current_context(t, pid_tgid, &cur);
	fresh.id = py_child(&cur);
	if (bpf_map_update_elem(&py_contexts, &key, &fresh, BPF_ANY))
		count_loss(LOSS_CONTEXTS_FULL);
	return 0;
}

static __always_inline struct py_process *py_process_make(__u32 tgid)
{
	struct py_process *p = bpf_map_lookup_elem(&py_processes, &tgid);
	struct py_process fresh = {.since = bpf_ktime_get_ns()};

	if (p)
		return p;
	bpf_map_update_elem(&py_processes, &tgid, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&py_processes, &tgid);
}

/* Whoever takes the item works for whom the current context does. */
static __always_inline int py_putting(__u64 arguments)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct py_item_key key = {.tgid = pid_tgid >> 32};
	struct target *t = target_with(key.tgid, TARGET_PYTHON);
	struct py_item fresh = {.count = 1}, *old;
	struct py_process *p;
	struct current cur;
	struct context *x;
	__u8 how = 0;

	if (!t)
		return 0;
	if (bpf_probe_read_user(&key.address, sizeof(key.address), (void *)arguments)) {
		count_loss(LOSS_PYTHON);
		return 0;
	}
	p = py_process_make(key.tgid);
	fresh.since = bpf_ktime_get_ns();
	old = bpf_map_lookup_elem(&py_items, &key);
	if (old && p && old->since >= p->unseen) {
		fresh.since = old->since;
		fresh.count = old->count + 1;
		fresh.doubtful = 1;
	} else {
		current_context(t, pid_tgid, &cur);
		if (cur.key.kind == CONTEXT_PYTHON) {
			fresh.context = py_child(&cur);
		} else {
			x = context_find(&cur.key);
			if (x)
				how = serving(x, &fresh.token);
			if (!known_to_serve(how))
				fresh.token.epoch = 0;
			fresh.nobodys = !how && !(x && (x->works || x->completes));
		}
	}
	if (bpf_map_update_elem(&py_items, &key, &fresh, BPF_ANY))
		count_loss(LOSS_CONTEXTS_FULL);
	return 0;
}

/* A thread that was there before the first event may have been waiting for the item that it got first: it was
 * not seen that it did. */
static __always_inline void py_first_taken(__u32 tgid)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct py_process *p = py_process_make(tgid);

	if (p && BPF_CORE_READ(task, start_time) < p->since)
		p->unseen = bpf_ktime_get_ns();
}

/* From here on the thread works on this item, or on nothing. */
static __always_inline int py_taken(__u64 address)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct py_item_key key = {.address = address, .tgid = pid_tgid >> 32};
	struct context_key self = {.tgid = key.tgid, .id = (__u32)pid_tgid};
	struct py_item item = {}, *found;
	struct py_thread *t;
	struct context *x;

	if (!target_with(key.tgid, TARGET_PYTHON))
		return 0;
	t = py_thread_make(pid_tgid);
	if (!t)
		return 0;
	if (!t->took) {
		t->took = 1;
		py_first_taken(key.tgid);
	}
	found = address ? bpf_map_lookup_elem(&py_items, &key) : 0;
	if (found) {
		if (!found->doubtful)
			item = *found;
		if (found->count <= 1)
			bpf_map_delete_elem(&py_items, &key);
		else
			found->count--;
	}
	x = context_find(&self);
	if ((x && !x->loop && live(&x->own)) || py_in(t, pid_tgid))
		return 0; /* it serves already: what it got is a result */
	t->item = item.context;
	if (!x && (item.token.epoch || item.nobodys))
		x = context_make(&self);
	if (x) {
		x->begun = item.nobodys ? BEGUN_FOR_NONE : BEGUN_UNKNOWN;
		x->given = item.token;
		x->given_by = EVIDENCE_ITEM;
		x->segment = 0;
		x->base = 0;
		x->uses = 0;
		x->base_uses = 0;
		x->last_call = 0;
	}
	return 0;
}

/* The beginning of uv_handle_t, uv.h. */
struct uv_handle {
	__u64 data; /* of uvloop: the transport */
	__u64 loop;
	__u32 type;
	__u32 pad;
};

/* struct PyVarObject and PyTypeObject, Include/object.h, cpython/object.h: the same from 3.5 on */
#define PY_TYPE 8
#define PY_SIZE 16
#define PY_TYPE_FLAGS 168
#define PY_SIZED (7 << 25) /* Py_TPFLAGS_LIST_SUBCLASS, TUPLE, BYTES: what has its size there */
/* Of a class of Cython without a base: PyObject, table of functions, first member. UVHandle has _handle there. */
#define UV_HANDLE 24
/* libuv waits so often at most before it goes round (uv__io_poll, src/unix/linux.c), and uvloop writes. */
#define PY_ROUND_WAITS 50

/* An empty value is not written (h11 has one at the end of each response), so that no system call follows. */
static __always_inline bool py_empty(__u64 value)
{
	__u64 size = 0, type = 0, flags = 0;

	if (user_word(value + PY_SIZE, &size) || size)
		return false;
	return !user_word(value + PY_TYPE, &type) && !user_word(type + PY_TYPE_FLAGS, &flags) && flags & PY_SIZED;
}

/*
 * A transport of uvloop is asked to write. In its buffer may still be what others have written, in this round, and in
 * the queue of libuv what the kernel did not take: what goes then is of several.
 */
static __always_inline int py_writing(__u64 transport, __u64 data)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), stream = 0, queued = 0, sk;
	struct target *target = target_with(pid_tgid >> 32, TARGET_PYTHON);
	struct py_writer fresh = {.waiting = 1}, *old;
	struct uv_handle handle;
	struct py_thread *t;
	struct conn *c;
	__s32 fd = -1;

	if (!target || py_empty(data))
		return 0;
	if (user_word(transport + UV_HANDLE, &stream)) {
		count_loss(LOSS_PYTHON);
		return 0;
	}
	if (!stream)
		return 0; /* it is closed */
	if (bpf_probe_read_user(&handle, sizeof(handle), (void *)stream) || handle.data != transport ||
	    user_word(stream + UV_WRITE_QUEUE_SIZE, &queued) ||
	    bpf_probe_read_user(&fd, sizeof(fd), (void *)(stream + UV_STREAM_FD))) {
		count_loss(LOSS_PYTHON);
		return 0;
	}
	if (handle.type != UV_TCP || fd < 0)
		return 0; /* a pipe; not connected yet */
	sk = tcp_sock_of_file(file_of_fd(fd));
	if (!sk)
		count_loss(LOSS_PYTHON);
	t = sk ? py_thread_make(pid_tgid) : 0;
	c = t ? conn_get(sk, pid_tgid >> 32) : 0;
	if (!c)
		return 0;
	fresh.by.id = py_in(t, pid_tgid);
	if (fresh.by.id)
		fresh.by.address = t->frames[(t->depth - 1) & (PY_DEPTH - 1)].key.address;
	fresh.conn = c->id;
	fresh.stream = stream;
	fresh.round = t->rounds;
	old = bpf_map_lookup_elem(&py_writers, &sk);
	if (old && old->conn == c->id) {
		bool gone = !queued && (!old->waiting || t->rounds - old->round > PY_ROUND_WAITS);

		if (!gone)
			fresh.mixed = old->mixed || old->by.id != fresh.by.id;
	} else {
		/* What was written before is not known, when tracing has just begun. */
		fresh.mixed = queued || (c->flags & CONN_MIDSTREAM && (!t->streams || t->streams == t->rounds + 1));
	}
	if (!fresh.by.id)
		fresh.mixed = 1;
	if (!t->streams)
		t->streams = t->rounds + 1;
	if (bpf_map_update_elem(&py_writers, &sk, &fresh, BPF_ANY))
		count_loss(LOSS_CONTEXTS_FULL);
	return 0;
}

SEC("uprobe/py_enter")
int py_enter(struct regs *ctx) { return py_entering(ARGUMENT_1(ctx)); }

SEC("uprobe/py_enter")
int py_enter_moved(struct regs *ctx) { return py_entering(ARGUMENT_2(ctx)); }

SEC("uprobe/py_made")
int py_made_argument(struct regs *ctx) { return py_making(ARGUMENT_1(ctx)); }

SEC("uprobe/py_made")
int py_made_result(struct regs *ctx) { return py_making(RESULT(ctx)); }

SEC("uprobe/py_put")
int py_put(struct regs *ctx) { return py_putting(ARGUMENT_2(ctx)); }

SEC("uprobe/py_put")
int py_put_method(struct regs *ctx) { return py_putting(ARGUMENT_3(ctx)); }

SEC("uretprobe/py_got")
int py_got(struct regs *ctx) { return py_taken(RESULT(ctx)); }

SEC("uprobe/py_write")
int py_write(struct regs *ctx) { return py_writing(ARGUMENT_1(ctx), ARGUMENT_2(ctx)); }

SEC("uprobe/py_write")
int py_write_array(struct regs *ctx)
{
	__u64 data = 0;

	user_word(ARGUMENT_2(ctx), &data);
	return py_writing(ARGUMENT_1(ctx), data);
}
