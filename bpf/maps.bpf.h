/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map: who writes it, why it is that large, and when an entry goes.
 */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include "kernel.bpf.h"
#include "event.h"
#include "loss.h"

/* Set before load. */
const volatile __u32 payload_size = 4096;      /* bytes captured of one record, <= MAX_PAYLOAD */
const volatile __u64 clock_offset;             /* wall clock less CLOCK_MONOTONIC at start, ns: see new_id */
const volatile __u64 wakeup_bytes = 256 << 10; /* the reader is woken when this much waits */

/* Bytes, connections and evidence. Sized by the user (ring_buffer_size). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");

/* Process records have a ring of their own, so that a flood of bytes cannot hide an exec. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} processes SEC(".maps");

/* Counts by enum loss. Read by user space, never reset. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} losses SEC(".maps");

/* Selected processes by tgid. Written by user space, by fork (a child inherits until user space has
 * looked at it) and removed by exit. The one look-up that an unselected process pays for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct target);
} targets SEC(".maps");

/* Ports that something listens on: tells the server end of a connection that existed before.
 * Written by user space at start and by LISTEN transitions. LRU: a forgotten port costs the role of
 * connections that are older than the collector, nothing else. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct listen_port);
	__type(value, __u8);
} listen_ports SEC(".maps");

/* A connection of a selected process. Keyed by struct sock *, removed when the socket is
 * destroyed. 64 Ki connections of 88 bytes; more are counted as LOSS_CONNS_FULL. */
struct conn {
	__u64 id;
	__u64 turn;       /* current epoch (server) or call (client) */
	__u64 writer;     /* client: the context that opened the current call */
	__u64 epoch;      /* client: what that context served; at first, what its opener did */
	__u32 turn_bytes; /* server: bytes read in this turn, saturating */
	__u32 tgid;
	__u32 ports; /* local << 16 | remote: a sock that was reused is another connection */
	__u32 netns;
	__u32 position; /* where the next read begins, see CONN_POSITION */
	__u8 role;
	__u8 last_dir;
	__u8 flags;
	__u8 pad;
	__u8 laddr[16]; /* they do not change while it is open */
	__u8 raddr[16];
};

enum conn_flags {
	CONN_MIDSTREAM = 1,
	/* several calls were under way at once: the next response may be any one's */
	CONN_MULTIPLEXED = 2,
	/* client: the response of the current call has led to something: see loop.bpf.h */
	CONN_LED = 4,
	/* client: one request alone can have led to its being opened */
	CONN_SURE = 8,
	/* position is known */
	CONN_POSITION = 16,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct conn);
} conns SEC(".maps");

/* What a thread writes, or connects. Keyed by pid_tgid. An entry stays for the next system call of its thread,
 * which is far cheaper than to enter it each time, and goes with the thread. */
struct call {
	__u64 sk;
	__u64 ts;
	__u64 buf; /* buffer, iovec, msghdr or mmsghdr, as vec says */
	__u64 turn;
	__u64 context; /* see struct data_event */
	__u64 parent_context;
	__u32 seq;
	__u32 other_seq;
	__u32 count; /* iovecs */
	__s32 fd;
	__u8 dir;
	__u8 vec;
	__u8 context_kind;
	__u8 under_way;
	__u8 pad[4];
};

/* What an entry begins as. */
static const struct call no_call;

