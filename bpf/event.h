/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The records that leave the kernel. This header is the only definition of their layout: the Go
 * types are generated from it (bpf2go -type), and TestLayout compares the two.
 *
 * All integers are in host byte order, times are CLOCK_MONOTONIC nanoseconds, addresses are 16
 * bytes in network order with IPv4 mapped into IPv6 (RFC 4291 section 2.5.5.2).
 */
#ifndef EVENT_H
#define EVENT_H

enum event_kind {
	EVENT_DATA = 1,
	EVENT_CONN = 2,
	EVENT_EVIDENCE = 3,
	EVENT_PROCESS = 4,
	EVENT_ORIGIN = 5,
	EVENT_ASYNC = 6,
	EVENT_OBJECT = 7,
};

enum direction {
	DIR_IN = 0,
	DIR_OUT = 1,
	DIR_NONE = 2,
};

/* How a connection came about, seen from the process that holds the socket. */
enum role {
	ROLE_SERVER = 1,
	ROLE_CLIENT = 2,
};

enum data_flags {
	/* The connection existed before its first byte was seen: the stream starts anywhere. */
	DATA_MIDSTREAM = 1,
	/* A read that does not begin where the one before ended: bytes moved unseen, or two threads read at once.
	 * seq was derived from the position after it. */
	DATA_SEQ_DERIVED = 2,
};

/*
 * An execution context: what does one thing after the other, whatever runs it. Numbers are part of
 * the layout.
 */
enum context_kind {
	CONTEXT_THREAD = 0,    /* id: tid */
	CONTEXT_GOROUTINE = 1, /* id: goid */
	CONTEXT_VIRTUAL = 2,   /* a virtual thread of a Java VM. id: java.lang.Thread.tid */
	CONTEXT_PYTHON = 3,    /* a contextvars.Context of CPython. id: minted at its making, see new_id */
	CONTEXT_STREAM = 4,    /* a stream of HAProxy. id: its address */
	CONTEXT_TOKIO = 5,     /* a task of tokio. id: minted at its making, or its first poll */
};

/* Bytes that moved. Followed by `captured` bytes of payload. */
struct data_event {
	__u8 kind;  /* EVENT_DATA */
	__u8 dir;   /* enum direction: IN or OUT */
	__u8 role;  /* enum role */
	__u8 flags; /* enum data_flags */
	__u32 tgid;
	__u32 tid;
	__u32 netns; /* inode of the network namespace */
	__u64 ts;    /* OUT: when the system call began; IN: when it returned */
	__u64 conn;  /* identity of the connection, unique across CPUs and restarts */
	/*
	 * The epoch (server) or call (client) that these bytes belong to, as far as the kernel can
	 * tell without parsing: it changes when the direction of the conversation does.
	 */
	__u64 turn;
	__u64 context;        /* id of the execution context; 0: the thread itself, or of another kind: not known */
	__u64 parent_context; /* the context of the same kind that created it, or 0 */
	__u32 seq;         /* TCP sequence number of the first byte */
	__u32 other_seq;   /* position of the other direction at ts */
	__u32 len;         /* bytes on the wire */
	__u32 captured;    /* bytes of payload that follow */
	/* The request that these bytes, the first of a call, were written for, as `evidence` says. A record of its
	 * own is an evidence_event that says more. */
	__u64 epoch;
	__u8 laddr[16];
	__u8 raddr[16];
	__u16 lport;
	__u16 rport;
	__u8 context_kind; /* enum context_kind */
	__u8 evidence;     /* enum evidence_kind, 0: none here */
	__u8 pad[2];
};

enum conn_what {
	CONN_CLOSED = 3, /* the socket is gone */
};

struct conn_event {
	__u8 kind; /* EVENT_CONN */
	__u8 what; /* enum conn_what */
	__u8 role;
	__u8 pad0;
	__u32 tgid;
	__u64 ts;
	__u64 conn;
};

/*
 * How execution moved from a request to a call. Numbers are part of the layout: never reused.
 * Each kind of evidence is one row of the table in internal/causality.
 */
