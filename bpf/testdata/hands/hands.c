/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A Go program in little, whose goroutines run in any order: handlers, goroutines that they create, workers and
 * background work share connections in a buffered channel. The programs of goroutine.bpf.c see it as the kernel would
 * let them; of what they tell of each call, what user space would conclude is compared with the truth.
 *
 *   hands FIRST-SEED SEEDS           prints what went wrong, and figures
 *   hands eager FIRST-SEED SEEDS     the same of handlers that give tasks away first, or several
 *   hands shared FIRST-SEED SEEDS    the same of goroutines that share one connection, see shared.h
 *   hands groups FIRST-SEED SEEDS    whose alone groups are, see groups.h
 *   hands stages FIRST-SEED SEEDS    two stages of workers that open connections, see stages.h
 */
#include <stdio.h>
#include <stdlib.h>

#include "goroutine.bpf.c"

#define TGID 1
#define MOST 20000
#define MOST_IDS 60 /* of goroutines that are looked at when another program has them */

unsigned long now;

/* What cannot be read at the moment: one word. */
static const void *paged_out;

bool readable(const void *user) { return user && (__u64)user - (__u64)paged_out >= sizeof(__u64); }

/* All maps are one hash table, in which nothing is forgotten until all is cleared. */
#define ENTRIES 32768
static struct entry {
	void *map;
	bool used, there;
	__u8 key[32];
	__u64 value[128];
} table[ENTRIES];
static __u32 used[ENTRIES], used_count;

static struct entry *entry_of(void *map, const void *key, size_t n, bool make)
{
	__u32 at = 2166136261u ^ (__u32)(__u64)map;

	for (size_t i = 0; i < n; i++)
		at = (at ^ ((const __u8 *)key)[i]) * 16777619u;
	for (;; at++) {
		struct entry *e = &table[at % ENTRIES];

		if (e->used && e->map == map && !memcmp(e->key, key, n))
			return e;
		if (e->used)
			continue;
		if (!make)
			return NULL;
		if (used_count > ENTRIES / 2 || n > sizeof(e->key))
			abort();
		used[used_count++] = at % ENTRIES;
		e->used = true;
		e->there = false;
		e->map = map;
		memcpy(e->key, key, n);
		return e;
	}
}

void *map_lookup(void *map, int type, size_t key_size, size_t value_size, const void *key)
{
	bool array = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
	struct entry *e = entry_of(map, key, key_size, array);

	if (array && !e->there) {
		if (value_size > sizeof(e->value))
			abort();
		memset(e->value, 0, value_size);
		e->there = true;
	}
	return e && e->there ? e->value : NULL;
}

long map_update(void *map, size_t key_size, size_t value_size, const void *key, const void *value, int flags)
{
	struct entry *e = entry_of(map, key, key_size, true);

	if (value_size > sizeof(e->value))
		abort();
	if (e->there && flags == BPF_NOEXIST)
		return -1;
	memcpy(e->value, value, value_size);
	e->there = true;
	return 0;
}

long map_delete(void *map, size_t key_size, size_t value_size, const void *key)
{
	struct entry *e = entry_of(map, key, key_size, false);

	if (e)
		e->there = false;
	return 0;
}

static void clear_maps(void)
{
	while (used_count)
		table[used[--used_count]].used = false;
}

/* What was told. */
static struct evidence_event told[8 * MOST];
static __u32 told_count;
static union {
	struct evidence_event evidence;
	__u8 room[4096];
} record;

void *record_reserve(void) { return &record; }

void record_submit(void *r)
{
	struct evidence_event *e = r;

	if (e->kind == EVENT_EVIDENCE && told_count < 8 * MOST)
		told[told_count++] = *e;
}

static __u64 state;

