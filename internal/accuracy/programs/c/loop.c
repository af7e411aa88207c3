/*
 * One thread that serves every connection: an event loop. GET /r/<id> makes calls /d/<id>/<op> over kept
 * connections and answers when they are; a timer makes calls /d/bg/<n> of nobody's.
 *
 *	loop SHAPE BACKEND POOL
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 4096

enum wait { EPOLL, EDGE, POLL, SELECT };

static const struct shape {
	const char *name;
	enum wait wait;
	bool batch;    /* reads whatever is ready, then does what follows from it */
	bool delayed;  /* does it a round later */
	bool early;    /* the timers run between reading and what follows from it */
	bool queue;    /* no more than POOL connections: calls wait for one */
	bool apart;    /* but not those of the background */
	bool give_up;  /* every fourth request is answered by a timer, without its call's response */
	int calls;     /* of a request */
	bool at_once;  /* all of them, not one after the other */
	bool refreshed; /* what requests read at last, and none reads while it is refreshed: the calls of the background */
	int background_ms;
} shapes[] = {
	{"proxy", EPOLL, .calls = 1, .background_ms = 20},
	{"edge", EDGE, .calls = 1, .background_ms = 20},
	{"poll", POLL, .calls = 1, .background_ms = 20},
	{"select", SELECT, .calls = 1, .background_ms = 20},
	{"busy-timer", EPOLL, .calls = 1, .background_ms = 2},
	{"batch", EPOLL, .batch = true, .calls = 1, .background_ms = 20},
	{"batch-timer", EPOLL, .batch = true, .calls = 1, .background_ms = 2},
	{"batch-early", EPOLL, .batch = true, .early = true, .calls = 1, .background_ms = 2},
	{"give-up-timer", EPOLL, .give_up = true, .calls = 1, .background_ms = 2},
	{"batch-queue", EPOLL, .batch = true, .queue = true, .apart = true, .calls = 1, .background_ms = 2},
	{"delayed-timer", EPOLL, .batch = true, .delayed = true, .calls = 1, .background_ms = 2},
	{"fan-out-batch", EPOLL, .batch = true, .calls = 3, .at_once = true, .background_ms = 2},
	{"delayed", EPOLL, .batch = true, .delayed = true, .calls = 1, .background_ms = 20},
	{"queue", EPOLL, .queue = true, .calls = 1, .background_ms = 20},
	{"give-up", EPOLL, .give_up = true, .calls = 1, .background_ms = 20},
	{"refreshed", EPOLL, .calls = 1, .background_ms = 20, .refreshed = true},
	{"sequence", EPOLL, .calls = 3, .background_ms = 20},
	{"fan-out", EPOLL, .calls = 3, .at_once = true, .background_ms = 20},
};

struct peer {
	enum { FREE, LISTENER, CLIENT, BACKEND, INPUT } kind;
	bool connecting, idle, open;
	char in[4096];
	int have;
	/* CLIENT */
	char id[32];
	int made, missing;
	long long give_up_at;
	/* BACKEND: who waits for it, by number, as descriptors are used again; 0: nobody */
	unsigned long serial, serves;
	int client;
	char out[256];
};

static struct peer peers[MAX_FDS];
static const struct shape *shape;
static struct sockaddr_in backend;
static int epoll_fd, backends, pool;
static unsigned long serials;

/* Work: what follows from what was read. */
struct work { int fd; unsigned long serial; bool response; };
static struct work todo[2][MAX_FDS];
static int todos[2], round_;
/* Calls that wait for a connection. */
static struct waiting { int client; unsigned long serial; char path[64]; } queue[MAX_FDS];
static int queue_head, queue_len;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void watch(int fd, bool out, bool add)
{
	struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.fd = fd};
	if (shape->wait == EDGE)
		e.events = EPOLLIN | EPOLLOUT | EPOLLET;
	if (shape->wait == EPOLL || shape->wait == EDGE)
		if (epoll_ctl(epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e))
			fail("epoll_ctl");
}

static struct peer *add(int fd, int kind)
{
	struct peer *p = &peers[fd];
	memset(p, 0, sizeof *p);
	p->kind = kind;
	p->serial = ++serials;
	return p;
}

static void drop(int fd)
{
	peers[fd].kind = FREE;
	close(fd);
}

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		drop(fd);
}

