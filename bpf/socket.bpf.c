//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The tracepoint backend: system calls that move bytes on TCP sockets of selected processes, the
 * life of their connections, and the life of processes and threads.
 *
 * What a context serves is decided at the entry of a write and at the exit of a read: those are the
 * moments at which bytes leave and arrive. A write leaves a struct call at its entry and a record at its
 * exit, when the number of bytes is known. A read is not looked at before its exit: most of them find
 * nothing, its arguments are still in the registers then, and it may have begun before its process was
 * selected.
 */
#include "context.bpf.h"
#include "javatask.bpf.h"
#include "node.bpf.h"
#include "notify.bpf.h"
#include "payload.bpf.h"
#include "poll.bpf.h"
#include "pythonlock.bpf.h" /* for its map, which wake.bpf.c reads, */
#include "ruby.bpf.h"       /* and for this one's */
#include "syscall.bpf.h"
#include "taken.bpf.h"

/* Names the types for BTF, from which the Go types are made. */
const struct conn_event *unused_conn_event __attribute__((unused));
const struct evidence_event *unused_evidence_event __attribute__((unused));
const struct object_event *unused_object_event __attribute__((unused));
const struct async_event *unused_async_event __attribute__((unused));
const struct origin_event *unused_origin_event __attribute__((unused));
const struct process_event *unused_process_event __attribute__((unused));
const enum loss *unused_loss __attribute__((unused));
const enum evidence_kind *unused_evidence_kind __attribute__((unused));
const struct haproxy_target *unused_haproxy_target __attribute__((unused));
const enum java_threads *unused_java_threads __attribute__((unused));

char __license[] SEC("license") = "Dual BSD/GPL";

/* A peek moves nothing; urgent data and the error queue are outside of the stream. */
#define NOT_A_READ (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)

static __always_inline struct context_key key_of_thread(__u64 pid_tgid)
{
	return (struct context_key){.tgid = pid_tgid >> 32, .id = (__u32)pid_tgid};
}

/* The evidence of a call whose bytes did not go, or whose end was not seen, in a record of its own: that call goes
 * on with the next bytes, which say nothing of it. */
static __always_inline void emit_held_evidence(struct data_event *e)
{
	if (LIKELY(!e->evidence))
		return;
	emit_evidence(e->tgid, e->evidence, e->turn, e->epoch, e->ts, 0);
	e->evidence = 0;
}

/* The entry of this thread, one of whose system calls begins. */
static __always_inline struct thread *call_begins(__u64 pid_tgid)
{
	struct context_key key = key_of_thread(pid_tgid);
	struct thread *thread = bpf_map_lookup_elem(&threads, &key);

	if (UNLIKELY(!thread)) {
		bpf_map_update_elem(&threads, &key, &new_thread, BPF_NOEXIST);
		thread = bpf_map_lookup_elem(&threads, &key);
		if (!thread) {
			count_loss(LOSS_CALLS_FULL);
			return 0;
		}
	}
	emit_held_evidence(&thread->call.event);
	return thread;
}

/* The system call of this thread that is over, or 0 where nothing is known of its beginning. */
static __always_inline struct call *call_ends(__u64 pid_tgid)
{
	struct context_key key = key_of_thread(pid_tgid);
	struct thread *thread = bpf_map_lookup_elem(&threads, &key);

	if (!thread || !thread->call.under_way)
		return 0;
	thread->call.under_way = 0;
	return &thread->call;
}

/* A thread that waits in epoll serves whatever is ready: what it read before says nothing of what it
 * writes after. Goroutines are contexts of their own, whatever their threads wait for. */
