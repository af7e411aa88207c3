/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two stages of workers with a client that opens connections as net/http does: who finds none that is free has a
 * goroutine open one, which gives it to whoever waits first; that may be another, and who is done with a connection gives
 * it to whoever waits as well. Whatever comes to a worker that way, a task stays a task: of what is linked nothing may be
 * wrong, and no program may lose a stage because a connection was once taken for what a worker works on.
 */
#ifndef STAGES_H
#define STAGES_H

#define MOST_ASKING 24
#define MOST_WORKERS 48
#define MOST_DIALS 4000

/* A buffered channel, and who waits to take from it. */
struct stage {
	__u64 places[RING];
	__u32 what[RING];
	__u32 first, end;
	struct g *waits[MOST_WORKERS];
	__u32 first_waits, end_waits;
	struct hchan chan;
};

static struct {
	struct g asking[MOST_ASKING], workers[MOST_WORKERS], dials[MOST_DIALS];
	__u32 asking_count, worker_count, dial_count, first_dial, rounds, keep;
	struct stage stages[2], done[MOST_ASKING];
	__u32 task[MOST_WORKERS]; /* who asked */
	__u32 idle[MOST_DIALS], idle_count, opened;
	struct g *waits[MOST_WORKERS]; /* for connections, in their order */
	__u32 first_waits, end_waits;
	struct hchan delivery;
} st;

static const struct go_type stage_type = {8, 8}, delivery_type = {24, 24};

static void waits_for(struct g *g, struct g **queue, __u32 *end)
{
	queue[(*end)++ % MOST_WORKERS] = g;
	g->waits = true;
}

static __u32 worker_nr(const struct g *g) { return g - st.workers; }

static void stage_put(struct stage *s, struct g *from, __u32 what)
{
	struct regs r;

	tick();
	if (s->first_waits < s->end_waits) {
		struct g *to = s->waits[s->first_waits++ % MOST_WORKERS];
		struct sudog waiting = {to};

		r = at_probe(from, &s->chan, &waiting, NULL);
		go_send(&r);
		to->waits = false;
		if (to->what == WORKER)
			st.task[worker_nr(to)] = what;
		to->next = 1;
		return;
	}
	r = at_probe(from, &stage_type, &s->places[s->end % RING], NULL);
	go_put(&r);
	s->what[s->end++ % RING] = what;
}

static bool stage_take(struct stage *s, struct g *to, __u32 *what)
{
	struct regs r = at_probe(to, &stage_type, NULL, &s->places[s->first % RING]);

	tick();
	if (s->first == s->end) {
		waits_for(to, s->waits, &s->end_waits);
		return false;
	}
	go_take(&r);
	*what = s->what[s->first++ % RING];
	return true;
}

/* A connection is free: it goes to whoever waits first. */
static void deliver(struct g *from, __u32 conn)
{
	struct sudog waiting;
	struct regs r;

	if (st.first_waits == st.end_waits) {
		if (st.idle_count < st.keep)
			st.idle[st.idle_count++] = conn;
		return; /* else it is closed */
	}
	waiting.g = st.waits[st.first_waits++ % MOST_WORKERS];
	tick();
	r = at_probe(from, &st.delivery, &waiting, NULL);
	go_send(&r);
	waiting.g->conn = conn;
	waiting.g->waits = false;
}

static void dial(struct g *g)
{
	struct g *d = &st.dials[st.dial_count++];
	struct regs r = at_probe(g, NULL, d, NULL);

	*d = (struct g){.id = 10000 + st.dial_count, .parent = g->id, .conn = st.opened++};
	add_conn(conn_sk(d), ROLE_CLIENT, DIR_NONE);
	d->sleeps_until = now + any(3000);
	go_new(&r);
	waits_for(g, st.waits, &st.end_waits);
}

static void dial_step(struct g *d)
{
	d->ended = true;
	context_of(d)->dialer = 1; /* as connect(2) has it */
	deliver(d, d->conn);
}

static void asking_step(__u32 i)
{
	struct g *g = &st.asking[i];
	struct current cur = {.key = key_of(g)};
	struct data_event e = {.ts = now, .len = 100};
	__u32 what;

	switch (g->next) {
	case 0: /* it has its answer, if it had asked */
		if (g->serves) {
			response_written(context_of(g), conn_at(g->sk), &cur, now);
			requests[g->request].end = now;
			g->serves = 0;
		}
		if (!st.rounds) {
			g->ended = true;
			return;
		}
		st.rounds--;
		g->next = 2;
		g->sleeps_until = now + any(any(4) ? 500 : 20000);
		return;
	case 2:
		if (g->sk) {
			request_read(context_of(g), conn_at(g->sk), &target, g->sk, &e);
			g->serves = conn_at(g->sk)->turn;
			g->request = request_count;
			requests[request_count].turn = g->serves;
			requests[request_count].end = 0;
			requests[request_count++].start = now;
		}
		stage_put(&st.stages[0], g, i);
		g->next = 3;
		return;
	case 3:
		if (stage_take(&st.done[i], g, &what))
			g->next = 0;
		return;
	default: /* 1: it was given straight */
		g->next = 0;
	}
}