static void send_call(int fd)
{
	char text[400];
	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: backend\r\n\r\n", peers[fd].out);
	peers[fd].idle = false;
	say(fd, text);
}

/* A call, for a client or for nobody (0). */
static void call(int client, unsigned long serial, const char *path)
{
	int fd, one = 1;
	struct peer *p;
	for (fd = 0; fd < MAX_FDS; fd++)
		if (peers[fd].kind == BACKEND && peers[fd].idle)
			break;
	if (fd == MAX_FDS && shape->queue && backends >= pool && !(shape->apart && !serial)) {
		struct waiting *w = &queue[(queue_head + queue_len++) % MAX_FDS];
		w->client = client, w->serial = serial;
		snprintf(w->path, sizeof w->path, "%s", path);
		return;
	}
	if (fd < MAX_FDS) {
		p = &peers[fd];
		p->client = client, p->serves = serial;
		snprintf(p->out, sizeof p->out, "%s", path);
		send_call(fd);
		return;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		fail("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	p = add(fd, BACKEND);
	backends++;
	p->client = client, p->serves = serial, p->connecting = true;
	snprintf(p->out, sizeof p->out, "%s", path);
	if (connect(fd, (struct sockaddr *)&backend, sizeof backend) && errno != EINPROGRESS)
		fail("connect");
	watch(fd, true, true);
}

static void next_call(int client)
{
	struct peer *p = &peers[client];
	char path[64];
	snprintf(path, sizeof path, "/d/%s/%d", p->id, p->made++);
	call(client, p->serial, path);
}

static void answer(int client)
{
	peers[client].open = false;
	say(client, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
}

static void do_request(int fd)
{
	struct peer *p = &peers[fd];
	static unsigned n;
	p->made = 0, p->open = true, p->missing = shape->calls, p->give_up_at = 0;
	if (shape->give_up && ++n % 4 == 0)
		p->give_up_at = now_ms() + 3;
	do
		next_call(fd);
	while (shape->at_once && p->made < shape->calls);
}

/* Requests that wait until it is refreshed. */
static struct reader { int client; unsigned long serial; } readers[MAX_FDS];
static int reading;
static bool refreshing;

static void read_and_answer(int client)
{
	if (refreshing)
		readers[reading++] = (struct reader){client, peers[client].serial};
	else
		answer(client);
}

static void refreshed(void)
{
	refreshing = false;
	while (reading) {
		struct reader r = readers[--reading];
		if (peers[r.client].kind == CLIENT && peers[r.client].serial == r.serial)
			answer(r.client);
	}
}

static void do_response(int fd)
{
	struct peer *p = &peers[fd], *c = &peers[p->client];
	int client = p->client;
	bool wanted = p->serves && c->kind == CLIENT && c->serial == p->serves && c->open &&
		      !strncmp(p->out + 3, c->id, strlen(c->id));
	p->idle = true;
	while (queue_len) { /* the connection is free, that is seen to first */
		struct waiting *w = &queue[queue_head];
		queue_head = (queue_head + 1) % MAX_FDS, queue_len--;
		call(w->client, w->serial, w->path);
		break;
	}
	if (shape->refreshed && !p->serves)
		refreshed();
	if (!wanted)
		return;
	if (--c->missing == 0)
		read_and_answer(client);
	else if (c->made < shape->calls)
		next_call(client);
}

static void work(int fd, bool response)
{
	if (!shape->batch) {
		response ? do_response(fd) : do_request(fd);
		return;
	}
	todo[round_][todos[round_]++] = (struct work){fd, peers[fd].serial, response};
}

static void work_off(int which)
{
	for (int i = 0; i < todos[which]; i++) {
		struct work w = todo[which][i];
		if (peers[w.fd].kind != FREE && peers[w.fd].serial == w.serial)
			w.response ? do_response(w.fd) : do_request(w.fd);
	}
	todos[which] = 0;
}

static void readable(int fd)
{
	struct peer *p = &peers[fd];
	ssize_t n;
	if (p->kind == LISTENER) {
		int c, one = 1;
		while ((c = accept4(fd, 0, 0, SOCK_NONBLOCK)) >= 0) {
			setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			add(c, CLIENT);
			watch(c, false, true);
		}
		return;
	}
	if (p->kind == INPUT) {
		char c;
		if (read(fd, &c, 1) <= 0)
			exit(0);
		return;
	}
	if (p->connecting) {
		p->connecting = false;
		if (shape->wait != EDGE)
			watch(fd, false, false);
		send_call(fd);
		return;
	}
	for (;;) {
		n = read(fd, p->in + p->have, sizeof p->in - 1 - p->have);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			if (p->kind == BACKEND)
				backends--;
			drop(fd);
			return;
		}
		p->have += n;
		p->in[p->have] = 0;
		if (p->kind == CLIENT && strstr(p->in, "\r\n\r\n")) {
			if (sscanf(p->in, "GET /r/%31[0-9]", p->id) != 1)
				fail("request");
			p->have = 0;
			work(fd, false);
		} else if (p->kind == BACKEND && strstr(p->in, "\r\n\r\nok\n")) {
			p->have = 0;
			work(fd, true);
		}
		if (shape->wait != EDGE)
			return;
	}
}

/* The timers, after the events. */
static void timers(void)
{
	static long long background;
	static int n;
	long long now = now_ms();
	char path[64];
	for (int fd = 0; shape->give_up && fd < MAX_FDS; fd++)
		if (peers[fd].kind == CLIENT && peers[fd].open && peers[fd].give_up_at && peers[fd].give_up_at <= now)
			answer(fd);
	if (now >= background && !refreshing) {
		background = now + shape->background_ms;
		snprintf(path, sizeof path, "/d/bg/%d", n++);
		refreshing = shape->refreshed;
		call(0, 0, path);
	}
}

static void wait_epoll(int timeout)
{
	struct epoll_event e[64];
	int n = epoll_wait(epoll_fd, e, 64, timeout);
	for (int i = 0; i < n; i++) {
		struct peer *p = &peers[e[i].data.fd];
		if (p->kind != FREE && (p->connecting ? e[i].events & EPOLLOUT : e[i].events & ~EPOLLOUT))
			readable(e[i].data.fd);
	}
}

static void wait_poll(int timeout)
{
	struct pollfd f[MAX_FDS];
	int n = 0;
	for (int fd = 0; fd < MAX_FDS; fd++)
		if (peers[fd].kind != FREE)
			f[n++] = (struct pollfd){fd, peers[fd].connecting ? POLLOUT : POLLIN, 0};
	if (poll(f, n, timeout) > 0)
		for (int i = 0; i < n; i++)
			if (f[i].revents)
				readable(f[i].fd);
}

static void wait_select(int timeout)
{
	struct timeval t = {0, timeout * 1000};
	fd_set in, out;
	int last = 0;
	FD_ZERO(&in);
	FD_ZERO(&out);
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (peers[fd].kind != FREE) {
			FD_SET(fd, peers[fd].connecting ? &out : &in);
			last = fd + 1;
		}
	if (select(last, &in, &out, 0, &t) > 0)
		for (int fd = 0; fd < last; fd++)
			if (FD_ISSET(fd, &in) || FD_ISSET(fd, &out))
				readable(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	char host[64];
	int port, fd;

	if (argc != 4 || sscanf(argv[2], "%63[^:]:%d", host, &port) != 2)
		fail("usage: loop SHAPE BACKEND POOL");
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		if (!strcmp(shapes[i].name, argv[1]))
			shape = &shapes[i];
	if (!shape) {
		fprintf(stderr, "no shape %s\n", argv[1]);
		return 1;
	}
	pool = atoi(argv[3]);
	backend.sin_family = AF_INET;
	backend.sin_port = htons(port);
	inet_pton(AF_INET, host, &backend.sin_addr);
	epoll_fd = epoll_create1(0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) || getsockname(fd, (struct sockaddr *)&a, &len))
		fail("listen");
	add(fd, LISTENER);
	watch(fd, false, true);
	add(0, INPUT);
	watch(0, false, true);
	printf("127.0.0.1:%d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		int timeout = shape->delayed && todos[round_] ? 0 : 1;
		if (shape->delayed)
			round_ ^= 1;
		shape->wait == POLL ? wait_poll(timeout) : shape->wait == SELECT ? wait_select(timeout) : wait_epoll(timeout);
		if (shape->early)
			timers();
		if (shape->batch)
			work_off(shape->delayed ? round_ ^ 1 : round_);
		if (!shape->early)
			timers();
	}
}