enum evidence_kind {
	EVIDENCE_SAME_THREAD = 1,  /* the context that read the request wrote the call */
	EVIDENCE_SPAWN = 2,        /* a thread created by it, or by one of its threads */
	EVIDENCE_GO_CREATED = 3,   /* a goroutine created while serving */
	EVIDENCE_GO_PARENT = 4,    /* the goroutine that created it serves now: see TARGET_NO_CREATION */
	EVIDENCE_CHANNEL = 5,      /* a channel hand-off to the goroutine that wrote the call */
	EVIDENCE_CHANNEL_BACK = 6, /* the goroutine that read the call's response handed over to
				      the one that owns the request, or is done in a group for which
				      that waits. call 0: its task, segment, went back without one */
	EVIDENCE_LOOP = 7,         /* an event loop read the request last, before it wrote */
	EVIDENCE_TASK_BACK = 8,    /* as CHANNEL_BACK, to a goroutine that was given the request */
	EVIDENCE_ANSWER = 9,       /* who read the call's response began the response of the request.
				      In a loop: segment is the activation, uses counts the responses
				      that arrived in it and led to nothing yet (1: only this one),
				      base_uses the responses begun since (1: this is the first),
				      base those of uses that were seen: one more may have been put off.
				      In a thread of a pool: segment is 0, call 0 if there was none */
	EVIDENCE_NEXT = 10,        /* epoch is the call before: who read its response wrote this one next;
				      base: WAKE_WORKER or 0 */
	EVIDENCE_WAKE_BACK = 11,   /* who read the call's response woke the thread that waits while it
				      serves the request; uses: how many threads passed it on before;
				      base_uses: enum wake_doubt; segment: the address at which it waited; base: the
				      task of a Java VM that ended by it, or 0. call 0:
				      the waker makes calls, and none was made since it last waited for
				      work */
	EVIDENCE_WAKE = 12,        /* a thread that serves the request woke the one that wrote the call */
	EVIDENCE_NOTIFY_BACK = 13, /* as ANSWER, through an eventfd, a pipe or a socket pair */
	EVIDENCE_CONNECTED = 14,   /* who serves the request opened the connection; its first call */
	EVIDENCE_ITEM = 15,        /* an item put into a queue while serving, and taken by the writer */
	EVIDENCE_COPY = 16,        /* the writer's context was copied while serving */
	EVIDENCE_CONTEXT = 17,     /* found by user space: the writer's context answered the request */
	EVIDENCE_ASYNC_ID = 18,    /* found by user space: the call's asynchronous id was born in it */
	EVIDENCE_STATISTICAL = 19, /* found by user space: of all requests, the likely one */
	EVIDENCE_RESPONSE_BACK = 20, /* a goroutine that reads the responses of calls which were under way at once gave
				        something to the one that owns the request. epoch 0: to another; or it waits
				        in a buffer, and who takes it is told by another one, with base 0. call 0:
				        which it was, user space finds by how many responses ended in the same read.
				        segment: id of the goroutine, with the lower half of when it read in the
				        upper half; uses: how many it has given away since, this one included;
				        base_uses: how many it has taken since it gave the one before; base: the
				        request for which the giver of the last of these worked, or 0 */
	EVIDENCE_RESPONSE_ORDER = 21, /* found by user space: as RESPONSE_BACK, where several ended in one read */
	EVIDENCE_ALLOCATED = 22, /* found by user space: the task that the writer runs is an object that was made by
				    who served the request */
	EVIDENCE_AWAITED = 23,   /* found by user space: the end of the task in which the call was made woke who waits
				    while it serves the request */
	EVIDENCE_CHANNEL_DIALED = 24, /* besides CHANNEL, what that would say if the connection had been no task that came
					 to the writer, or to who gave it the call to write, from a goroutine that
					 had opened it for another. uses: without it; base: the type that it came as */
};

/* What speaks against a wake-up having been for this call. */
enum wake_doubt {
	WAKE_SLEPT_LATER = 1,  /* who was woken went to sleep after the response had come: to get a lock? */
	WAKE_SEVERAL = 2,      /* several responses had come to the waker, a loop */
	WAKE_OTHERS_TOO = 4,   /* it has woken a thread that serves nothing since: was that who waited? */
	WAKE_DONE_BEFORE = 8,  /* it has woken another that serves a request since: which of them waited? */
	WAKE_SERVES = 16,      /* it serves a request itself: it hands on a lock that it held meanwhile */
	WAKE_WORKER = 32,      /* none: EVIDENCE_NEXT of a thread that has woken who waited before */
	WAKE_UNAIDED = 32,     /* it had begun by itself, or for one who serves nothing, when it made the call */
	WAKE_LOCK = 64,        /* none: segment is where several wait: a lock, see bpf/futex.bpf.h */
	WAKE_UNKNOWN = 128,    /* of Ruby, Python, Java or tokio: it may have got a lock, see bpf/waits.bpf.h */
};