static __always_inline int loop_waits(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_of(pid_tgid >> 32);
	struct current cur;
	struct context *x;

	if (!t || t->flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	if (t->flags & TARGET_TOKIO)
		tokio_waits(pid_tgid);
	current_context(t, pid_tgid, &cur);
	x = context_make(&cur.key);
	if (!x)
		return 0;
	x->loop = 1;
	if (t->flags & TARGET_PYTHON)
		py_round(pid_tgid);
	if (t->flags & TARGET_NODE)
		node_activation(pid_tgid, false);
	else
		activation_begins(x);
	return 0;
}

/* The beginning of a write that is not on a TCP socket. Goroutines have their own ways. Most go to what no
 * loop reads: a log. */
static __always_inline int note_enter(struct file *file, const struct target *t, __u64 pid_tgid)
{
	struct current cur;
	struct note *n;

	if (t->flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	n = note_awaited(note_of_file((__u64)file, DIR_OUT));
	if (!n)
		return 0;
	current_context(t, pid_tgid, &cur);
	note_written(n, context_find(&cur.key));
	return 0;
}

/* The end of a read that was not on a TCP socket. */
static __always_inline int note_exit(struct file *file, const struct target *t, __u64 pid_tgid, __u64 buf)
{
	struct current cur;
	struct context *x;
	__u64 object, count = 0;

	if (t->flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	current_context(t, pid_tgid, &cur);
	x = context_find(&cur.key);
	if (!x || !(x->loop || x->begun))
		return 0;
	object = note_of_file((__u64)file, DIR_IN);
	if (!x->loop) {
		told(x, file, object);
		return 0;
	}
	if (!object || (object & NOTE_COUNTS && bpf_probe_read_user(&count, sizeof(count), (void *)buf)))
		return 0;
	note_read(object, x, count);
	return 0;
}

/* A record of bytes of a connection, but for what they are and for what: turn, positions, length. All of it is
 * set, as the memory has held another. */
static __always_inline void begin_record(struct data_event *e, __u8 dir, const struct conn *c, __u64 pid_tgid,
					 const struct current *cur)
{
	e->kind = EVENT_DATA;
	e->dir = dir;
	e->role = c->role;
	e->flags = c->flags & CONN_MIDSTREAM ? DATA_MIDSTREAM : 0;
	e->tgid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->netns = c->netns;
	e->ts = bpf_ktime_get_ns();
	e->conn = c->id;
	e->context = cur->key.kind == CONTEXT_THREAD ? 0 : cur->key.id;
	e->parent_context = cur->parent;
	__builtin_memcpy(e->laddr, c->laddr, sizeof(c->laddr));
	__builtin_memcpy(e->raddr, c->raddr, sizeof(c->raddr));
	e->lport = c->ports >> 16;
	e->rport = c->ports & 0xffff;
	e->context_kind = cur->key.kind;
	e->evidence = 0;
	e->epoch = 0;
	e->pad[0] = e->pad[1] = 0;
}

static __always_inline int write_enter(__s32 fd, __u8 vec, __u64 buf, __u32 count)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_of(pid_tgid >> 32);
	struct data_event *e;
	const struct py_writer *noted = 0;
	struct thread *thread;
	struct file *file;
	struct current cur;
	struct context *x;
	struct conn *c;
	__u64 sk, turn;

	if (!t)
		return 0;
	file = file_of_fd(fd);
	sk = tcp_sock_of_file(file);
	if (!sk)
		return vec == VEC_MMSG ? 0 : note_enter(file, t, pid_tgid);
	c = conn_get(sk, pid_tgid >> 32);
	if (!c)
		return 0;
	thread = call_begins(pid_tgid);
	if (!thread)
		return 0;
	current_context(t, pid_tgid, &cur);
	if (cur.lost)
		count_loss(LOSS_VIRTUAL_THREAD);
	if (c->role == ROLE_CLIENT)
		stream_of_connection(&cur.key, c);
	if (t->flags & TARGET_PYTHON)
		noted = writer_of_stream(pid_tgid, sk, c, &cur.key);
	thread->call.under_way = 1;
	thread->call.sk = sk;
	thread->call.vec = vec;
	thread->call.buf = buf;
	thread->call.count = count;
	e = &thread->call.event;
	begin_record(e, DIR_OUT, c, pid_tgid, &cur);
	if (cur.key.kind == CONTEXT_THREAD)
		x = cur.key.id ? &thread->context : 0;
	else if (c->role == ROLE_CLIENT && cur.key.kind == CONTEXT_STREAM)
		x = context_make(&cur.key);
	else
		x = context_find(&cur.key);
	turn = c->turn;
	if (t->flags & TARGET_JAVA && c->role == ROLE_SERVER && c->last_dir == DIR_IN)
		java_answered(pid_tgid, turn);
	if (c->role == ROLE_CLIENT)
		call_written(x, c, &cur, t, e);
	else
		response_written(x, c, &cur, e->ts);
	if (t->flags & TARGET_JAVA && c->turn != turn && cur.key.kind == CONTEXT_THREAD &&
	    e->evidence != EVIDENCE_SAME_THREAD)
		java_calls(pid_tgid, c->turn);
	if (t->flags & TARGET_NODE && c->turn != turn)
		node_call(pid_tgid, c->turn);
	if (cur.key.kind == CONTEXT_PYTHON && c->role == ROLE_SERVER)
		py_answered(pid_tgid, sk, cur.key.id, noted);
	e->turn = c->turn;
	e->seq = write_seq_of(sk);
	e->other_seq = copied_seq_of(sk);
	/* Of an older connection somebody may be reading just now, and not have told yet. */
	if (!(c->flags & (CONN_POSITION | CONN_MIDSTREAM)))
		find_position(c, sk);
	return 0;
}

/* Most messages are short. Where there is no room to be made to measure before they are copied, they go to the ring
 * straight, in records of one size: four lines of the cache with the ring's own header. */
#define SHORT_PAYLOAD (256 - 8 - sizeof(struct data_event))

struct short_record {
	struct data_event event;
	__u8 payload[SHORT_PAYLOAD];
};

static __always_inline void emit_short(const struct data_event *e, __u64 buf)
{
	struct short_record *r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	__u32 got = e->len;

	if (!r) {
		count_loss(LOSS_EVENTS_FULL);
		return;
	}
	asm volatile("" : "+r"(got)); /* see copy_bytes */
	got &= 255;
	if (got > SHORT_PAYLOAD)
		got = SHORT_PAYLOAD;
	if (UNLIKELY(bpf_probe_read_user(r->payload, got, (void *)buf))) {
		count_loss(LOSS_PAYLOAD_FAULT);
		got = 0;
	}
	r->event = *e;
	r->event.captured = got;
	/* How full the ring is must be known now and then only: some of these records are small beside wakeup_bytes. */
	bpf_ringbuf_submit(r, e->ts & 7 ? BPF_RB_NO_WAKEUP : wakeup_flags(&events));
}

/* One record of e->len bytes; payload from an iovec array or a plain buffer. */
static __always_inline void emit_data(const struct data_event *e, __u8 vec, __u64 buf, __u32 count)
{
	__u32 zero = 0, want = e->len, got = 0, copied;
	struct scratch *s;

	if (want > payload_size)
		want = payload_size;
	if (LIKELY(vec == VEC_BUFFER && want == e->len && want <= SHORT_PAYLOAD)) {
		emit_short(e, buf);
		return;
	}
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s)
		return;
	if (want > MAX_PAYLOAD)
		want = MAX_PAYLOAD;
	if (vec == VEC_BUFFER) {
		copied = copy_bytes(s, 0, buf, want);
		got = copied == ~0U ? 0 : copied;
	} else if (vec == VEC_IOVEC) {
		got = copy_iovecs(buf, count, want);
	}
	if (got > MAX_PAYLOAD)
		got = MAX_PAYLOAD;
	s->event = *e;
	s->event.captured = got;
	if (bpf_ringbuf_output(&events, s, sizeof(s->event) + got, wakeup_flags(&events)))
		count_loss(LOSS_EVENTS_FULL);
}

/* Marks of the context and the connection when bytes arrived. */
static __always_inline void bytes_read(struct conn *c, const struct target *t, const struct current *cur,
				       __u64 sk, __u64 pid_tgid, const struct data_event *e)
{
	struct context *x = context_make(&cur->key);

	if (t->flags & TARGET_PYTHON && c->role == ROLE_SERVER && c->last_dir != DIR_IN)
		py_requested(pid_tgid, sk);
	if (c->role == ROLE_SERVER) {
		request_read(x, c, t, sk, e);
		if (UNLIKELY(t->flags & TARGET_JAVA) && c->turn_bytes == e->len)
			java_requested(pid_tgid, cur->key.kind == CONTEXT_THREAD && x && !x->loop ? c->turn : 0);
	} else {
		response_read(x, c, sk, context_id(&cur->key), e->ts);
	}
}

/*
 * A read that has ended took e->len bytes from e->seq on. Every read of a connection begins where the last one
 * ended. Else bytes were moved that are not seen, or several threads read at once. Returns false where it
 * would begin before that: another thread read at once, or it has closed the descriptor meanwhile and opened
 * another connection under its number.
 */
static __always_inline bool read_fits(struct conn *c, struct data_event *e)
{
	__s32 ahead = c->flags & CONN_POSITION ? e->seq - c->position : 0;

	c->position = e->seq + e->len;
	c->flags |= CONN_POSITION;
	if (ahead)
		e->flags |= DATA_SEQ_DERIVED;
	if (ahead < 0)
		count_loss(LOSS_READ_PLACE);
	return ahead >= 0;
}

/* How the system call says where its bytes go. */
static __always_inline __u8 vec_of_read(const struct regs *regs)
{
	__s32 nr = SYSCALL_NR(regs);
	__u32 flags;
	__u8 vec;

	if (nr == NR_read)
		return VEC_BUFFER;
	if (nr == NR_readv)
		return VEC_IOVEC;
	if (nr == NR_recvfrom) {
		flags = SYSCALL_ARG4(regs);
		vec = VEC_BUFFER;
	} else {
		flags = SYSCALL_ARG3(regs);
		vec = VEC_MSG;
	}
	if (flags & NOT_A_READ)
		return VEC_NOT_READ;
	return flags & MSG_TRUNC ? VEC_NONE : vec;
}

/* recvmsg and sendmsg: the header says where the bytes are. */
static __always_inline void buffers_of_message(struct call *call)
{
	struct user_msg msg;

	if (bpf_probe_read_user(&msg, sizeof(msg), (void *)call->buf)) {
		count_loss(LOSS_PAYLOAD_FAULT);
		call->vec = VEC_NONE;
		return;
	}
	call->vec = VEC_IOVEC;
	call->buf = msg.iov;
	call->count = msg.iovlen;
}

/* What tried to read. A goroutine shows by that for whom it waits. */
static __always_inline void current_reader(const struct target *t, __u64 pid_tgid, const struct conn *c,
					   struct current *cur)
{
	struct context *x;

	current_context(t, pid_tgid, cur);
	if (!(t->flags & TARGET_GO) || c->role != ROLE_CLIENT || !awaits_for_others(c, context_id(&cur->key)))
		return;
	x = context_make(&cur->key);
	if (x)
		x->reader = 1;
}

static __always_inline int read_exit(const struct regs *regs, __s64 ret)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_of(pid_tgid >> 32);
	struct data_event *e;
	struct call call;
	struct current cur;
	struct file *file;
	struct conn *c;
	int event;

	if (!t || (ret <= 0 && !(t->flags & (TARGET_GO | TARGET_NODE))))
		return 0;
	call.vec = vec_of_read(regs);
	if (call.vec == VEC_NOT_READ)
		return 0;
	file = file_of_fd(SYSCALL_ARG1(regs));
	if (UNLIKELY(t->flags & TARGET_NODE) && (event = node_reads((__u64)file)))
		node_activation(pid_tgid, event == NODE_READ_BYTES);
	if (ret <= 0 && t->flags & TARGET_NODE)
		return 0;
	call.sk = tcp_sock_of_file(file);
	if (ret <= 0) {
		c = bpf_map_lookup_elem(&conns, &call.sk);
		if (c && c->last_dir == DIR_OUT)
			current_reader(t, pid_tgid, c, &cur);
		return 0;
	}
	call.buf = SYSCALL_ARG2(regs);
	if (!call.sk)
		return note_exit(file, t, pid_tgid, call.buf);
	c = conn_get(call.sk, pid_tgid >> 32);
	if (!c)
		return 0;
	current_reader(t, pid_tgid, c, &cur);
	if (t->flags & TARGET_PYTHON)
		reader_of_stream(pid_tgid, c, &cur.key);
	if (cur.lost)
		count_loss(LOSS_VIRTUAL_THREAD);
	call.count = SYSCALL_ARG3(regs);
	e = &call.event;
	begin_record(e, DIR_IN, c, pid_tgid, &cur);
	e->seq = copied_seq_of(call.sk) - (__u32)ret;
	e->other_seq = write_seq_of(call.sk);
	e->len = ret;
	e->captured = 0;
	if (!read_fits(c, e))
		return 0;
	bytes_read(c, t, &cur, call.sk, pid_tgid, e);
	e->turn = c->turn;
	if (call.vec == VEC_MSG)
		buffers_of_message(&call);
	emit_data(e, call.vec, call.buf, call.count);
	return 0;
}

