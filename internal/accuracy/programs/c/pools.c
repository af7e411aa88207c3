// SPDX-License-Identifier: Apache-2.0
/*
 * A server whose calls are made by the threads of a pool, each on a connection of its own.
 * Arguments: shape, address of the backend, size of the pool. It prints its address, and ends with its
 * standard input.
 */
#include "blocking.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static const struct shape {
	const char *name;
	/* The tasks of a request, in order: c calls, n does not, s is a call of which the connection's thread
	 * makes sure that it ends before it waits. Alternating: every second request has those after a bar. */
	const char *tasks;
	bool at_once; /* all are given before the first is waited for */
	bool shared;  /* everybody waits at one place, and looks whether it was meant */
	bool locked;  /* workers, connections and the background take a lock that parks who waits */
	int hops;     /* pools that a task goes through */
	bool nested;  /* those before the last wait for it */
	bool forget;  /* nobody waits for what the background leaves to the pool */
	bool awaited; /* after its tasks a request waits for what another thread calls for now and then */
	enum { THREADS, LOOP, LOOP_EVENT } server;
} shapes[] = {
	{"wait", "c"},
	{"two-in-turn", "cc"},
	{"chain", "c", .hops = 1},
	{"nested", "c", .hops = 1, .nested = true},
	{"mixed", "c|n"},
	{"mixed-turn", "nc"},
	{"fan-out", "ccc", .at_once = true},
	{"silent", "cnc", .at_once = true},
	{"silent-late", "s|n"},
	{"shared", "c", .shared = true},
	{"forget", "c", .forget = true},
	{"awaited", "c", .awaited = true},
	{"locked", "c", .locked = true},
	{"locked-mixed", "c|n", .locked = true},
	{"answer", "c", .server = LOOP},
	{"answer-mixed", "c|n", .forget = true, .server = LOOP},
	{"event", "c", .server = LOOP_EVENT},
};

/* Where somebody waits for tasks to be done. */
struct place {
	pthread_mutex_t lock;
	pthread_cond_t done;
};

struct task {
	struct task *next;
	struct place *place;
	bool call, done, forgotten;
	int hops, fd; /* fd: whom to answer */
	char path[64];
};

static struct pool {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct task *head, **tail;
} pools[2];

static const struct shape *shape;
static struct place common = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

/* A lock that is handed to who has waited longest, parked at a place of its own: as in Java. */
struct waiter {
	struct waiter *next;
	pthread_cond_t turn;
	bool has;
};

static struct {
	pthread_mutex_t lock;
	bool held;
	struct waiter *head, **tail;
} fair = {PTHREAD_MUTEX_INITIALIZER, false, 0, &fair.head};

static void fair_section(void)
{
	struct waiter me = {0, PTHREAD_COND_INITIALIZER, false}, *next;

	pthread_mutex_lock(&fair.lock);
	if (fair.held) {
		*fair.tail = &me;
		fair.tail = &me.next;
		while (!me.has)
			pthread_cond_wait(&me.turn, &fair.lock);
	}
	fair.held = true;
	pthread_mutex_unlock(&fair.lock);
	for (volatile int i = 0; i < 20000; i++)
		;
	pthread_mutex_lock(&fair.lock);
	next = fair.head;
	if (next) {
		fair.head = next->next;
		if (!fair.head)
			fair.tail = &fair.head;
		next->has = true;
		pthread_cond_signal(&next->turn);
	} else {
		fair.held = false;
	}
	pthread_mutex_unlock(&fair.lock);
}

static void answer(int fd)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

	if (write(fd, ok, sizeof(ok) - 1) < 0)
		close(fd);
}

static void put(int pool, struct task *t)
{
	struct pool *p = &pools[pool];

	t->next = 0;
	pthread_mutex_lock(&p->lock);
	*p->tail = t;
	p->tail = &t->next;
	pthread_mutex_unlock(&p->lock);
	pthread_cond_signal(&p->some);
}

static struct task *take(int pool)
{
	struct pool *p = &pools[pool];
	struct task *t;