/*
 * One edge from a call to the request that it belongs to.
 *
 * What a context was handed is certain at its first use. Later it may have taken other work that
 * cannot be seen (from a buffered channel), unless the task is known to have come back to the request
 * in the end. So an edge that rests on a hand-over names it, and how often it had been used; and the
 * same of the hand-over that its giver lived on.
 */
struct evidence_event {
	__u8 kind; /* EVENT_EVIDENCE */
	__u8 what; /* enum evidence_kind */
	__u8 uses;      /* of segment, this one included, saturating; 0: rests on no hand-over */
	__u8 base_uses; /* of base, likewise */
	__u32 tgid;
	__u64 ts;
	__u64 call;
	__u64 epoch;   /* the request; another call where the kind says so */
	__u64 segment; /* identity of a hand-over, or 0 */
	__u64 base;    /* identity of the giver's, or 0 */
};

enum origin_what {
	ORIGIN_MADE = 0, /* a context was made by another one of the same kind */
	/* A request has arrived for a context that answered the last one of its connection, and it went on
	 * with something else: what it does until it answers may be for either. No parent. */
	ORIGIN_BUSY = 1,
	/* A thread has ended that was made by one that served parent, an epoch: it worked for no other. */
	ORIGIN_ENDED = 2, /* of a task of tokio: that has ended; no parent */
	/* A thread is about to answer parent, an epoch, which another one has read: see bpf/taken.bpf.h. */
	ORIGIN_TAKEN = 3,
};

struct origin_event {
	__u8 kind;         /* EVENT_ORIGIN */
	__u8 what;         /* enum origin_what */
	__u8 context_kind; /* enum context_kind */
	__u8 pad0;
	__u32 tgid;
	__u64 ts;
	__u64 child;  /* id of the context */
	__u64 parent; /* id of who made it; an epoch where origin_what says so */
};

enum async_what {
	ASYNC_ACTIVATION = 1, /* an activation of a Node.js loop has ended, in which ids may have been born */
	ASYNC_CALL = 2,       /* a call begins */
	ASYNC_INIT = 3,       /* an operation begins: its id is the last that was drawn */
};

enum async_flags {
	/* Begun by bytes that arrived: `base` belongs to what they arrived on, which may serve many. */
	ASYNC_READ = 1,
	/* token is a call whose response arrived, not a request. */
	ASYNC_TOKEN_CALL = 2,
};

/*
 * Asynchronous ids of Node.js are drawn from one counter of each loop. So the number of an id tells in
 * which activation it was born: that in which the counter passed it. All ids are doubles, as Node.js
 * keeps them; positive ones compare as their bits do.
 */
struct async_event {
	__u8 kind;  /* EVENT_ASYNC */
	__u8 what;  /* enum async_what */
	__u8 flags; /* enum async_flags */
	__u8 pad0;
	__u32 tgid;
	__u32 tid; /* of the loop */
	__u32 pad1;
	__u64 ts;
	__u64 call;       /* ASYNC_CALL */
	__u64 activation; /* a number of new_id */
	__u64 token;      /* what was read at its beginning: an epoch or a call; 0: nothing */
	__u64 begin;      /* counter when it began: ids above it were born in it */
	__u64 counter;    /* counter now */
	__u64 base;         /* id of the event that was handled first, 0: none */
	__u64 base_trigger; /* id of what triggered that */
	__u64 exec;    /* ASYNC_CALL, ASYNC_INIT: the id that runs, 0: none */
	__u64 trigger; /* likewise: id of what triggered it */
};

enum object_what {
	OBJECT_MADE = 1, /* a thread that answers a request has made objects while it served that */
	OBJECT_RUN = 2,  /* a thread writes a call while it runs a task, which is an object */
	OBJECT_WOKE = 3, /* in the middle of that task it has woken another thread: for the first time */
};

/*
 * Objects of a Java VM. Each thread makes them one after the other in a buffer of its own, so an address tells who
 * made one and when, until garbage is collected, which moves them.
 */
