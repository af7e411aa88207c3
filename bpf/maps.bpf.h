/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps that several programs share: who writes each, why it is that large, and when an entry goes.
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
const volatile __u32 last_selectable;          /* the last process id that `selected` has a byte for, 2^n - 1 */

/* All records but those of processes. Sized by the user (ring_buffer_size). */
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

/* A byte for each tgid, which is 0 where targets has none: nearly every process of a machine is not selected, and
 * this one load is what it pays for. A byte too many costs a look-up in targets. User space maps it; made as large as
 * pid_max (proc(5)) when it is loaded. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8); /* the first of them */
} selected SEC(".maps");

/* Selected processes by tgid. Written by user space, by fork (a child inherits until user space has
 * looked at it) and removed by exit. */
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

/* What a thread writes, or connects. */
struct call {
	struct data_event event; /* as far as it is known when the system call begins */
	__u64 sk;
	__u64 buf; /* buffer, iovec, msghdr or mmsghdr, as vec says */
	__u32 count; /* iovecs */
	__s32 fd;
	__u8 vec;
	__u8 under_way;
	__u8 pad[6];
};

enum vec {
	VEC_BUFFER = 0,
	VEC_IOVEC = 1,
	VEC_MSG = 2,
	VEC_MMSG = 3,
	VEC_NONE = 4, /* bytes without a user buffer: sendfile, MSG_TRUNC */
	VEC_NOT_READ = 5, /* nothing of the stream moves: MSG_PEEK and the like */
};

struct context_key {
	__u32 tgid;
	__u16 kind;    /* enum context_kind */
	__u16 program; /* goroutines: of struct target, as much as fits; their ids begin at 1 in each program */
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

/*
 * Why a thread or a task goes on, as far as that says for whom it makes its calls. Who waits for what they bring has not
 * asked for it then, and finds it under way.
 */
enum begun {
	BEGUN_UNKNOWN = 0,
	BEGUN_FOR_OTHERS = 1, /* one that serves nothing and does not work for others has woken it: see woken_by */
	BEGUN_FOR_NONE = 2,   /* nobody has, as a time was over; or it has taken a task that such a one had left */
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
	__u8 reader : 1; /* reads the responses of calls that others wrote */
	__u8 dialer : 1; /* opened a connection, for itself or for others */
	__u8 wrote;  /* wrote a call, and has not read a response since */
	__u8 doubt;  /* enum connection_doubt */
	__u8 asked;  /* gave a task to another, or got a connection, and no answer since */
	/* of whichever context: */
	__u64 done_call;    /* the last call with which it woke who waited for it, and none since */
	__u64 response_at;  /* when its reader got the CPU to read it: see schedule.bpf.h */
	union {
		/* goroutines: of the value that was the hand-over, see struct value; of who read its request itself, a bit
		 * for each type that it has given away since: see type_bit */
		__u64 type;
		__u64 asked_at; /* others: when it woke the first of those that `asks` counts, see id_time */
	};
	__u64 doubt_of; /* goroutines: type of the connection that its doubt is about, or that of its giver */
	__u64 lent;     /* goroutines: type of what it got from elsewhere, while it served its own request */
	/* goroutines that read the responses of calls which were under way at once, see response_back: */
	__u32 read;  /* when they last did, the lower half; 0: they have not */
	__u8 handed; /* how much they have given away since, saturating */
	__u8 noted;  /* how much they have taken since they last did, saturating */
	/* threads and tasks of tokio: */
	__u8 begun : 2;   /* enum begun: for whom it does what it does now */
	__u8 unaided : 2; /* what that was when it wrote its last call */
	__u8 works : 1;   /* one that serves a request has woken it, maybe through others, and no time has since */
	__u8 asks;        /* whom it has woken since it read its request, less the results that it has got; saturating */
	__u64 note;  /* the request for which the giver of the last of these worked, or 0 */
	/* event loops, see loop.bpf.h, but for what others have as well (arrived, answers, last_by to doubts) or is marked: */
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
	__u8 doubled; /* goroutines: was given it while it had another task */
	__s16 ahead;   /* event loops: notifications read, less answers begun */
	__u16 rounds;  /* event loops: activations so far, modulo 2^16 */
};

/* A thread: what it serves, if it is a context, and its system call, whatever runs on it. One look-up finds both,
 * and what a look-up costs is memory that is in no cache. */
struct thread {
	struct context context; /* the first member: see context_find */
	struct call call;
};

/* What an entry begins as: not on the stack, of which there are 512 bytes. */
static const struct thread new_thread;

/* An entry stays for the next system call of its thread, which is far cheaper than to enter it each time, and is
 * removed when the thread exits. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct context_key); /* of kind CONTEXT_THREAD */
	__type(value, struct thread);
} threads SEC(".maps");

