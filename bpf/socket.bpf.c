//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The tracepoint backend: system calls that move bytes on TCP sockets of selected processes, the
 * life of their connections, and the life of processes and threads.
 *
 * A system call leaves a struct call at its entry and a record at its exit, when the number of bytes
 * is known. What a context serves is decided at the entry of a write and at the exit of a read: those
 * are the moments at which bytes leave and arrive.
 */
#include "context.bpf.h"
#include "node.bpf.h"
#include "notify.bpf.h"
#include "payload.bpf.h"
#include "poll.bpf.h"
#include "registers.bpf.h"

/* Names the types for BTF, from which the Go types are made. */
const struct conn_event *unused_conn_event __attribute__((unused));
const struct evidence_event *unused_evidence_event __attribute__((unused));
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

static __always_inline bool selected(__u32 tgid, struct target *copy)
{
	struct target *t = bpf_map_lookup_elem(&targets, &tgid);

	if (!t)
		return false;
	*copy = *t;
	return true;
}

/* The context of a system call that is over. */
static __always_inline void key_of_call(struct context_key *key, const struct target *t, __u64 pid_tgid,
					const struct call *call)
{
	key->tgid = pid_tgid >> 32;
	key->kind = call->context_kind;
	key->id = call->context;
	if (key->kind == CONTEXT_THREAD && !(t->flags & TARGET_NO_CONTEXT))
		key->id = (__u32)pid_tgid;
}

/* A thread that waits in epoll serves whatever is ready: what it read before says nothing of what it
 * writes after. Goroutines are contexts of their own, whatever their threads wait for. */