struct object_event {
	__u8 kind; /* EVENT_OBJECT */
	__u8 what; /* enum object_what */
	__u8 pad0[2];
	__u32 tgid;
	__u32 tid;
	__u32 collections; /* of garbage, so far */
	__u64 ts;
	__u64 token;   /* OBJECT_MADE: the epoch; OBJECT_RUN: the call */
	__u64 from[2]; /* OBJECT_MADE: where they begin, 0: none; else [0] is the task */
	__u64 to[2];   /* OBJECT_MADE: where they end; OBJECT_RUN: [0] is the class of what the task does, 0: unknown */
};

enum process_what {
	PROCESS_EXEC = 1,
	PROCESS_FORK = 2,
	PROCESS_EXIT = 3,
	PROCESS_LISTEN = 4,
};

struct process_event {
	__u8 kind; /* EVENT_PROCESS */
	__u8 what; /* enum process_what */
	__u16 port; /* PROCESS_LISTEN: the port, host order */
	__u32 tgid;
	__u32 ppid; /* PROCESS_EXIT: forked_from of its target; else its parent, or 0 */
	__u32 netns;
	__u64 ts; /* PROCESS_EXIT: forked_at of its target; else CLOCK_MONOTONIC, now */
};

_Static_assert(sizeof(struct data_event) == 120, "data_event has no hidden padding");
_Static_assert(sizeof(struct conn_event) == 24, "conn_event has no hidden padding");
_Static_assert(sizeof(struct evidence_event) == 48, "evidence_event has no hidden padding");
_Static_assert(sizeof(struct origin_event) == 32, "origin_event has no hidden padding");
_Static_assert(sizeof(struct async_event) == 96, "async_event has no hidden padding");
_Static_assert(sizeof(struct object_event) == 64, "object_event has no hidden padding");
_Static_assert(sizeof(struct process_event) == 24, "process_event has no hidden padding");

/* The largest payload prefix of one record. A power of two: it bounds the copy for the verifier. */
#define MAX_PAYLOAD 8192

/* What user space tells of a selected process. */
enum target_flags {
	TARGET_GO = 1,
	/* threads say nothing of requests here, and nothing else is known: a Go program whose
	 * goroutines cannot be read */
	TARGET_NO_CONTEXT = 4,
	/* the creation of goroutines is not seen: their parents are all there is to go by */
	TARGET_NO_CREATION = 8,
	/* virtual threads can be read */
	TARGET_JAVA = 16,
	/* the probes of contexts are attached */
	TARGET_PYTHON = 32,
	/* asynchronous ids can be read */
	TARGET_NODE = 64,
	/* what goes through the buffers of channels is seen */
	TARGET_BUFFERS = 128,
	/* a channel has a timer: Go 1.23 and later */
	TARGET_CHAN_TIMER = 256,
	/* its streams are known */
	TARGET_HAPROXY = 512,
	/* the probes of tokio's tasks are attached */
	TARGET_TOKIO = 1024,
	/* its threads wait for the interpreter's lock where they wait for each other */
	TARGET_RUBY = 2048,
};

/* Its threads are not the contexts, or not all of them. */
#define TARGET_OTHER_CONTEXTS \
	(TARGET_GO | TARGET_NO_CONTEXT | TARGET_JAVA | TARGET_PYTHON | TARGET_HAPROXY | TARGET_TOKIO)

struct target {
	__u32 flags;
	__s32 tls_g; /* offset of the current g from the thread pointer */
	__u16 goid, parent_goid, m, curg; /* offsets in runtime.g, g.m, m.curg; parent_goid 0: none */
	__u32 program; /* Go: another number whenever a process is selected, which may run another program by then */
	/* Until user space selects it by itself, a forked process is what the process was that user space selected, from
	 * which it was forked, maybe by others that were not: whose tgid, and when, in nanoseconds of CLOCK_BOOTTIME. 0: it
	 * is not, or runs another program. */
	__u32 forked_from;
	__u64 forked_at;
};

/* Which contexts a Java VM has. */
enum java_threads {
	JAVA_UNREADABLE = 0, /* virtual threads that cannot be told apart: nothing says anything */
	JAVA_PLATFORM = 1,   /* threads, and nothing else */
	JAVA_VIRTUAL = 2,    /* the VM knows which runs: owner */
	JAVA_OBJECTS = 3,    /* only its object in the heap says it: mounted to base */
};

