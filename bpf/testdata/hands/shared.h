/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client that shares a connection: handlers, and background work, give tasks to a writer, which sends several in one
 * write; a reader takes the responses, several in one read, and gives them to who waits. Of what the programs tell,
 * what user space would conclude where it believes the reader is compared with the truth: in no order may a reader that
 * has another way to do it look like one that gives each response to its task.
 */
#ifndef SHARED_H
#define SHARED_H

#define MOST_OWNERS 24
#define MOST_TASKS 4096
#define RING 64

enum way {
	IN_ORDER,   /* the writer passes each task on when it has taken it */
	TOGETHER,   /* all of them, before it writes: it may have sorted them */
	BATCHES,    /* as one; the reader goes through them as they were taken, when all responses are there */
	PRIORITIES, /* one by one; the reader takes all there are, and goes through what it has read by priority */
	WAYS,
};

struct task {
	__u32 owner, key, batch;
	__u64 truth; /* the request */
	__u64 start;
	__u32 read, place; /* of which read its response was, and which of it */
	bool dropped, gave_up;
};

/* A buffer of a channel, with what is in it. */
struct ring {
	__u64 places[RING];
	__u32 what[RING];
	__u32 first, end;
	struct hchan chan;
	bool waits; /* somebody, to take */
};

enum owner_does { ASKS, WAITS, TAKES, RESTS };

static struct {
	enum way way;
	bool sorts, drops, give_up, splits, buffered;
	struct g owners[MOST_OWNERS], writer, reader;
	enum owner_does does[MOST_OWNERS];
	bool background[MOST_OWNERS], answered[MOST_OWNERS];
	__u64 done[MOST_OWNERS]; /* places of buffers of one */
	__u32 mine[MOST_OWNERS]; /* task */
	__u32 owner_count, rounds;
	struct ring queue, sent;
	struct task tasks[MOST_TASKS];
	__u32 task_count, batches;
	__u32 taken[RING], taken_count; /* by the writer */
	__u32 wire[MOST_TASKS], wire_count, answerable, read_count; /* in the order of the connection */
	__u32 reading;                                              /* number of the last read */
	__u64 read_at[MOST_TASKS];
	__u32 in_read[MOST_TASKS];
	__u32 given_count;  /* of wire: what the reader is done with */
	__u32 held[RING], held_count;
	__u32 blocked_on;   /* owner for whom the reader waits, + 1 */
} sh;

static const struct go_type task_type = {8, 8}, result_type = {16, 16}, batch_type = {24, 24};

static struct g *shared_g(struct g *g, __u64 id)
{
	*g = (struct g){.id = id};
	return g;
}

static void ring_put(struct ring *r, struct g *from, struct g *to, __u32 what, const struct go_type *type)
{
	struct sudog waiting = {to};
	struct regs regs;

	tick();
	if (r->waits && r->first == r->end) {
		r->waits = false;
		regs = at_probe(from, &r->chan, &waiting, NULL);
		go_send(&regs);
		r->what[r->end++ % RING] = what | 1U << 31; /* it is there already */
		return;
	}
	regs = at_probe(from, type, &r->places[r->end % RING], NULL);
	go_put(&regs);
	r->what[r->end++ % RING] = what;
}

/* Returns false, and is waited for, if it is empty. */
static bool ring_take(struct ring *r, struct g *to, const struct go_type *type, __u32 *what)
{
	struct regs regs;
	__u32 at = r->first % RING;

	tick();
	if (r->first == r->end) {
		r->waits = true;
		return false;
	}
	if (!(r->what[at] >> 31)) {
		regs = at_probe(to, type, NULL, &r->places[at]);
		go_take(&regs);
	}
	*what = r->what[at] & ~(1U << 31);
	r->first++;
	return true;
}

static const __u64 shared_sk = 1000, owners_sk = 5000;

static __u32 new_task(__u32 owner)
{
	sh.tasks[sh.task_count] = (struct task){
		.owner = owner, .key = any(1000), .truth = sh.owners[owner].serves,
		.gave_up = sh.give_up && !any(8)};
	return sh.task_count++;
}