static __always_inline int loop_waits(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct current cur;
	struct context *x;
	struct target t;

	if (!selected(pid_tgid >> 32, &t) || t.flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	current_context(&t, pid_tgid, &cur);
	x = context_make(&cur.key);
	if (!x)
		return 0;
	x->loop = 1;
	if (t.flags & TARGET_PYTHON)
		py_round(pid_tgid);
	if (t.flags & TARGET_NODE)
		node_activation(pid_tgid, false);
	else
		activation_begins(x);
	return 0;
}

/* The beginning of a read or a write that is not on a TCP socket. Goroutines have their own ways. */
static __always_inline int note_enter(__s32 fd, __u8 dir, __u64 buf, const struct target *t, __u64 pid_tgid)
{
	struct call call = {.ts = bpf_ktime_get_ns(), .fd = fd, .dir = dir, .vec = VEC_NOTE, .buf = buf};
	struct current cur;
	struct context *x;

	if (t->flags & (TARGET_GO | TARGET_NO_CONTEXT))
		return 0;
	current_context(t, pid_tgid, &cur);
	x = context_find(&cur.key);
	if (dir == DIR_IN && (!x || !x->loop))
		return 0;
	call.sk = note_of_fd(fd, dir);
	if (!call.sk)
		return 0;
	if (dir == DIR_OUT) {
		note_written(call.sk, x);
		return 0;
	}
	call.context_kind = cur.key.kind;
	call.context = cur.key.kind == CONTEXT_THREAD ? 0 : cur.key.id;
	if (bpf_map_update_elem(&calls, &pid_tgid, &call, BPF_ANY))
		count_loss(LOSS_CALLS_FULL);
	return 0;
}

/* The end of such a read. */
static __always_inline int note_exit(const struct call *call, __u64 pid_tgid, __s64 ret)
{
	struct context_key key = {};
	struct context *x;
	struct target t;
	__u64 count = 0;

	if (ret <= 0 || !selected(pid_tgid >> 32, &t))
		return 0;
	key_of_call(&key, &t, pid_tgid, call);
	x = context_find(&key);
	if (!x)
		return 0;
	if (call->sk & NOTE_COUNTS && bpf_probe_read_user(&count, sizeof(count), (void *)call->buf))
		return 0;
	note_read(call->sk, x, count);
	return 0;
}

static __always_inline int io_enter(__s32 fd, __u8 dir, __u8 vec, __u64 buf, __u32 count)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	struct current cur;
	struct call call = {};
	struct target t;
	int event;
	struct context *x;
	struct conn *c;
	__u64 sk, turn;

	if (!selected(tgid, &t))
		return 0;
	if (t.flags & TARGET_NODE && dir == DIR_IN && (event = node_reads(fd)))
		node_activation(pid_tgid, event == NODE_READ_BYTES);
	sk = tcp_sock_of_fd(fd);
	if (!sk)
		return vec == VEC_MMSG ? 0 : note_enter(fd, dir, buf, &t, pid_tgid);
	c = conn_get(sk, tgid);
	if (!c)
		return 0;
	current_context(&t, pid_tgid, &cur);
	if (cur.lost)
		count_loss(LOSS_VIRTUAL_THREAD);
	if (dir == DIR_OUT && c->role == ROLE_CLIENT)
		stream_of_connection(&cur.key, c);
	call.sk = sk;
	call.ts = bpf_ktime_get_ns();
	call.fd = fd;
	call.dir = dir;
	call.vec = vec;
	call.buf = buf;
	call.count = count;
	call.context_kind = cur.key.kind;
	call.context = cur.key.kind == CONTEXT_THREAD ? 0 : cur.key.id;
	call.parent_context = cur.parent;
	if (dir == DIR_OUT) {
		if (c->role == ROLE_CLIENT && cur.key.kind == CONTEXT_STREAM)
			x = context_make(&cur.key);
		else
			x = context_find(&cur.key);
		turn = c->turn;
		if (c->role == ROLE_CLIENT)
			call_written(x, c, &cur, &t, call.ts);
		else
			response_written(x, c, &cur, call.ts);
		if (t.flags & TARGET_NODE && c->turn != turn)
			node_call(pid_tgid, c->turn);
		if (cur.key.kind == CONTEXT_PYTHON && c->role == ROLE_SERVER)
			py_answered(pid_tgid, sk, cur.key.id);
		call.turn = c->turn;
		call.seq = write_seq_of(sk);
		call.other_seq = copied_seq_of(sk);
	} else {
		call.seq = copied_seq_of(sk);
		if (c->role == ROLE_CLIENT && cur.key.kind == CONTEXT_GOROUTINE)
			response_awaited(context_make(&cur.key), c, context_id(&cur.key));
	}
	if (bpf_map_update_elem(&calls, &pid_tgid, &call, BPF_ANY))
		count_loss(LOSS_CALLS_FULL);
	return 0;
}

/* One record of len bytes; payload from an iovec array or a plain buffer. */
static __always_inline void emit_data(const struct call *call, const struct conn *c, __u64 pid_tgid,
				      __u32 seq, __u32 len, __u8 vec, __u64 buf, __u32 count,
				      __u8 flags, __u64 ts)
{
	__u32 zero = 0, want = len, got = 0, copied;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);

	if (!s)
		return;
	if (want > payload_size)
		want = payload_size;
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
	__builtin_memset(&s->event, 0, sizeof(s->event));
	s->event.kind = EVENT_DATA;
	s->event.dir = call->dir;
	s->event.role = c->role;
	s->event.flags = flags | (c->flags & CONN_MIDSTREAM ? DATA_MIDSTREAM : 0);
	s->event.tgid = pid_tgid >> 32;
	s->event.tid = (__u32)pid_tgid;
	s->event.ts = ts;
	s->event.conn = c->id;
	s->event.turn = call->turn;
	s->event.context = call->context;
	s->event.context_kind = call->context_kind;
	s->event.parent_context = call->parent_context;
	s->event.seq = seq;
	s->event.other_seq = call->other_seq;
	s->event.len = len;
	s->event.captured = got;
	s->event.netns = c->netns;
	s->event.lport = c->ports >> 16;
	s->event.rport = c->ports & 0xffff;
	__builtin_memcpy(s->event.laddr, c->laddr, sizeof(c->laddr));
	__builtin_memcpy(s->event.raddr, c->raddr, sizeof(c->raddr));
	if (bpf_ringbuf_output(&events, s, sizeof(s->event) + got, wakeup_flags(&events)))
		count_loss(LOSS_EVENTS_FULL);
}

