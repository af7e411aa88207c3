/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Goroutines that add to groups (sync.WaitGroup), and others that are done in them, some of whose memory cannot be read
 * at that moment: it is fresh, and nobody is in it, or it was paged out. What is remembered of a group when somebody is
 * done in it is compared with the truth: whose alone it is, since nobody was in it. What is not remembered is counted.
 */
#ifndef GROUPS_H
#define GROUPS_H

#define ADDERS 3
#define GROUPS 6

enum memory {
	RESIDENT,
	FRESH,     /* until somebody has joined */
	PAGED_OUT, /* at any time, some */
	MEMORIES,
};

static struct wg some_groups[GROUPS];

static struct {
	bool written; /* it has memory */
	__u64 alone;  /* the request whose alone it is, or 0 */
	__u64 lost;   /* losses when nobody was in it */
} truth_of[GROUPS];

static __u64 goroutines_lost(void)
{
	__u32 reason = LOSS_GOROUTINE;

	return *(__u64 *)bpf_map_lookup_elem(&losses, &reason);
}

static void next_request(struct g *g)
{
	struct conn *c = conn_at(g->sk);
	struct data_event e = {.ts = now, .len = 100};

	c->last_dir = DIR_OUT;
	request_read(context_of(g), c, &target, g->sk, &e);
	g->serves = c->turn;
}

static void groups_begin(__u64 seed)
{
	__u32 tgid = TGID;

	state = 88172645463325252UL ^ (seed * 0x9e3779b97f4a7c15UL);
	clear_maps();
	told_count = g_count = 0;
	first_id = 101;
	target.program = 1;
	bpf_map_update_elem(&targets, &tgid, &target, BPF_ANY);
	now = 1000000;
	memset(some_groups, 0, sizeof(some_groups));
	memset(truth_of, 0, sizeof(truth_of));
	for (__u32 i = 0; i < ADDERS; i++) {
		struct g *g = new_g(HANDLER);

		g->sk = 5000 + i;
		add_conn(g->sk, ROLE_SERVER, DIR_OUT);
	}
	new_g(BACKGROUND); /* adds as well */
}

/* Whose alone the group is, as it is remembered. told: no other is in its place. */
static __u64 remembered(const struct wg *group, bool *told)
{
	__u64 epoch = 0, unread = 0;
	struct wait_group *w;
	struct place p;

	place_of(TGID, &target, (__u64)group, &p);
	w = wait_group_of(&p);
	*told = !w->addr || w->addr == p.addr;
	return wait_group_known(w, &p, &epoch, &unread) && !unread ? epoch : 0;
}

static int groups_main(__u64 first, __u64 seeds)
{
	static const char *const names[] = {"resident", "fresh", "paged out"};
	__u64 alone[MEMORIES] = {}, known[MEMORIES] = {}, wrong = 0;

	for (__u64 seed = first; seed < first + seeds; seed++) {
		enum memory memory = seed % MEMORIES;

		groups_begin(seed);
		for (__u32 steps = 0; steps < 300; steps++) {
			struct g *g = &gs[any(ADDERS + 1)];
			__u32 i = any(GROUPS);
			struct wg *group = &some_groups[i];
			__u32 in = group->state >> 32;
			bool joins = !in || !any(4), told, unread;
			__u64 is;

			tick();
			if (g->what == HANDLER && (!g->serves || !any(20)))
				next_request(g);
			unread = memory == FRESH ? !truth_of[i].written : memory == PAGED_OUT && !any(3);
			if (joins && !in) {
				truth_of[i].alone = g->serves;
				truth_of[i].lost = goroutines_lost();
			} else if (joins && truth_of[i].alone != g->serves) {
				truth_of[i].alone = 0;
			}
			truth_of[i].written = true;
			paged_out = unread ? group : NULL;
			add_to(g, group, joins ? 1 + (__s64)any(3) : -1);
			paged_out = NULL;
			if (!(group->state >> 32) && memory == FRESH && !any(4))
				truth_of[i].written = false; /* given back to the kernel */
			if (joins)
				continue;
			is = remembered(group, &told);
			alone[memory] += truth_of[i].alone && told;
			known[memory] += truth_of[i].alone && is;
			if (is == truth_of[i].alone || (!is && (!told || truth_of[i].lost < goroutines_lost())))
				continue;
			wrong++;
			printf("seed %llu, %s: group %u is of %llx, and is taken for one of %llx\n", seed, names[memory], i,
			       truth_of[i].alone, is);
		}
	}
	for (__u32 i = 0; i < MEMORIES; i++)
		printf("%s: alone=%llu known=%llu\n", names[i], alone[i], known[i]);
	return wrong != 0;
}

#endif