	pthread_mutex_lock(&p->lock);
	while (!p->head)
		pthread_cond_wait(&p->some, &p->lock);
	t = p->head;
	p->head = t->next;
	if (!p->head)
		p->tail = &p->head;
	pthread_mutex_unlock(&p->lock);
	return t;
}

static void await(struct task *t)
{
	pthread_mutex_lock(&t->place->lock);
	while (!t->done)
		pthread_cond_wait(&t->place->done, &t->place->lock);
	pthread_mutex_unlock(&t->place->lock);
}

static void finish(struct task *t)
{
	struct place *p = t->place;

	pthread_mutex_lock(&p->lock);
	t->done = true;
	if (p == &common)
		pthread_cond_broadcast(&p->done);
	else
		pthread_cond_signal(&p->done);
	pthread_mutex_unlock(&p->lock);
}

/* For the loop of the shape "event". */
static struct { pthread_mutex_t lock; struct task *head; int fd; } finished = {PTHREAD_MUTEX_INITIALIZER, 0, -1};

static void *work(void *arg)
{
	int pool = (int)(long)arg, out = pool ? -1 : dial();
	struct place mine = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

	for (;;) {
		struct task *t = take(pool), inner;

		if (t->hops > 0 && shape->nested) {
			inner = *t;
			inner.hops = 0;
			inner.done = false;
			inner.place = &mine;
			put(0, &inner);
			await(&inner);
			finish(t);
			continue;
		}
		if (t->hops > 0) {
			t->hops--;
			put(0, t);
			continue;
		}
		if (t->call)
			call(out, t->path);
		if (shape->locked)
			fair_section();
		if (t->forgotten) {
			free(t);
		} else if (t->place) {
			finish(t);
		} else if (shape->server == LOOP) {
			answer(t->fd);
			free(t);
		} else {
			unsigned long long one = 1;

			pthread_mutex_lock(&finished.lock);
			t->next = finished.head;
			finished.head = t;
			pthread_mutex_unlock(&finished.lock);
			if (write(finished.fd, &one, sizeof(one)) != sizeof(one))
				fail("eventfd");
		}
	}
	return 0;
}

static void give(struct task *t, struct place *place, const char *path, char kind)
{
	*t = (struct task){.place = place, .call = kind != 'n', .hops = shape->hops};
	snprintf(t->path, sizeof(t->path), "%s", path);
	put(shape->hops, t);
}

/* Runs the tasks of a request, or of no request. */
static void run(struct place *place, const char *id, unsigned long n)
{
	char tasks[16], path[64], *bar;
	struct task t[16];
	int i;

	snprintf(tasks, sizeof(tasks), "%s", shape->tasks);
	bar = strchr(tasks, '|');
	if (bar)
		*bar++ = 0;
	if (bar && n % 2)
		memmove(tasks, bar, strlen(bar) + 1);
	for (i = 0; tasks[i]; i++) {
		snprintf(path, sizeof(path), "/d/%s/%c", id, 'a' + i);
		give(&t[i], place, path, tasks[i]);
		if (tasks[i] == 's')
			usleep(rand() % 15000);
		if (!shape->at_once)
			await(&t[i]);
	}
	for (i = 0; tasks[i]; i++)
		await(&t[i]);
}

/* What requests read, if it is fresh. */
static struct { struct place place; bool fresh; } news = {{PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}, true};

static void await_news(void)
{
	pthread_mutex_lock(&news.place.lock);
	while (!news.fresh)
		pthread_cond_wait(&news.place.done, &news.place.lock);
	pthread_mutex_unlock(&news.place.lock);
}

static void *refresh(void *arg)
{
	int fd = dial();
	char path[64];

	for (long n = 1000000;; n++) {
		usleep(15000);
		pthread_mutex_lock(&news.place.lock);
		news.fresh = false;
		pthread_mutex_unlock(&news.place.lock);
		snprintf(path, sizeof(path), "/d/bg/%ld", n);
		call(fd, path);
		pthread_mutex_lock(&news.place.lock);
		news.fresh = true;
		pthread_cond_broadcast(&news.place.done);
		pthread_mutex_unlock(&news.place.lock);
	}
	return arg;
}