/* Marks of the context and the connection when bytes arrived. */
static __always_inline void bytes_read(struct call *call, struct conn *c, __u64 pid_tgid, __u32 len)
{
	struct context_key key = {};
	struct context *x;
	struct target t;

	if (!selected(pid_tgid >> 32, &t))
		return;
	key_of_call(&key, &t, pid_tgid, call);
	x = context_make(&key);
	if (t.flags & TARGET_PYTHON && c->role == ROLE_SERVER && c->last_dir != DIR_IN)
		py_requested(pid_tgid, call->sk);
	if (c->role == ROLE_SERVER)
		request_read(x, c, call->sk, len);
	else
		response_read(x, c, call->sk, context_id(&key));
	call->turn = c->turn;
}

/*
 * A read that began before its process was selected: a thread that waits for the next request of a
 * connection. Its arguments are still in the registers. Looked for once in a thread, at its first
 * system call whose beginning was not seen.
 */
static __always_inline bool began_unseen(__u64 pid_tgid, __s32 nr, struct call *call)
{
	__u32 tgid = pid_tgid >> 32, flags = 0;
	struct current cur;
	struct regs *regs;
	struct target t;
	__u8 one = 1;

	if (!selected(tgid, &t) || bpf_map_lookup_elem(&settled, &pid_tgid))
		return false;
	bpf_map_update_elem(&settled, &pid_tgid, &one, BPF_ANY);
	call->vec = nr == NR_read || nr == NR_recvfrom ? VEC_BUFFER
		    : nr == NR_readv		       ? VEC_IOVEC
		    : nr == NR_recvmsg		       ? VEC_MSG
						       : VEC_NONE;
	regs = current_registers();
	if (call->vec == VEC_NONE || !regs)
		return false;
	if (nr == NR_recvfrom)
		flags = register_value(&SYSCALL_ARG4(regs));
	else if (nr == NR_recvmsg)
		flags = register_value(&SYSCALL_ARG3(regs));
	call->fd = register_value(&SYSCALL_ARG1(regs));
	call->buf = register_value(&SYSCALL_ARG2(regs));
	call->count = register_value(&SYSCALL_ARG3(regs));
	call->dir = DIR_IN;
	call->sk = tcp_sock_of_fd(call->fd);
	if (!call->sk || flags & NOT_A_READ || !conn_get(call->sk, tgid))
		return false;
	if (flags & MSG_TRUNC)
		call->vec = VEC_NONE;
	current_context(&t, pid_tgid, &cur);
	call->context_kind = cur.key.kind;
	call->context = cur.key.kind == CONTEXT_THREAD ? 0 : cur.key.id;
	call->parent_context = cur.parent;
	return true;
}