static void owner_step(__u32 i)
{
	struct g *g = &sh.owners[i];
	struct current cur = {.key = key_of(g)};
	struct data_event e = {.ts = now, .len = 100};
	struct regs r;

	switch (sh.does[i]) {
	case RESTS:
		if (any(4) || sh.task_count >= MOST_TASKS - 1 || !sh.rounds)
			return;
		sh.rounds--;
		if (!sh.background[i]) {
			request_read(context_of(g), conn_at(g->sk), &target, g->sk, &e);
			g->serves = conn_at(g->sk)->turn;
		}
		sh.does[i] = ASKS;
		return;
	case ASKS:
		if (sh.queue.end - sh.queue.first >= RING - 1)
			return;
		sh.mine[i] = new_task(i);
		sh.answered[i] = false;
		ring_put(&sh.queue, g, &sh.writer, sh.mine[i], &task_type);
		sh.does[i] = any(2) ? WAITS : TAKES; /* it may come to wait later than the response */
		return;
	case TAKES:
		if (!any(3))
			sh.does[i] = WAITS;
		if (sh.does[i] == WAITS && sh.blocked_on == i + 1) {
			struct sudog waiting = {&sh.reader};
			struct hchan chan = {.elemsize = 16, .rest = {(__u64)&result_type}};

			r = at_probe(g, &chan, &waiting, &waiting);
			go_recv(&r);
			sh.blocked_on = 0;
			sh.answered[i] = true;
		} else if (sh.does[i] == WAITS && sh.answered[i]) {
			r = at_probe(g, &result_type, NULL, &sh.done[i]);
			go_take(&r);
		}
		return;
	case WAITS:
		if (sh.blocked_on == i + 1 || !(sh.answered[i] || sh.tasks[sh.mine[i]].gave_up))
			return;
		if (!sh.background[i])
			response_written(context_of(g), conn_at(g->sk), &cur, now);
		sh.does[i] = RESTS;
	}
}

/* To who waits for it. Returns false if somebody has to come first. */
static void give_result(struct g *from, __u32 task)
{
	__u32 i = sh.tasks[task].owner;
	struct hchan chan = {.elemsize = 16, .rest = {(__u64)&result_type}};
	struct sudog waiting = {&sh.owners[i]};
	struct regs r;

	tick();
	if (sh.tasks[task].gave_up)
		return;
	if (sh.does[i] == WAITS) {
		r = at_probe(from, &chan, &waiting, NULL);
		go_send(&r);
		sh.answered[i] = true;
	} else if (sh.buffered || from != &sh.reader) {
		r = at_probe(from, &result_type, &sh.done[i], NULL);
		go_put(&r);
		sh.answered[i] = true;
	} else {
		sh.blocked_on = i + 1;
	}
}

static void write_batch(void)
{
	struct current cur = {.key = key_of(&sh.writer)};
	__u32 i, j, first = sh.wire_count;

	sh.batches++;
	for (i = 0; i < sh.taken_count; i++) {
		struct task *t = &sh.tasks[sh.taken[i]];

		t->batch = sh.batches;
		if (t->dropped)
			continue;
		sh.wire[sh.wire_count++] = sh.taken[i];
		for (j = sh.wire_count - 1; sh.sorts && j > first && sh.tasks[sh.wire[j - 1]].key > t->key; j--) {
			sh.wire[j] = sh.wire[j - 1];
			sh.wire[j - 1] = sh.taken[i];
		}
	}
	if (sh.way == BATCHES && first < sh.wire_count)
		ring_put(&sh.sent, &sh.writer, &sh.reader, sh.taken[0], &batch_type);
	for (i = first; i < sh.wire_count; i++) {
		struct data_event e = {.ts = now};

		if (sh.way == TOGETHER || sh.way == PRIORITIES)
			ring_put(&sh.sent, &sh.writer, &sh.reader, sh.wire[i], &task_type);
		if (i == first || (sh.splits && any(2))) {
			tick();
			call_written(context_of(&sh.writer), conn_at(shared_sk), &cur, &target, &e);
		}
		sh.tasks[sh.wire[i]].start = now;
	}
	sh.taken_count = 0;
}

static void writer_step(void)
{
	__u32 task;

	if (sh.taken_count && (sh.taken_count >= 8 || sh.queue.first == sh.queue.end || !any(6))) {
		write_batch();
		return;
	}
	if (sh.queue.waits || sh.sent.end - sh.sent.first >= RING - 10 ||
	    !ring_take(&sh.queue, &sh.writer, &task_type, &task))
		return;
	if (sh.drops && !any(4)) { /* it knows the answer */
		sh.tasks[task].dropped = true;
		give_result(&sh.writer, task);
		return;
	}
	sh.taken[sh.taken_count++] = task;
	if (sh.way == IN_ORDER)
		ring_put(&sh.sent, &sh.writer, &sh.reader, task, &task_type);
}