static __always_inline int write_exit(__s64 ret)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call *call = call_ends(pid_tgid);

	if (!call)
		return 0;
	if (ret <= 0) {
		emit_held_evidence(&call->event);
		return 0;
	}
	if (call->vec == VEC_MSG)
		buffers_of_message(call);
	call->event.len = ret;
	emit_data(&call->event, call->vec, call->buf, call->count);
	call->event.evidence = 0; /* told */
	return 0;
}

/* sendmmsg and recvmmsg return a number of messages, each with its own length. Bytes of messages
 * beyond the fourth show up as a gap in the sequence. */
#define MAX_MESSAGES 4

static __always_inline int emit_messages(struct data_event *e, __u64 at, __s64 n)
{
	struct user_mmsg m;
	int i;

	for (i = 0; i < MAX_MESSAGES; i++) {
		if (i >= n)
			return 0;
		if (bpf_probe_read_user(&m, sizeof(m), (void *)(at + i * sizeof(m)))) {
			count_loss(LOSS_PAYLOAD_FAULT);
			return 0;
		}
		if (!m.len)
			continue;
		e->len = m.len;
		emit_data(e, VEC_IOVEC, m.hdr.iov, m.hdr.iovlen);
		e->evidence = 0; /* told */
		e->seq += m.len;
	}
	if (n > MAX_MESSAGES)
		count_loss(LOSS_VECTORS);
	return 0;
}

