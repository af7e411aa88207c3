// SPDX-License-Identifier: Apache-2.0
/*
 * A server that makes one call for each request, and its driver, by turns on one CPU. The driver prints the pid of the
 * server, then for each line "requests kib" the CPU time that the server used for so many requests, in nanoseconds. Before
 * each message it reads kib KiB of memory, so that the caches are as cold for the server as in a machine that does other
 * things meanwhile. It ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET /a/12345678/abcdef HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
			      "User-Agent: bench/1.0 (linux)\r\nAccept: */*\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 60\r\n\r\n"
			       "012345678901234567890123456789012345678901234567890123456789";
static char buf[65536];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_socket(struct sockaddr_in *a)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0)
		fail("socket");
	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return s;
}

static int listener(int *port)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int s = open_socket(&a);

	if (bind(s, (void *)&a, sizeof(a)) || getsockname(s, (void *)&a, &len) || listen(s, 8))
		fail("listen");
	*port = ntohs(a.sin_port);
	return s;
}

static int at_once(int s)
{
	int one = 1;

	if (s < 0 || setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		fail("connection");
	return s;
}

static int dial(int port)
{
	struct sockaddr_in a;
	int s = open_socket(&a);

	a.sin_port = htons(port);
	if (connect(s, (void *)&a, sizeof(a)))
		fail("connect");
	return at_once(s);
}

static void send_all(int s, const char *bytes, size_t n)
{
	if (write(s, bytes, n) != (ssize_t)n)
		fail("write");
}

/* The messages are short and come whole on loopback. */
static void receive(int s)
{
	if (read(s, buf, sizeof(buf)) <= 0)
		fail("read");
}

static int serve(int front, int backend)
{
	int s = at_once(accept(front, 0, 0)), up = dial(backend);

	while (read(s, buf, sizeof(buf)) > 0) {
		send_all(up, request, sizeof(request) - 1);
		receive(up);
		send_all(s, response, sizeof(response) - 1);
	}
	return 0;
}

static const size_t most = 256 << 10; /* KiB */
static char *memory;
static long seen;

/* In steps of a page and a bit, so that no prefetcher helps the server by accident. */
static void cool(size_t kib)
{
	for (size_t line = 0; line < 64; line++)
		for (size_t page = 0; page < kib / 4; page++)
			seen += memory[page * 4096 + (line * 29 + page * 7) % 64 * 64];
}

static long nanoseconds(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		fail("clock_gettime");
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(void)
{
	int front_port, backend_port, front = listener(&front_port), backend = listener(&backend_port), go[2], up, down;
	long requests, kib, before;
	clockid_t clock;
	struct sched_param first = {.sched_priority = 1};
	cpu_set_t cpus;
	char line[64];
	pid_t server;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	/* Nobody else gets this CPU between two messages. */
	if (sched_setaffinity(0, sizeof(cpus), &cpus) || sched_setscheduler(0, SCHED_FIFO, &first) || pipe(go))
		fail("start");
	memory = mmap(0, most << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, most << 10, MADV_NOHUGEPAGE))
		fail("mmap");
	server = fork();
	if (server < 0)
		fail("fork");
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Its connections begin when it is traced. */
		return read(go[0], line, 1) == 1 ? serve(front, backend_port) : 1;
	}
	if (clock_getcpuclockid(server, &clock))
		fail("clock_getcpuclockid");
	printf("%d\n", server);
	fflush(stdout);
	for (up = -1; fgets(line, sizeof(line), stdin);) {
		if (sscanf(line, "%ld %ld", &requests, &kib) != 2 || kib < 0 || (size_t)kib > most)
			return 2;
		for (long i = 0; i < kib / 4; i++) /* each page of its own, or all would be the page of zeros */
			memory[i * 4096] = 1;
		if (up < 0) {
			if (write(go[1], "x", 1) != 1)
				fail("go");
			up = dial(front_port);
			down = at_once(accept(backend, 0, 0));
		}
		before = nanoseconds(clock);
		for (long i = 0; i < requests; i++) {
			cool(kib);
			send_all(up, request, sizeof(request) - 1);
			receive(down);
			cool(kib);
			send_all(down, response, sizeof(response) - 1);
			receive(up);
		}
		printf("%ld\n", nanoseconds(clock) - before);
		fflush(stdout);
	}
	return 0;
}