/* As current_reader (socket.bpf.c) has it. */
static void awaits(void)
{
	struct context_key key = key_of(&sh.reader);

	if (awaits_for_others(conn_at(shared_sk), context_id(&key)))
		context_of(&sh.reader)->reader = 1;
}

static bool read_some(void)
{
	struct context_key key = key_of(&sh.reader);
	__u32 i, n;

	awaits();
	if (sh.read_count == sh.answerable)
		return false;
	n = 1 + any(sh.answerable - sh.read_count);
	tick();
	sh.reading++;
	sh.read_at[sh.reading] = now;
	sh.in_read[sh.reading] = n;
	for (i = 0; i < n; i++) {
		sh.tasks[sh.wire[sh.read_count]].read = sh.reading;
		sh.tasks[sh.wire[sh.read_count++]].place = i + 1;
	}
	response_read(context_of(&sh.reader), conn_at(shared_sk), shared_sk, context_id(&key), now);
	return true;
}

/* The reader has the response of wire[given_count], and the task. */
static void reader_in_order(void)
{
	__u32 task;

	if (!sh.held_count) {
		if (sh.sent.waits || !ring_take(&sh.sent, &sh.reader, &task_type, &task))
			return;
		sh.held[sh.held_count++] = task;
	}
	if (sh.read_count == sh.given_count && !read_some())
		return;
	give_result(&sh.reader, sh.wire[sh.given_count++]);
	sh.held_count = 0;
}

static void reader_of_batches(void)
{
	__u32 task, i;

	if (!sh.held_count) {
		if (sh.sent.waits || !ring_take(&sh.sent, &sh.reader, &batch_type, &task))
			return;
		for (i = 0; i < sh.task_count; i++)
			if (sh.tasks[i].batch == sh.tasks[task].batch && !sh.tasks[i].dropped)
				sh.held[sh.held_count++] = i; /* by their making, which is not the order of the writer */
	}
	if (sh.read_count < sh.given_count + sh.held_count) {
		read_some();
		return;
	}
	for (i = 0; i < sh.held_count; i++) {
		sh.buffered = true;
		give_result(&sh.reader, sh.held[i]);
	}
	sh.given_count += sh.held_count;
	sh.held_count = 0;
}

static void reader_by_priority(void)
{
	__u32 task, i, j, most;

	while (sh.sent.first != sh.sent.end && sh.held_count < RING && ring_take(&sh.sent, &sh.reader, &task_type, &task))
		sh.held[sh.held_count++] = task;
	if (sh.read_count == sh.given_count && !read_some())
		return;
	if (sh.held_count < sh.read_count - sh.given_count)
		return;
	for (i = sh.given_count; i < sh.read_count; i++) {
		most = i;
		for (j = i; j < sh.read_count; j++)
			if (sh.tasks[sh.wire[j]].key > sh.tasks[sh.wire[most]].key)
				most = j;
		task = sh.wire[most];
		sh.wire[most] = sh.wire[i];
		sh.wire[i] = task;
		sh.buffered = true;
		give_result(&sh.reader, task);
	}
	sh.held_count -= sh.read_count - sh.given_count;
	sh.given_count = sh.read_count;
}

static void shared_begin(__u64 seed)
{
	__u32 tgid = TGID, i;

	begin(seed);
	clear_maps();
	told_count = 0;
	target.program = 1;
	bpf_map_update_elem(&targets, &tgid, &target, BPF_ANY);
	memset(&sh, 0, sizeof(sh));
	sh.way = any(WAYS);
	sh.sorts = sh.way != IN_ORDER && any(2);
	sh.drops = !any(3);
	sh.give_up = !any(3);
	sh.splits = any(2);
	sh.buffered = any(2) || sh.give_up;
	sh.owner_count = 2 + any(MOST_OWNERS - 2);
	sh.rounds = 40 * sh.owner_count;
	sh.queue.chan = (struct hchan){.size = RING, .elemsize = 8, .rest = {(__u64)&task_type}};
	sh.sent.chan = sh.queue.chan;
	if (sh.way == BATCHES)
		sh.sent.chan.rest[0] = (__u64)&batch_type;
	shared_g(&sh.writer, 11);
	shared_g(&sh.reader, 12);
	add_conn(shared_sk, ROLE_CLIENT, DIR_NONE);
	for (i = 0; i < sh.owner_count; i++) {
		shared_g(&sh.owners[i], 101 + i);
		sh.owners[i].sk = owners_sk + i;
		sh.background[i] = !any(5);
		sh.does[i] = RESTS;
		add_conn(owners_sk + i, ROLE_SERVER, DIR_NONE);
	}
}