static __always_inline int mmsg_written(__s64 n)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call *call = call_ends(pid_tgid);

	if (!call)
		return 0;
	if (n > 0)
		emit_messages(&call->event, call->buf, n);
	emit_held_evidence(&call->event);
	return 0;
}

static __always_inline __u32 length_of_messages(__u64 at, __s64 n)
{
	struct user_mmsg m;
	__u32 len = 0;
	int i;

	for (i = 0; i < MAX_MESSAGES; i++) {
		if (i >= n || bpf_probe_read_user(&m, sizeof(m), (void *)(at + i * sizeof(m))))
			break;
		len += m.len;
	}
	return len;
}

static __always_inline int mmsg_read(const struct regs *regs, __s64 n)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_of(pid_tgid >> 32);
	struct data_event event, *e = &event;
	struct current cur;
	struct conn *c;
	__u64 sk, at;
	__u32 after;

	if (!t || n <= 0)
		return 0;
	if ((__u32)SYSCALL_ARG4(regs) & NOT_A_READ)
		return 0;
	sk = tcp_sock_of_file(file_of_fd(SYSCALL_ARG1(regs)));
	c = sk ? conn_get(sk, pid_tgid >> 32) : 0;
	if (!c)
		return 0;
	if (t->flags & TARGET_NODE)
		node_activation(pid_tgid, true);
	current_reader(t, pid_tgid, c, &cur);
	if (cur.lost)
		count_loss(LOSS_VIRTUAL_THREAD);
	at = SYSCALL_ARG2(regs);
	begin_record(e, DIR_IN, c, pid_tgid, &cur);
	e->other_seq = write_seq_of(sk);
	after = copied_seq_of(sk);
	e->len = length_of_messages(at, n);
	e->captured = 0;
	if (n > MAX_MESSAGES && c->flags & CONN_POSITION)
		e->len = after - c->position; /* those that are not looked at included */
	e->seq = after - e->len;
	if (!read_fits(c, e))
		return 0;
	bytes_read(c, t, &cur, sk, pid_tgid, e);
	e->turn = c->turn;
	return emit_messages(e, at, n);
}