/* Where a Java VM keeps which virtual thread runs: see internal/javaruntime. */
struct java_target {
	__u32 threads; /* enum java_threads */
	__u32 slot;    /* of the VM in the dynamic thread vector, in bytes */
	__u32 current; /* the JavaThread, in the block that the slot points to */
	__u32 os_thread, pthread; /* in JavaThread, and there: whose it is */
	__u32 continuation;       /* in JavaThread: not 0 while something is mounted */
	__u32 owner;              /* in JavaThread: java.lang.Thread.tid of it */
	__u32 mounted, platform;  /* in JavaThread: handles of java.lang.Thread, the current and its own */
	__u32 id;                 /* in java.lang.Thread: tid; 0: where objects are is hidden */
	__u32 carrier;            /* in java.lang.VirtualThread: reference to who runs it */
	__u8 narrow;              /* references have 32 bits: base + reference << shift */
	__u8 shift;
	__u8 tasks;               /* which task a thread runs can be read: klass to collecting, and platform */
	__u8 waits;               /* and what it waits for: monitor to body, and platform, */
	__u64 base;
	__u32 klass;              /* of java.util.concurrent.FutureTask, as an object of it has that */
	__u32 runner, state, callable; /* in it: references to the thread that runs it and to what it does, how far it is */
	__u32 stack_base;         /* in JavaThread: where its stack ends, which grows down */
	__u32 buffer;             /* in JavaThread: the one in which it makes objects */
	__u32 start, top, end;    /* in that */
	/* Written by the kernel side: where a thread had its task, and requests read before that, see java_requested. */
	__u32 slot_of_task, requests;
	__u64 heap, heap_end;     /* objects are between */
	__u64 collections;        /* address of how often garbage was collected, 32 bits, */
	__u64 collecting;         /* and of whether it is being, a byte */
	__u32 monitor;            /* in JavaThread: the one that it waits to enter, or 0 */
	__u32 blocker, thread;    /* in java.lang.Thread: reference to what it is parked for; eetop, its JavaThread */
	__u32 name, body;         /* of a class, and of that */
	/* The class of an object: what bits class_from to class_from + class_bits of its word at class_at say, times
	 * 1 << class_shift, from class_base on. */
	__u8 class_at, class_from, class_bits, class_shift;
	__u8 colored;             /* references are those of generational ZGC: see internal/javaruntime */
	__u8 direct;              /* platform is no handle, but the reference itself */
	__u8 moving;              /* its collector moves objects while the program runs */
	__u8 unused[5];
	__u64 class_base;
	/* Written by the kernel side: classes that threads were parked for, and what for: see javawaits.bpf.h */
	__u64 classes[8];
};

/* Where HAProxy keeps which task is running: see internal/haproxyruntime. */
struct haproxy_target {
	__s64 tls;            /* of the structure of a thread, from the thread pointer */
	__u64 process_stream; /* the handler of the tasks of streams */
	__u64 current;        /* the running task, in the structure of a thread */
};

/* Functions of an executable with tokio that wake tasks: see internal/tokioruntime. */
#define TOKIO_WAKES 24

enum tokio_code {
	TOKIO_NONE,
	TOKIO_LOCK, /* wakes who waits for a lock or a permit */
	TOKIO_PASS, /* wakes for others */
	TOKIO_TIME, /* wakes who waits for a time to be over */
};

struct tokio_wakes {
	__u64 start;
	__u32 size;
	enum tokio_code code;
};

struct tokio_target {
	__u64 text, size; /* where all code is */
	struct tokio_wakes wakes[TOKIO_WAKES];
};

/* The variable _PyRuntime of CPython, in which its lock is: see internal/pyruntime. */
struct python_target {
	__u64 runtime; /* its address, */
	__u64 size;    /* and how long it is */
};

/* Where a thread of Ruby says what it waits for: see internal/rubyruntime. */
struct ruby_target {
	__u32 slot;    /* of libruby in the dynamic thread vector, in bytes */
	__u32 current; /* the execution context, in the block that the slot points to */
	__u32 thread;  /* in the execution context: its rb_thread_t */
	__u32 ec;      /* in rb_thread_t: its execution context */
	__u32 unblock; /* in rb_thread_t, as is the next: how it can be woken; what it sleeps on is before it */
	__u32 locking; /* the Mutex that it waits for */
};

/* A port of a network namespace that something listens on. */
struct listen_port {
	__u32 netns;
	__u32 port;
};

#endif