static __always_inline int io_exit(__s32 nr, __s64 ret)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &pid_tgid);
	struct call call = {};
	bool whole = found;
	struct conn *c;
	__u8 flags = 0;
	__u64 ts;
	__u32 after;

	if (found) {
		call = *found;
		bpf_map_delete_elem(&calls, &pid_tgid);
	} else if (ret <= 0 || !began_unseen(pid_tgid, nr, &call)) {
		return 0;
	}
	if (call.vec == VEC_NOTE)
		return note_exit(&call, pid_tgid, ret);
	if (ret <= 0 || call.vec == VEC_MMSG)
		return 0;
	c = bpf_map_lookup_elem(&conns, &call.sk);
	if (!c)
		return 0; /* closed by another thread meanwhile */
	ts = call.ts;
	if (call.dir == DIR_IN) {
		ts = bpf_ktime_get_ns();
		after = copied_seq_of(call.sk);
		if (after - (__u32)ret != call.seq) {
			call.seq = after - (__u32)ret;
			flags |= whole ? DATA_SEQ_DERIVED : 0;
		}
		call.other_seq = write_seq_of(call.sk);
		bytes_read(&call, c, pid_tgid, ret);
	}
	if (call.vec == VEC_MSG) {
		struct user_msg msg;

		if (bpf_probe_read_user(&msg, sizeof(msg), (void *)call.buf)) {
			count_loss(LOSS_PAYLOAD_FAULT);
			call.vec = VEC_NONE;
		} else {
			call.vec = VEC_IOVEC;
			call.buf = msg.iov;
			call.count = msg.iovlen;
		}
	}
	emit_data(&call, c, pid_tgid, call.seq, ret, call.vec, call.buf, call.count, flags, ts);
	return 0;
}

/* sendmmsg and recvmmsg return a number of messages, each with its own length. Bytes of messages
 * beyond the fourth show up as a gap in the sequence. */
static __always_inline int mmsg_exit(__s64 ret)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &pid_tgid);
	struct user_mmsg m;
	struct call call;
	struct conn *c;
	__u64 ts;
	int i;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&calls, &pid_tgid);
	c = bpf_map_lookup_elem(&conns, &call.sk);
	if (ret <= 0 || !c)
		return 0;
	ts = call.ts;
	if (call.dir == DIR_IN) {
		ts = bpf_ktime_get_ns();
		call.other_seq = write_seq_of(call.sk);
	}
	for (i = 0; i < 4; i++) {
		if (i >= ret)
			return 0;
		if (bpf_probe_read_user(&m, sizeof(m), (void *)(call.buf + i * sizeof(m)))) {
			count_loss(LOSS_PAYLOAD_FAULT);
			return 0;
		}
		if (!m.len)
			continue;
		if (call.dir == DIR_IN)
			bytes_read(&call, c, pid_tgid, m.len);
		emit_data(&call, c, pid_tgid, call.seq, m.len, VEC_IOVEC, m.hdr.iov, m.hdr.iovlen, 0, ts);
		call.seq += m.len;
	}
	if (ret > 4)
		count_loss(LOSS_VECTORS);
	return 0;
}

#define ENTER(name) SEC("tracepoint/syscalls/sys_enter_" #name) int enter_##name(struct sys_enter *ctx)
#define EXIT(name) SEC("tracepoint/syscalls/sys_exit_" #name) int exit_##name(struct sys_exit *ctx)

ENTER(read) { return io_enter(ctx->args[0], DIR_IN, VEC_BUFFER, ctx->args[1], 0); }
ENTER(write) { return io_enter(ctx->args[0], DIR_OUT, VEC_BUFFER, ctx->args[1], 0); }
ENTER(readv) { return io_enter(ctx->args[0], DIR_IN, VEC_IOVEC, ctx->args[1], ctx->args[2]); }
ENTER(writev) { return io_enter(ctx->args[0], DIR_OUT, VEC_IOVEC, ctx->args[1], ctx->args[2]); }
ENTER(sendfile64) { return io_enter(ctx->args[0], DIR_OUT, VEC_NONE, 0, 0); }

ENTER(recvfrom)
{
	__u32 flags = ctx->args[3];

	if (flags & NOT_A_READ)
		return 0;
	return io_enter(ctx->args[0], DIR_IN, flags & MSG_TRUNC ? VEC_NONE : VEC_BUFFER, ctx->args[1], 0);
}

ENTER(recvmsg)
{
	__u32 flags = ctx->args[2];

	if (flags & NOT_A_READ)
		return 0;
	return io_enter(ctx->args[0], DIR_IN, flags & MSG_TRUNC ? VEC_NONE : VEC_MSG, ctx->args[1], 0);
}