ENTER(write) { return write_enter(ARG1(ctx), VEC_BUFFER, ARG2(ctx), 0); }
ENTER(writev) { return write_enter(ARG1(ctx), VEC_IOVEC, ARG2(ctx), ARG3(ctx)); }
ENTER(sendfile64) { return write_enter(ARG1(ctx), VEC_NONE, 0, 0); }

ENTER(sendto)
{
	if ((__u32)ARG4(ctx) & MSG_OOB)
		return 0;
	return write_enter(ARG1(ctx), VEC_BUFFER, ARG2(ctx), 0);
}

ENTER(sendmsg)
{
	if ((__u32)ARG3(ctx) & MSG_OOB)
		return 0;
	return write_enter(ARG1(ctx), VEC_MSG, ARG2(ctx), 0);
}

ENTER(sendmmsg)
{
	if ((__u32)ARG4(ctx) & MSG_OOB)
		return 0;
	return write_enter(ARG1(ctx), VEC_MMSG, ARG2(ctx), 0);
}

/* One program for every system call of a shape: each is verified once, and loaded once. */
EXIT(read) { return read_exit(REGS(ctx), RESULT(ctx)); }
EXIT(write) { return write_exit(RESULT(ctx)); }
EXIT(recvmmsg) { return mmsg_read(REGS(ctx), RESULT(ctx)); }
EXIT(sendmmsg) { return mmsg_written(RESULT(ctx)); }