enum vec {
	VEC_BUFFER = 0,
	VEC_IOVEC = 1,
	VEC_MSG = 2,
	VEC_MMSG = 3,
	VEC_NONE = 4, /* bytes without a user buffer: sendfile, MSG_TRUNC */
	VEC_NOT_READ = 5, /* nothing of the stream moves: MSG_PEEK and the like */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

struct context_key {
	__u32 tgid;
	__u32 kind; /* enum context_kind */
	__u64 id;
};

/* An epoch, and the socket whose turn it is: it is live while that socket says so. */
struct token {
	__u64 epoch;
	__u64 sk;
};

/* When something that a loop has read had last led to nothing at the end of its round; ns 0: never. */
struct unled {
	__u64 ns;
	__u16 round; /* see context */
	__u8 pad[6];
};

/* The first members, up to done_call, are what a goroutine that gives a value away is asked for: what waits in
 * the buffer of a channel holds these alone, see channel.bpf.h. */
struct context {
	struct token own;   /* the request that this context read itself */
	struct token given; /* the request that another context handed to it */
	__u64 last_call;    /* the last finished call that it knows of */
	/* goroutines only, see goroutine.bpf.c: */
	__u64 tasker;  /* who gave it `given`: created it, or handed it over */
	__u64 segment; /* identity of that hand-over */
	__u64 base;    /* identity of the one that the giver lived on */
	__u64 returned;      /* the call that it gave away last, as long as it has finished no other */
	__u64 returned_type; /* of the value that went with it */
	__u8 given_by; /* enum evidence_kind */
	__u8 loop;     /* serves several requests at once */
	__u8 uses;     /* of segment: calls written, tasks given */
	__u8 base_uses;
	__u8 reader; /* reads the responses of calls that others wrote */
	__u8 wrote;  /* wrote a call, and has not read a response since */
	__u8 dialer; /* opened a connection, for itself or for others */
	__u8 asked;  /* gave a task to another, or got a connection, and no answer since */
	/* of whichever context: */
	__u64 done_call;    /* the last call with which it woke who waited for it, and none since */
	__u64 response_at;  /* when its reader got the CPU to read it: see schedule.bpf.h */
	/* goroutines only: */
	__u64 type;          /* of the value that was the hand-over, see struct value; of who read its request itself,
				a bit for each type that it has given away since: see type_bit */
	__u64 lent;          /* type of what it got from elsewhere, while it served its own request */
	/* event loops only, see loop.bpf.h: */
	__u64 activation;       /* which round this is, a number of new_id */
	__u64 answered;         /* the epoch whose response was begun since last_call arrived */
	__u64 last_sk;          /* the socket of last_call */
	struct unled unled_call;    /* a response */
	struct unled unled_request; /* a request */
	__u64 in_step_ns;       /* when it was last notified, or answered what it was notified of */
	__u8 writer; /* goroutines: was given another task when it had written a call: it writes what others ask for */
	__u8 spawned; /* goroutines that it created for what it was given */
	__u8 arrived; /* responses that arrived in this activation and led to nothing yet */
	__u8 answers; /* responses begun since the last of them */
	__u8 last_by; /* how last_call became known: 0 read here, else enum evidence_kind */
	__u8 passed;  /* how many threads passed last_call on before */
	__u8 called;  /* has read, or was passed, the response of a call */
	__u8 completes; /* has woken who waited for such a call */
	__u8 doubts;    /* enum wake_doubt, of last_call */
	__u8 requests; /* event loops: requests read in this activation, since one led to something */
	__u8 led;      /* event loops: the last of them has */
	__u8 pad1;
	__s16 ahead;   /* event loops: notifications read, less answers begun */
	__u16 rounds;  /* event loops: activations so far, modulo 2^16 */
};

/* Threads: removed at exit. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct context_key);
	__type(value, struct context);
} threads SEC(".maps");

/* Every other kind of context: nothing says when a goroutine ends, so the least recently used goes. Their
 * ids are never used twice in a process, so an evicted one means a missing link, never a wrong one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct context_key);
	__type(value, struct context);
} tasks SEC(".maps");

/* Where a record is put together. Twice MAX_PAYLOAD, so that offset and length can each be masked. */
struct scratch {
	struct data_event event;
	__u8 payload[2 * MAX_PAYLOAD];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline void count_loss(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&losses, &reason);

	if (n)
		__sync_fetch_and_add(n, 1); /* from Linux 5.19 on a program on a uprobe may be preempted by another */
}

/*
 * A number that no CPU and no earlier run of the collector has given out: 12 bits of CPU, 52 bits of the wall
 * clock (as it was set when the collector started) in units of 4 ns, which come again after 208 days. No counter:
 * from Linux 5.19 on a program on a uprobe may be preempted between reading and writing one, and 5.10 has no
 * atomic instruction that returns what it added to. Two calls on one CPU are further apart than 4 ns, as each
 * reads the clock.
 */
static __always_inline __u64 new_id(void)
{
	return ((__u64)bpf_get_smp_processor_id() << 52) | (((clock_offset + bpf_ktime_get_ns()) >> 2) & ((1ULL << 52) - 1));
}

static __always_inline __u64 wakeup_flags(void *ring)
{
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >= wakeup_bytes ? BPF_RB_FORCE_WAKEUP
									 : BPF_RB_NO_WAKEUP;
}

static __always_inline struct target *target_of(__u32 tgid)
{
	return bpf_map_lookup_elem(&targets, &tgid);
}

/* The same, if it has that one of enum target_flags, else 0. */
static __always_inline struct target *target_with(__u32 tgid, __u32 flag)
{
	struct target *t = target_of(tgid);

	return t && t->flags & flag ? t : 0;
}

#endif