ENTER(recvmmsg)
{
	if ((__u32)ctx->args[3] & NOT_A_READ)
		return 0;
	return io_enter(ctx->args[0], DIR_IN, VEC_MMSG, ctx->args[1], 0);
}

ENTER(sendto)
{
	if ((__u32)ctx->args[3] & MSG_OOB)
		return 0;
	return io_enter(ctx->args[0], DIR_OUT, VEC_BUFFER, ctx->args[1], 0);
}

ENTER(sendmsg)
{
	if ((__u32)ctx->args[2] & MSG_OOB)
		return 0;
	return io_enter(ctx->args[0], DIR_OUT, VEC_MSG, ctx->args[1], 0);
}

ENTER(sendmmsg)
{
	if ((__u32)ctx->args[3] & MSG_OOB)
		return 0;
	return io_enter(ctx->args[0], DIR_OUT, VEC_MMSG, ctx->args[1], 0);
}

/* One program for every system call of a shape: each is verified once, and loaded once. */
SEC("tracepoint/syscalls/sys_exit")
int exit_io(struct sys_exit *ctx) { return io_exit(ctx->nr, ctx->ret); }

SEC("tracepoint/syscalls/sys_exit")
int exit_mmsg(struct sys_exit *ctx) { return mmsg_exit(ctx->ret); }

SEC("tracepoint/syscalls/sys_enter")
int enter_loop_wait(struct sys_enter *ctx) { return loop_waits(); }

static __always_inline bool traced(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&targets, &tgid);
}

/* poll and ppoll; select and pselect6 */
SEC("tracepoint/syscalls/sys_enter")
int enter_poll_wait(struct sys_enter *ctx)
{
	return traced() && polls_for_requests(ctx->args[0], ctx->args[1]) ? loop_waits() : 0;
}

SEC("tracepoint/syscalls/sys_enter")
int enter_select_wait(struct sys_enter *ctx)
{
	return traced() && selects_for_requests(ctx->args[0], ctx->args[1]) ? loop_waits() : 0;
}

/* A connection that this process made or took: its role is certain and its stream begins here. */
static __always_inline struct conn *connected(__s32 fd, __u8 role)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target t;
	__u64 sk;

	if (!selected(tgid, &t))
		return 0;
	sk = tcp_sock_of_fd(fd);
	return sk ? conn_add(sk, tgid, role) : 0;
}

SEC("tracepoint/syscalls/sys_exit")
int exit_accept(struct sys_exit *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct target t;

	if (ctx->ret < 0)
		return 0;
	if (selected(pid_tgid >> 32, &t) && t.flags & TARGET_NODE)
		node_activation(pid_tgid, true);
	connected(ctx->ret, ROLE_SERVER);
	return 0;
}

ENTER(connect)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call call = {.fd = ctx->args[0], .vec = VEC_NONE};
	struct current cur;
	struct context *x;
	struct target t;

	if (!selected(pid_tgid >> 32, &t))
		return 0;
	current_context(&t, pid_tgid, &cur);
	call.context_kind = cur.key.kind;
	call.context = cur.key.id;
	if (cur.key.kind == CONTEXT_GOROUTINE && (x = context_make(&cur.key)))
		x->dialer = 1;
	if (bpf_map_update_elem(&calls, &pid_tgid, &call, BPF_ANY))
		count_loss(LOSS_CALLS_FULL);
	return 0;
}