static bool id_of(char *buf, char id[32])
{
	char *from = strstr(buf, "/r/"), *end = from ? strchr(from, ' ') : 0;

	if (!end)
		return false;
	snprintf(id, 32, "%.*s", (int)(end - from - 3), from + 3);
	return true;
}

static void *serve(void *arg)
{
	struct place mine = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
	int fd = (int)(long)arg;
	char buf[4096], id[32];

	for (unsigned long n = fd; receive(fd, buf, sizeof(buf), 0) && id_of(buf, id); n++) {
		if (shape->locked)
			fair_section();
		run(shape->shared ? &common : &mine, id, n);
		if (shape->locked)
			fair_section();
		if (shape->awaited)
			await_news();
		answer(fd);
	}
	close(fd);
	return 0;
}

static void *background(void *arg)
{
	struct place mine = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
	char id[32], path[64];
	int fd = dial();

	for (long n = 0;; n++) {
		usleep(5000);
		if (n % 2 || (shape->server != THREADS && !shape->forget)) {
			snprintf(path, sizeof(path), "/d/bg/%ld", n);
			call(fd, path);
			if (shape->locked)
				fair_section();
			continue;
		}
		snprintf(id, sizeof(id), "bg/%ld", n);
		if (shape->forget) {
			struct task *t = calloc(1, sizeof(*t));

			t->call = t->forgotten = true;
			snprintf(t->path, sizeof(t->path), "/d/bg/%ld", n);
			put(0, t);
			continue;
		}
		run(shape->shared ? &common : &mine, id, n);
	}
	return arg;
}

static void watch(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
		fail("epoll_ctl");
}

static void *loop(void *arg)
{
	int ep = epoll_create1(0), listener = (int)(long)arg;
	struct epoll_event events[64];
	unsigned long requests = 0;

	watch(ep, listener);
	watch(ep, finished.fd);
	for (;;) {
		int i, n = epoll_wait(ep, events, 64, -1);

		for (i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			char buf[4096], id[32];
			struct task *t, *next;

			if (fd == listener) {
				watch(ep, accept(fd, 0, 0));
			} else if (fd == finished.fd) {
				if (read(fd, buf, 8) != 8)
					fail("eventfd");
				pthread_mutex_lock(&finished.lock);
				t = finished.head;
				finished.head = 0;
				pthread_mutex_unlock(&finished.lock);
				for (; t; t = next) {
					next = t->next;
					answer(t->fd);
					free(t);
				}
			} else if (!receive(fd, buf, sizeof(buf), 0) || !id_of(buf, id)) {
				close(fd);
			} else {
				char path[64];

				t = malloc(sizeof(*t));
				snprintf(path, sizeof(path), "/d/%s/a", id);
				*t = (struct task){.call = !strchr(shape->tasks, '|') || requests++ % 2 == 0, .fd = fd};
				snprintf(t->path, sizeof(t->path), "%s", path);
				put(0, t);
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	int fd, i, n;

	if (argc < 4)
		return 2;
	for (shape = shapes; strcmp(shape->name, argv[1]); shape++)
		if (shape == &shapes[sizeof(shapes) / sizeof(*shapes) - 1])
			return 2;
	fd = begin(argv[2]);
	if (fd < 0)
		return 2;
	finished.fd = eventfd(0, 0);
	for (i = 0; i <= shape->hops; i++) {
		pthread_mutex_init(&pools[i].lock, 0);
		pthread_cond_init(&pools[i].some, 0);
		pools[i].tail = &pools[i].head;
		for (n = 0; n < atoi(argv[3]); n++)
			start(work, i);
	}
	ready(fd);
	start(shape->server == THREADS ? accept_all : loop, fd);
	start(background, 0);
	if (shape->awaited)
		start(refresh, 0);
	getchar();
	return 0;
}