ENTER(loop_wait) { return loop_waits(); }

/* poll and ppoll */
ENTER(poll_wait)
{
	struct target *t = target_of(bpf_get_current_pid_tgid() >> 32);

	return t && polls_for_requests(t, ARG1(ctx), ARG2(ctx)) ? loop_waits() : 0;
}

/* select and pselect6 */
ENTER(select_wait)
{
	struct target *t = target_of(bpf_get_current_pid_tgid() >> 32);

	return t && selects_for_requests(t, ARG1(ctx), ARG2(ctx)) ? loop_waits() : 0;
}

/* A connection that this process made or took: its role is certain and its stream begins here. */
static __always_inline struct conn *connected(__s32 fd, __u8 role)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 sk;

	if (!target_of(tgid))
		return 0;
	sk = tcp_sock_of_file(file_of_fd(fd));
	return sk ? conn_add(sk, tgid, role) : 0;
}

EXIT(accept)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_of(pid_tgid >> 32);

	if (!t || RESULT(ctx) < 0)
		return 0;
	if (t->flags & TARGET_NODE)
		node_activation(pid_tgid, true);
	connected(RESULT(ctx), ROLE_SERVER);
	return 0;
}

ENTER(connect)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target *t = target_of(pid_tgid >> 32);
	struct thread *thread;
	struct current cur;
	struct context *x;

	if (!t)
		return 0;
	current_context(t, pid_tgid, &cur);
	if (cur.key.kind == CONTEXT_GOROUTINE && (x = context_make(&cur.key)))
		x->dialer = 1;
	thread = call_begins(pid_tgid);
	if (!thread)
		return 0;
	thread->call.under_way = 1;
	thread->call.fd = ARG1(ctx);
	thread->call.event.context_kind = cur.key.kind;
	thread->call.event.context = cur.key.id;
	return 0;
}