EXIT(connect)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &pid_tgid);
	struct context_key key = {.tgid = pid_tgid >> 32};
	struct token token = {};
	struct context *x;
	struct conn *c;
	__s32 fd;

	if (!call)
		return 0;
	fd = call->fd;
	key.kind = call->context_kind;
	key.id = call->context;
	bpf_map_delete_elem(&calls, &pid_tgid);
	if (ctx->ret && ctx->ret != -EINPROGRESS)
		return 0;
	c = connected(fd, ROLE_CLIENT);
	x = context_find(&key);
	if (c && key.kind == CONTEXT_STREAM)
		c->writer = context_id(&key);
	if (!c || !x || key.kind == CONTEXT_GOROUTINE || !serving(x, &token))
		return 0;
	c->epoch = token.epoch;
	if (!x->loop || loop_requests(x, bpf_ktime_get_ns()) == 1)
		c->flags |= CONN_SURE;
	x->led = 1;
	return 0;
}

static __always_inline void emit_process(__u8 what, __u32 tgid, __u32 ppid, __u32 netns, __u16 port)
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
		.ts = bpf_ktime_get_ns(),
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
	emit_process(PROCESS_LISTEN, bpf_get_current_pid_tgid() >> 32, 0, port.netns, port.port);
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
	struct conn_event *e;

	if (!c)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (e) {
		*e = (struct conn_event){
			.kind = EVENT_CONN,
			.what = CONN_CLOSED,
			.role = c->role,
			.tgid = c->tgid,
			.ts = bpf_ktime_get_ns(),
			.conn = c->id,
		};
		bpf_ringbuf_submit(e, wakeup_flags(&events));
	} else {
		count_loss(LOSS_EVENTS_FULL);
	}
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
	struct context fresh = {};
	struct current cur;
	struct context *x;
	struct target t;
	__u8 how;

	if (tgid != child_tgid) {
		if (selected(tgid, &t)) {
			if (bpf_map_update_elem(&targets, &child_tgid, &t, BPF_ANY))
				count_loss(LOSS_TARGETS_FULL);
			emit_process(PROCESS_FORK, child_tgid, tgid, 0, 0);
		}
		return 0;
	}
	if (!selected(tgid, &t) || (t.flags & (TARGET_GO | TARGET_NO_CONTEXT)))
		return 0; /* a goroutine's requests do not follow the threads that run it */
	current_context(&t, bpf_get_current_pid_tgid(), &cur);
	/* Who uses virtual threads starts others for a pool, when the first tasks are given to it. */
	if (cur.key.kind == CONTEXT_VIRTUAL)
		return 0;
	x = context_find(&cur.key);
	if (!x)
		return 0;
	how = serving(x, &fresh.given);
	if (!known_to_serve(how))
		return 0;
	fresh.given_by = EVIDENCE_SPAWN;
	if (bpf_map_update_elem(&threads, &key, &fresh, BPF_ANY))
		count_loss(LOSS_CONTEXTS_FULL);
	return 0;
}

/* fs/exec.c exec_binprm: (task, old pid, bprm) */
SEC("raw_tracepoint/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	emit_process(PROCESS_EXEC, BPF_CORE_READ(task, tgid), BPF_CORE_READ(task, real_parent, tgid), 0, 0);
	return 0;
}

/* kernel/exit.c do_exit: (task, ...) */
SEC("raw_tracepoint/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 tgid = BPF_CORE_READ(task, tgid), pid = BPF_CORE_READ(task, pid);
	struct context_key key = {.tgid = tgid, .id = pid};
	__u64 pid_tgid = ((__u64)tgid << 32) | pid;
	struct context *x = context_find(&key);

	if (x && x->given_by == EVIDENCE_SPAWN && x->given.epoch)
		emit_origin(CONTEXT_THREAD, ORIGIN_ENDED, tgid, pid, x->given.epoch);
	bpf_map_delete_elem(&calls, &pid_tgid);
	bpf_map_delete_elem(&settled, &pid_tgid);
	bpf_map_delete_elem(&py_threads, &pid_tgid);
	bpf_map_delete_elem(&threads, &key);
	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0; /* other threads live on */
	if (bpf_map_delete_elem(&targets, &tgid) == 0)
		emit_process(PROCESS_EXIT, tgid, 0, 0, 0);
	return 0;
}