static void stage_worker_step(struct g *g)
{
	__u32 nr = worker_nr(g), stage = nr % 2;

	switch (g->next) {
	case 0:
		if (stage_take(&st.stages[stage], g, &st.task[nr]))
			g->next = 1;
		return;
	case 1:
		g->serves = st.asking[st.task[nr]].serves;
		g->next = 2;
		if (st.idle_count)
			g->conn = st.idle[--st.idle_count];
		else
			dial(g);
		return;
	case 2:
		g->next = 3;
		write_call(g);
		return;
	case 3:
		g->next = 4;
		read_response(g);
		return;
	case 4:
		g->next = 5;
		deliver(g, g->conn);
		return;
	default:
		g->next = 0;
		if (stage)
			stage_put(&st.done[st.task[nr]], g, st.task[nr]);
		else
			stage_put(&st.stages[1], g, st.task[nr]);
	}
}

static void stages_begin(__u64 seed)
{
	__u32 tgid = TGID, i;

	begin_anew(seed);
	target.program = 1;
	bpf_map_update_elem(&targets, &tgid, &target, BPF_ANY);

	memset(&st, 0, sizeof(st));
	st.asking_count = 2 + any(MOST_ASKING - 2);
	st.worker_count = 2 * (1 + any(MOST_WORKERS / 2));
	st.rounds = st.asking_count * (4 + any(20));
	st.keep = any(4) ? any(8) : MOST_DIALS;
	st.delivery = (struct hchan){.size = 1, .elemsize = 24, .rest = {(__u64)&delivery_type}};
	for (i = 0; i < 2; i++)
		st.stages[i].chan = (struct hchan){.size = RING, .elemsize = 8, .rest = {(__u64)&stage_type}};
	for (i = 0; i < st.asking_count; i++) {
		st.done[i].chan = (struct hchan){.size = 1, .elemsize = 8, .rest = {(__u64)&stage_type}};
		st.asking[i] = (struct g){.id = 100 + i, .sk = 50000 + i};
		add_conn(50000 + i, ROLE_SERVER, DIR_NONE);
	}
	st.asking[0].sk = 0; /* asks for nobody */
	for (i = 0; i < st.worker_count; i++)
		st.workers[i] = (struct g){.id = 1000 + i, .what = WORKER};
}

static bool can_go_on(const struct g *g) { return !g->waits && !g->ended && g->sleeps_until <= now; }

static void stages_run(void)
{
	__u32 i, idle = 0;

	while (idle < 2000 && call_count < MOST - 1 && st.dial_count < MOST_DIALS - 1) {
		__u32 all = st.asking_count + st.worker_count;

		idle++;
		tick();
		while (st.first_dial < st.dial_count && st.dials[st.first_dial].ended)
			st.first_dial++;
		i = any(all + st.dial_count - st.first_dial);
		if (i < st.asking_count) {
			if (!can_go_on(&st.asking[i]))
				continue;
			asking_step(i);
		} else if (i < all) {
			if (!can_go_on(&st.workers[i - st.asking_count]))
				continue;
			stage_worker_step(&st.workers[i - st.asking_count]);
		} else {
			if (!can_go_on(&st.dials[st.first_dial + i - all]))
				continue;
			dial_step(&st.dials[st.first_dial + i - all]);
		}
		idle = 0;
	}
}

/* Of the second half of the calls of a program, when nothing is on probation any more. */
struct late {
	__u64 calls, linked, proven, programs, lost;
};

static int stages_main(__u64 first, __u64 seeds)
{
	static const char *const names[] = {"closed", "kept"};
	struct late late[2] = {};
	__u64 wrong = 0, guesses = 0, right = 0;

	for (__u64 seed = first; seed < first + seeds; seed++) {
		struct late one = {.programs = 1}, *all;

		stages_begin(seed);
		stages_run();
		for (__u32 i = 0; i < call_count; i++) {
			__u64 to = linked_to(i), truth = calls_made[i].truth, guess = linked_within(i, RANKS);

			if (truth && i >= call_count / 2) {
				one.calls++;
				one.linked += to != 0;
				one.proven += guess != 0;
			}
			if (!to && guess) {
				guesses++;
				right += guess == truth;
			}
			if (!to || to == truth)
				continue;
			wrong++;
			printf("seed %llu, %u workers keep %u connections: call %u of request %llx was linked to %llx\n", seed,
			       st.worker_count, st.keep, i, truth, to);
		}
		one.lost = one.linked * 10 < one.calls * 7;
		all = &late[st.keep == MOST_DIALS];
		all->calls += one.calls;
		all->linked += one.linked;
		all->proven += one.proven;
		all->programs += one.programs;
		all->lost += one.lost;
	}
	for (__u32 i = 0; i < 2; i++)
		printf("%s: calls=%llu linked=%llu proven=%llu programs=%llu lost=%llu\n", names[i], late[i].calls,
		       late[i].linked, late[i].proven, late[i].programs, late[i].lost);
	printf("dialed: guesses=%llu right=%llu\n", guesses, right);
	return wrong != 0;
}

#endif