ENTER(getsockopt)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), sk;
	struct target *t = target_of(pid_tgid >> 32);
	struct conn *c;

	if (!t || !(t->flags & TARGET_RUBY) || (__u32)ARG2(ctx) != IPPROTO_TCP || (__u32)ARG3(ctx) != TCP_INFO)
		return 0;
	sk = tcp_sock_of_file(file_of_fd(ARG1(ctx)));
	c = sk ? bpf_map_lookup_elem(&conns, &sk) : 0;
	if (c)
		connection_looked_at(pid_tgid, c, sk);
	return 0;
}

EXIT(connect)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call *call = call_ends(pid_tgid);
	struct context_key key = {.tgid = pid_tgid >> 32};
	struct token token = {};
	struct context *x;
	struct conn *c;

	if (!call || (RESULT(ctx) && RESULT(ctx) != -EINPROGRESS))
		return 0;
	key.kind = call->event.context_kind;
	key.id = call->event.context;
	c = connected(call->fd, ROLE_CLIENT);
	if (!c || key.kind == CONTEXT_GOROUTINE)
		return 0;
	if (key.kind == CONTEXT_STREAM)
		c->writer = context_id(&key);
	x = context_find(&key);
	if (!x || !serving(x, &token))
		return 0;
	c->epoch = token.epoch;
	if (!x->loop || loop_requests(x, bpf_ktime_get_ns()) == 1)
		c->flags |= CONN_SURE;
	x->led = 1;
	return 0;
}

static __always_inline void emit_process(__u8 what, __u32 tgid, __u32 ppid, __u32 netns, __u16 port, __u64 ts)
{
	struct process_event *e;

	e = bpf_ringbuf_reserve(&processes, sizeof(*e), 0);
	if (!e) {
		count_loss(LOSS_PROCESSES_FULL);
		return;
	}
	*e = (struct process_event){
		.kind = EVENT_PROCESS,
		.what = what,
		.port = port,
		.tgid = tgid,
		.ppid = ppid,
		.netns = netns,
		.ts = ts,
	};
	/* Selection must not wait: the process is about to run. */
	bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP);
}

/* net/ipv4/af_inet.c inet_sk_state_store, tcp_set_state: (sk, old state, new state) */
SEC("raw_tracepoint/inet_sock_set_state")
int sock_state(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 sk = ctx->args[0];
	struct listen_port port = {};
	__u8 one = 1;

	if ((int)ctx->args[2] != TCP_LISTEN)
		return 0;
	port.netns = netns_of(sk);
	port.port = ports_of(sk) >> 16;
	bpf_map_update_elem(&listen_ports, &port, &one, BPF_ANY);
	emit_process(PROCESS_LISTEN, bpf_get_current_pid_tgid() >> 32, 0, port.netns, port.port, bpf_ktime_get_ns());
	return 0;
}

/*
 * net/ipv4/tcp_ipv4.c tcp_v4_destroy_sock: (sk). The end of the socket, not of the connection: what had
 * arrived when that was closed can still be read.
 */
SEC("raw_tracepoint/tcp_destroy_sock")
int sock_gone(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 sk = ctx->args[0];
	struct conn *c = bpf_map_lookup_elem(&conns, &sk);

	if (!c)
		return 0;
	EMIT(conn_event, .kind = EVENT_CONN, .what = CONN_CLOSED, .role = c->role, .tgid = c->tgid,
	     .ts = bpf_ktime_get_ns(), .conn = c->id);
	bpf_map_delete_elem(&conns, &sk);
	return 0;
}