/* Every other kind of context: nothing says when a goroutine ends, so the least recently used goes. No key is
 * used twice but a stream's (see stream_calls), so an evicted one means a missing link, never a wrong one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct context_key);
	__type(value, struct context);
} tasks SEC(".maps");

#define CREATIONS 65536

/* For what a goroutine was created, until it does something that is seen: most never do. */
struct creation {
	__u64 id; /* of the goroutine, 0: none */
	__u32 tgid;
	__u8 uses, base_uses;
	__u8 pad[2];
	struct token given;
	__u64 tasker, segment, base; /* see struct context */
	__u64 sum; /* of all that, see sum_with */
};

/* Ids of goroutines count up, so what is written next lies beside what was written last, which a map that is hashed
 * does not do. The oldest goes, which means a missing link. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CREATIONS);
	__type(key, __u32);
	__type(value, struct creation);
} creations SEC(".maps");

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
 * reads the clock. now: what its caller has just read there, and makes no other number of.
 */
static __always_inline __u64 new_id_at(__u64 now)
{
	return ((__u64)bpf_get_smp_processor_id() << 52) | (((clock_offset + now) >> 2) & ((1ULL << 52) - 1));
}

/* When a number was given out, to be compared with others of it. */
static __always_inline __u64 id_time(__u64 id) { return id & ((1ULL << 52) - 1); }

static __always_inline __u64 new_id(void) { return new_id_at(bpf_ktime_get_ns()); }

/*
 * An entry of an array that several programs may write at once, on other CPUs or, from Linux 5.19 on, by preempting
 * each other, holds a sum of what it is of and of what it says. If it fits, all of it is of one piece. There are no
 * locks, and 5.10 has no atomic instruction with a result to make one of.
 */
static __always_inline __u64 sum_with(__u64 sum, __u64 word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
	return sum ^ sum >> 32;
}

static __always_inline __u64 wakeup_flags(void *ring)
{
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >= wakeup_bytes ? BPF_RB_FORCE_WAKEUP
									 : BPF_RB_NO_WAKEUP;
}

/* Tells user space of a struct of event.h, or counts it: EMIT(conn_event, .kind = EVENT_CONN, ...). */
#define EMIT(record, ...)                                                                    \
	({                                                                                   \
		struct record *emitted = bpf_ringbuf_reserve(&events, sizeof(*emitted), 0);  \
		if (emitted) {                                                               \
			*emitted = (struct record){__VA_ARGS__};                             \
			bpf_ringbuf_submit(emitted, wakeup_flags(&events));                  \
		} else {                                                                     \
			count_loss(LOSS_EVENTS_FULL);                                        \
		}                                                                            \
	})

/* The byte of a process, 0 where it has none: pid_max was raised after the start. */
static __always_inline __u8 *selected_at(__u32 tgid)
{
	__u32 zero = 0;
	__u8 *all = bpf_map_lookup_elem(&selected, &zero);

	/* Masked for the verifier, which from Linux 5.10 to 6.1 forgets the comparison. */
	return all && tgid <= last_selectable ? all + (tgid & last_selectable) : 0;
}

/* False where a process is not in targets for sure: asked where every process of the machine comes by. */
static __always_inline bool may_be_selected(__u32 tgid)
{
	__u8 *byte = selected_at(tgid);

	return !byte || *byte;
}

static __always_inline void mark_selected(__u32 tgid, __u8 as)
{
	__u8 *byte = selected_at(tgid);

	if (byte)
		*byte = as;
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