static void shared_run(void)
{
	static void (*const readers[])(void) = {reader_in_order, reader_in_order, reader_of_batches, reader_by_priority};

	for (__u32 step = 0; step < 40000; step++) {
		__u32 who = any(sh.owner_count + 6);

		now += 64 + any(200);
		if (who < sh.owner_count)
			owner_step(who);
		else if (who < sh.owner_count + 2)
			writer_step();
		else if (who < sh.owner_count + 5 && !sh.blocked_on)
			readers[sh.way]();
		else if (sh.answerable < sh.wire_count)
			sh.answerable += 1 + any(sh.wire_count - sh.answerable);
		if (told_count > 8 * MOST - 100)
			return;
	}
}

/* What was told of a read. */
#define MOST_GIVEN 64
static struct reading {
	__u32 given;
	__u8 taken[MOST_GIVEN];
	__u64 epochs[MOST_GIVEN], tasks[MOST_GIVEN];
} readings[MOST_TASKS];

static struct reading *reading_of(__u64 segment)
{
	__u64 at = (segment ^ sh.reader.id) >> 32;
	__u32 low = 1, high = sh.reading;

	while (low < high) {
		__u32 middle = (low + high) / 2;

		if (sh.read_at[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return sh.read_at[low] == at ? &readings[low] : NULL;
}

static void collect(void)
{
	memset(readings, 0, sizeof(readings));
	for (__u32 i = 0; i < told_count; i++) {
		const struct evidence_event *e = &told[i];
		struct reading *r = e->what == EVIDENCE_RESPONSE_BACK ? reading_of(e->segment) : NULL;
		__u32 n = e->uses;

		if (!r)
			continue;
		r->given = n > r->given ? n : r->given;
		n %= MOST_GIVEN;
		r->taken[n] = e->base_uses;
		r->epochs[n] = e->epoch ? e->epoch : r->epochs[n];
		r->tasks[n] = e->base ? e->base : r->tasks[n];
	}
}

/* See readings, receiver/ebpfspanreceiver/internal/causality: 0 if it says nothing of the call. */
#define IN_STEP 8
static __u64 response_to(const struct task *t)
{
	const struct reading *r = &readings[t->read];
	__u32 i;

	for (i = 0; i < IN_STEP && i < t->read; i++)
		if (r[-(int)i].given != sh.in_read[t->read - i])
			return 0;
	for (i = 1; i <= r->given; i++)
		if (i >= MOST_GIVEN || r->taken[i] != 1 || (r->epochs[i] && r->epochs[i] != r->tasks[i]))
			return 0;
	return r->epochs[t->place];
}

static int shared_main(__u64 first, __u64 seeds)
{
	static const char *const names[] = {"in order", "together", "batches", "priorities"};
	__u64 all[2 * WAYS] = {}, linked[2 * WAYS] = {}, wrong = 0;

	for (__u64 seed = first; seed < first + seeds; seed++) {
		shared_begin(seed);
		shared_run();
		collect();
		for (__u32 i = 0; i < sh.task_count; i++) {
			const struct task *t = &sh.tasks[i];
			__u64 to = t->read ? response_to(t) : 0;

			if (!t->read)
				continue;
			all[sh.way + sh.give_up * WAYS] += t->truth != 0;
			linked[sh.way + sh.give_up * WAYS] += to != 0;
			if (!to || to == t->truth)
				continue;
			wrong++;
			printf("seed %llu, %s, sorts %d, drops %d, gives up %d, buffered %d: task %u of request %llx was linked to %llx\n",
			       seed, names[sh.way], sh.sorts, sh.drops, sh.give_up, sh.buffered, i, t->truth, to);
		}
	}
	for (__u32 way = 0; way < 2 * WAYS; way++)
		printf("%s%s: calls=%llu linked=%llu\n", names[way % WAYS], way < WAYS ? "" : ", some give up", all[way],
		       linked[way]);
	return wrong != 0;
}

#endif