static __u32 any(__u32 below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

#define BATCH 2

/* sync.WaitGroup: the counter is the upper half. */
struct wg {
	__u64 state;
};

enum what { HANDLER, CHILD, WORKER, BACKGROUND };

/* It begins as runtime.g does for these programs, see struct target. */
struct g {
	__u64 id, parent;
	enum what what;
	__u32 next;    /* of what it has to do */
	__u32 of_call; /* how far its call is */
	bool waits, ended;
	__u64 sleeps_until;
	__u64 sk;      /* handler: its connection */
	__u64 serves;  /* the truth */
	__u32 request;
	__u32 calls;   /* child: left to make */
	__u32 pending; /* handler: others that work for it */
	__u32 conn;
	struct g *works_for;
	struct wg *group;       /* handler: in which others work for it */
	struct g *tasks[BATCH]; /* worker: for whom it has work */
	__u32 task_count, task;
};

struct sudog {
	struct g *g;
};

static struct g gs[MOST];
static __u32 g_count;
static __u64 first_id; /* of a goroutine: that of gs[0] */
static struct target target = {.flags = TARGET_GO | TARGET_BUFFERS, .goid = 0, .parent_goid = 8};
static const struct go_type conn_type = {8, 8}, job_type = {16, 16};

/* A queue of goroutines that wait. */
struct queue {
	struct g *g[MOST];
	__u32 first, end;
};

static struct hchan pool, jobs;
static struct queue wait_conn, wait_job, wait_worker;
static __u64 places_of_pool[64];
static __u32 free_conns[64], first_free, free_count, conn_count;

static struct {
	__u64 turn, truth, start;
} calls_made[MOST];
static __u32 call_count;

static struct {
	__u64 turn, start, end;
} requests[MOST];
static __u32 request_count, request_limit;

/* c creates a child, o calls, w waits for whoever works for it, j gives a job away. */
static const char *const shapes[] = {"cowj", "coj", "oj", "oo", "o", "jo", "joo", "cowojo", "co", "c", "cc", "ccoj"};
/* Those give tasks away first, or several. */
static const char *const eager_shapes[] = {"jcow", "jjcoc", "jjo", "ojo", "jowj"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
static bool eager;
static const char *handler_does;
static __u32 handler_count, worker_calls, child_calls;

/* Whether handlers wait in groups, whether in one and the same, and how many tasks a worker takes before it begins. */
static bool in_groups, one_for_all;
static __u32 batch;
static struct wg groups[64], everybody;

static void tick(void) { now += 64; }

static struct context_key key_of(const struct g *g)
{
	return (struct context_key){.tgid = TGID, .kind = CONTEXT_GOROUTINE, .program = target.program, .id = g->id};
}

static struct context *context_of(const struct g *g)
{
	struct context_key key = key_of(g);

	return context_make(&key);
}

static struct regs at_probe(const struct g *g, const void *arg0, const void *arg1, const void *arg2)
{
	return (struct regs){.r14 = (__u64)g, .ax = (__u64)arg0, .bx = (__u64)arg1, .cx = (__u64)arg2};
}

static __u64 conn_sk(const struct g *g) { return 1000 + g->conn; }

static struct conn *conn_at(__u64 sk) { return bpf_map_lookup_elem(&conns, &sk); }

static void add_conn(__u64 sk, __u8 role, __u8 last_dir)
{
	struct conn c = {.role = role, .last_dir = last_dir};

	bpf_map_update_elem(&conns, &sk, &c, BPF_ANY);
}

static void get_conn(struct g *g)
{
	struct regs r = at_probe(g, &conn_type, NULL, &places_of_pool[first_free]);

	if (!free_count) {
		wait_conn.g[wait_conn.end++] = g;
		g->waits = true;
		return;
	}
	go_take(&r);
	g->conn = free_conns[first_free];
	first_free = (first_free + 1) % conn_count;
	free_count--;
}

static void put_conn(struct g *g)
{
	__u32 at = (first_free + free_count) % conn_count;
	struct regs r = at_probe(g, &conn_type, &places_of_pool[at], NULL);

	if (wait_conn.first < wait_conn.end) {
		struct g *to = wait_conn.g[wait_conn.first++];
		struct sudog waiting = {to};

		r = at_probe(g, &pool, &waiting, NULL);
		go_send(&r);
		to->conn = g->conn;
		to->waits = false;
		return;
	}
	go_put(&r);
	free_conns[at] = g->conn;
	free_count++;
}

static void write_call(struct g *g)
{
	struct current cur = {.key = key_of(g), .parent = g->parent};
	struct conn *c = conn_at(conn_sk(g));
	struct data_event e = {.ts = now};

	call_written(context_of(g), c, &cur, &target, &e);
	if (e.evidence && told_count < 8 * MOST) /* as internal/event takes it from the bytes */
		told[told_count++] = (struct evidence_event){
			.what = e.evidence, .ts = e.ts, .call = c->turn, .epoch = e.epoch};
	calls_made[call_count].turn = c->turn;
	calls_made[call_count].truth = g->serves;
	calls_made[call_count++].start = now;
	g->sleeps_until = now + any(4000);
}

static void read_response(struct g *g)
{
	struct context_key key = key_of(g);

	response_read(context_of(g), conn_at(conn_sk(g)), conn_sk(g), context_id(&key), now);
}

/* Returns whether it was the last step of a call. */
static bool call(struct g *g)
{
	static void (*const steps[])(struct g *) = {get_conn, write_call, read_response, put_conn};

	tick();
	steps[g->of_call](g);
	g->of_call = (g->of_call + 1) % 4;
	return !g->of_call;
}

/* It joins, or leaves, and is seen before. */
static void add_to(struct g *g, struct wg *group, __s64 n)
{
	struct regs r = at_probe(g, group, (void *)n, NULL);

	tick();
	go_group(&r);
	group->state += (__u64)n << 32;
}

static void joins(struct g *g)
{
	if (in_groups)
		add_to(g, g->group, 1);
}

/* A worker, or a child, has done what a handler wanted. */
static void leaves(struct g *g, struct g *handler)
{
	if (in_groups)
		add_to(g, handler->group, -1);
	handler->pending--;
}

static struct g *new_g(enum what what)
{
	struct g *g = &gs[g_count++];

	*g = (struct g){.id = first_id + g_count - 1, .what = what};
	return g;
}

static void create_child(struct g *g)
{
	struct g *child = new_g(CHILD);
	struct regs r = at_probe(g, NULL, child, NULL);

	child->parent = g->id;
	child->serves = g->serves;
	child->works_for = g;
	child->calls = child_calls;
	g->pending++;
	joins(g);
	go_new(&r);
}

static void take_on(struct g *worker, struct g *for_whom)
{
	worker->tasks[worker->task_count++] = for_whom;
	worker->waits = for_whom->waits = false;
}

static void give_job(struct g *g)
{
	struct sudog waiting;
	struct regs r;

	g->pending++;
	joins(g);
	if (wait_job.first == wait_job.end) {
		wait_worker.g[wait_worker.end++] = g;
		g->waits = true;
		return;
	}
	waiting.g = wait_job.g[wait_job.first++];
	r = at_probe(g, &jobs, &waiting, NULL);
	go_send(&r);
	take_on(waiting.g, g);
}

static void get_job(struct g *g)
{
	struct sudog waiting;
	struct regs r;

	if (wait_worker.first == wait_worker.end) {
		if (g->task_count)
			return; /* it does not wait for more */
		wait_job.g[wait_job.end++] = g;
		g->waits = true;
		return;
	}
	waiting.g = wait_worker.g[wait_worker.first++];
	r = at_probe(g, &jobs, &waiting, &waiting);
	go_recv(&r);
	take_on(g, waiting.g);
}

/* In memory that others have had before. */
static struct wg *free_group(void)
{
	struct wg *group;

	do
		group = &groups[any(64)];
	while (group->state);
	group->state = 1; /* not to be had, and nobody is in it */
	return group;
}

static void read_request(struct g *g)
{
	struct conn *c = conn_at(g->sk);
	struct data_event e = {.ts = now, .len = 100};

	if (request_count >= request_limit) {
		g->ended = true;
		return;
	}
	request_read(context_of(g), c, &target, g->sk, &e);
	g->serves = c->turn;
	g->group = one_for_all ? &everybody : free_group();
	g->request = request_count;
	requests[request_count].turn = c->turn;
	requests[request_count].end = 0;
	requests[request_count++].start = now;
	g->next = 1;
}

static void respond(struct g *g)
{
	struct current cur = {.key = key_of(g)};

	response_written(context_of(g), conn_at(g->sk), &cur, now);
	if (!one_for_all)
		g->group->state = 0;
	requests[g->request].end = now;
	g->next = 0;
	g->sleeps_until = now + any(any(4) ? 500 : 20000);
}

static void handler_step(struct g *g)
{
	if (!g->next) {
		read_request(g);
		return;
	}
	switch (handler_does[g->next - 1]) {
	case 'o':
		g->next += call(g);
		return;
	case 'c':
		g->next++;
		create_child(g);
		return;
	case 'j':
		g->next++;
		give_job(g);
		return;
	case 'w':
		g->next += !g->pending;
		return;
	default:
		if (!g->pending)
			respond(g);
	}
}

/* It takes its tasks, makes the calls of each, and is done with them in any order. */
static void worker_step(struct g *g)
{
	if (g->task_count < batch && g->next < batch) {
		g->next++;
		get_job(g);
		return;
	}
	g->next = batch;
	if (g->task < g->task_count) {
		g->serves = g->tasks[g->task]->serves;
		if (call(g) && ++g->calls == worker_calls) {
			g->calls = 0;
			g->task++;
		}
		return;
	}
	if (g->task_count) {
		__u32 done = any(g->task_count);

		leaves(g, g->tasks[done]);
		g->tasks[done] = g->tasks[--g->task_count];
	}
	g->task = g->task_count;
	if (!g->task_count)
		g->task = g->next = 0;
}

static void step(struct g *g)
{
	tick();
	switch (g->what) {
	case HANDLER:
		handler_step(g);
		return;
	case CHILD:
		if (call(g) && !--g->calls) {
			leaves(g, g->works_for);
			g->ended = true;
		}
		return;
	case WORKER:
		worker_step(g);
		return;
	case BACKGROUND:
		if (call(g))
			g->sleeps_until = now + any(6000);
	}
}

/* One that can go on; mostly the same for a while. */
static struct g *schedule(struct g *last, __u32 slice)
{
	__u32 tries;

	if (any(slice) && !last->waits && !last->ended && last->sleeps_until <= now)
		return last;
	for (tries = 0;; tries++) {
		struct g *g = &gs[any(g_count)];

		if (!g->waits && !g->ended && g->sleeps_until <= now)
			return g;
		if (tries > 20)
			now += 100;
	}
}

/* See tasks, receiver/ebpfspanreceiver/internal/causality. */
static bool went_to(__u64 segment, __u64 turn)
{
	bool went = false;

	for (__u32 i = 0; i < told_count; i++) {
		if (!segment || told[i].what != EVIDENCE_CHANNEL_BACK || told[i].segment != segment)
			continue;
		if (told[i].epoch != turn)
			return false;
		went = true;
	}
	return went;
}

#define RANKS 4
/* What is used where it has proven itself has the last one. */
#define PROVEN_RANK 3

/* Its rank, or RANKS for what says nothing of this call: as rules, ranks and requests do there. */
static __u32 rank_of(const struct evidence_event *e, __u64 start)
{
	__u32 i, rank;

	switch (e->what) {
	case EVIDENCE_SAME_THREAD:
	case EVIDENCE_CHANNEL_BACK:
		rank = 0;
		break;
	case EVIDENCE_CHANNEL:
	case EVIDENCE_TASK_BACK:
		rank = 1;
		break;
	case EVIDENCE_GO_CREATED:
		rank = 2;
		break;
	case EVIDENCE_CHANNEL_DIALED:
		rank = PROVEN_RANK;
		break;
	default:
		return RANKS;
	}
	for (i = 0; i < request_count && requests[i].turn != e->epoch; i++)
		;
	if (i == request_count || start < requests[i].start || (requests[i].end && start > requests[i].end))
		return RANKS;
	if (e->what == EVIDENCE_CHANNEL_BACK && e->segment && !went_to(e->segment, e->epoch))
		return RANKS;
	if ((e->uses > 1 && !went_to(e->segment, e->epoch)) || (e->base_uses > 1 && !went_to(e->base, e->epoch)))
		return RANKS;
	return rank;
}

/* The request to which evidence of so many ranks links a call, or 0. */
static __u64 linked_within(__u32 nr, __u32 ranks)
{
	__u64 named[RANKS + 1] = {};
	bool many[RANKS + 1] = {};

	for (__u32 i = 0; i < told_count; i++) {
		const struct evidence_event *e = &told[i];
		__u32 rank;

		if (e->call != calls_made[nr].turn)
			continue;
		rank = rank_of(e, calls_made[nr].start);
		many[rank] |= named[rank] && named[rank] != e->epoch;
		named[rank] = e->epoch;
	}
	for (__u32 rank = 0; rank < ranks; rank++)
		if (named[rank])
			return many[rank] ? 0 : named[rank];
	return 0;
}

static __u64 linked_to(__u32 nr) { return linked_within(nr, PROVEN_RANK); }

/* A program begins, with handlers of connections from sk on. */
static void run_program(__u32 handlers, __u64 sk)
{
	__u32 tgid = TGID, i;

	target.program++;
	bpf_map_update_elem(&targets, &tgid, &target, BPF_ANY);
	wait_conn.first = wait_conn.end = wait_job.first = wait_job.end = wait_worker.first = wait_worker.end = 0;
	first_free = 0;
	free_count = conn_count;
	for (i = 0; i < conn_count; i++) {
		free_conns[i] = i;
		add_conn(1000 + i, ROLE_CLIENT, DIR_NONE);
	}
	for (i = 0; i < handlers; i++) {
		struct g *g = new_g(HANDLER);

		g->sk = sk + i;
		g->sleeps_until = now + any(80000);
		add_conn(g->sk, ROLE_SERVER, DIR_NONE);
	}
	for (i = 0; i < 2 * conn_count; i++)
		new_g(WORKER);
	new_g(BACKGROUND);
}

/*
 * The process executes another program while it serves requests, whose connections it keeps. Ids begin at 1 again: of
 * each there is a goroutine which makes a call for nobody, on a connection of its own.
 */
static void execute(__u32 handlers)
{
	__u32 ids = g_count < MOST_IDS ? g_count : MOST_IDS, i;

	g_count = 0;
	first_id += ids;
	memset(groups, 0, sizeof(groups));
	everybody.state = 0;
	request_limit = request_count + handlers;
	run_program(handlers, 3000);
	for (i = 0; i < ids; i++) {
		struct g g = {.id = first_id - 1 - i, .what = BACKGROUND, .conn = conn_count + i};

		add_conn(conn_sk(&g), ROLE_CLIENT, DIR_NONE);
		tick();
		write_call(&g);
	}
}

/* Nothing has happened yet. */
static void begin_anew(__u64 seed)
{
	state = 88172645463325252UL ^ (seed * 0x9e3779b97f4a7c15UL);
	for (__u32 i = 0; i < 10; i++)
		any(2);
	clear_maps();
	told_count = call_count = request_count = g_count = 0;
	now = 1000000;
}

static void begin(__u64 seed)
{
	begin_anew(seed);
	first_id = 101;
	target.program = 0;

	handler_does = eager ? eager_shapes[any(COUNT(eager_shapes))] : shapes[any(COUNT(shapes))];
	worker_calls = 1 + any(3);
	child_calls = 1 + any(2);
	handler_count = any(3) ? 1 + any(16) : 1 + any(2);
	conn_count = 1 + any(any(2) ? 4 : 1 + handler_count / 2);
	request_limit = handler_count * (2 + any(6));
	in_groups = any(3);
	one_for_all = !any(4);
	batch = any(4) ? 1 : BATCH;
	memset(groups, 0, sizeof(groups));
	everybody.state = 0;

	pool = (struct hchan){.size = conn_count, .buf = (__u64)places_of_pool, .elemsize = 8,
			      .rest = {(__u64)&conn_type}};
	jobs = (struct hchan){.elemsize = 16, .rest = {(__u64)&job_type}};
	run_program(handler_count, 2000);
}

static bool all_answered(void)
{
	for (__u32 i = 0; i < g_count && gs[i].what == HANDLER; i++)
		if (!gs[i].ended)
			return false;
	return true;
}

#include "shared.h"
#include "groups.h"
#include "stages.h"

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "shared"))
		return shared_main(atol(argv[2]), atol(argv[3]));
	if (argc > 3 && !strcmp(argv[1], "groups"))
		return groups_main(atol(argv[2]), atol(argv[3]));
	if (argc > 3 && !strcmp(argv[1], "stages"))
		return stages_main(atol(argv[2]), atol(argv[3]));

	eager = argc > 3 && !strcmp(argv[1], "eager");
	argc -= eager;
	argv += eager;

	__u64 first = argc > 1 ? atol(argv[1]) : 1, seeds = argc > 2 ? atol(argv[2]) : 100;
	__u64 all = 0, linked = 0, wrong = 0; /* all: that are of a request */

	for (__u64 seed = first; seed < first + seeds; seed++) {
		struct g *g = gs;
		__u32 slice, steps = 0;

		begin(seed);
		slice = 1 + any(30);
		while (!all_answered() && call_count < MOST - 1 && g_count < MOST - 1 &&
		       wait_conn.end < MOST - 1) {
			if (seed % 4 == 0 && ++steps == 100 + seed % 100)
				execute(handler_count), g = gs;
			g = schedule(g, slice);
			step(g);
		}
		for (__u32 i = 0; i < call_count; i++) {
			__u64 to = linked_to(i);

			all += calls_made[i].truth != 0;
			linked += to != 0;
			if (!to || to == calls_made[i].truth)
				continue;
			wrong++;
			printf("seed %llu, handlers do %s, %u connections, batches of %u, groups %d%d: call %u of request %llx was linked to %llx\n",
			       seed, handler_does, conn_count, batch, in_groups, one_for_all, i, calls_made[i].truth, to);
		}
	}
	printf("calls=%llu linked=%llu wrong=%llu\n", all, linked, wrong);
	return wrong != 0;
}