/* kernel/fork.c copy_process: (parent, child) */
SEC("raw_tracepoint/sched_process_fork")
int process_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 tgid = BPF_CORE_READ(parent, tgid), child_tgid = BPF_CORE_READ(child, tgid);
	struct context_key key = {.tgid = tgid, .id = BPF_CORE_READ(child, pid)};
	struct target *t = target_of(tgid), copy;
	struct token given = {};
	struct current cur;
	struct context *x;
	__u8 how;

	if (tgid != child_tgid) {
		if (t) {
			copy = *t;
			if (!copy.forked_from) {
				copy.forked_from = tgid;
				copy.forked_at = BPF_CORE_READ(child, start_boottime);
			}
			if (bpf_map_update_elem(&targets, &child_tgid, &copy, BPF_ANY))
				count_loss(LOSS_TARGETS_FULL);
			else
				mark_selected(child_tgid, 1);
			emit_process(PROCESS_FORK, child_tgid, tgid, 0, 0, bpf_ktime_get_ns());
		}
		return 0;
	}
	if (!t || (t->flags & (TARGET_GO | TARGET_NO_CONTEXT)))
		return 0; /* a goroutine's requests do not follow the threads that run it */
	current_context(t, bpf_get_current_pid_tgid(), &cur);
	/* Who uses virtual threads starts others for a pool, when the first tasks are given to it. */
	if (cur.key.kind == CONTEXT_VIRTUAL)
		return 0;
	x = context_find(&cur.key);
	if (!x)
		return 0;
	how = serving(x, &given);
	if (!known_to_serve(how))
		return 0;
	if (bpf_map_update_elem(&threads, &key, &new_thread, BPF_ANY)) {
		count_loss(LOSS_CONTEXTS_FULL);
		return 0;
	}
	x = context_find(&key); /* it has not run yet */
	if (x) {
		x->given = given;
		x->given_by = EVIDENCE_SPAWN;
	}
	return 0;
}

/* fs/exec.c exec_binprm: (task, old pid, bprm) */
SEC("raw_tracepoint/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct target *t = target_of(tgid);

	if (t)
		t->forked_from = 0;
	emit_process(PROCESS_EXEC, tgid, BPF_CORE_READ(task, real_parent, tgid), 0, 0, bpf_ktime_get_ns());
	return 0;
}

/* kernel/exit.c do_exit: (task, ...) */
SEC("raw_tracepoint/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 tgid = BPF_CORE_READ(task, tgid), pid = BPF_CORE_READ(task, pid);
	struct context_key key = {.tgid = tgid, .id = pid};
	__u64 pid_tgid = ((__u64)tgid << 32) | pid, at = 0;
	struct context *x = context_find(&key);
	struct target *t;
	__u32 from = 0;

	/* One that ends with the process may have lived on for others. */
	if (x && x->given_by == EVIDENCE_SPAWN && x->given.epoch && !(BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT))
		emit_origin(CONTEXT_THREAD, ORIGIN_ENDED, tgid, pid, x->given.epoch);
	bpf_map_delete_elem(&py_threads, &pid_tgid);
	bpf_map_delete_elem(&tokio_threads, &pid_tgid);
	bpf_map_delete_elem(&node_loops, &pid_tgid);
	bpf_map_delete_elem(&jvm_threads, &pid_tgid);
	bpf_map_delete_elem(&threads, &key);
	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0; /* other threads live on */
	mark_selected(tgid, 0);
	t = target_of(tgid);
	if (t) {
		from = t->forked_from;
		at = t->forked_at;
	}
	if (bpf_map_delete_elem(&targets, &tgid) == 0)
		emit_process(PROCESS_EXIT, tgid, from, 0, 0, at);
	return 0;
}
