/* SPDX-License-Identifier: Apache-2.0 */
/* What servers whose threads wait for their calls have in common. Each has its own serve. */
#ifndef BLOCKING_H
#define BLOCKING_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in backend;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int dial(void)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&backend, sizeof(backend)))
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Reads one message whose end is known: its head, and length bytes. Returns the bytes, 0 at the end. */
static int receive(int fd, char *buf, int size, int length)
{
	int got = 0;

	while (got < size - 1) {
		int n = read(fd, buf + got, size - 1 - got);
		char *end;

		if (n <= 0)
			return 0;
		got += n;
		buf[got] = 0;
		end = strstr(buf, "\r\n\r\n");
		if (end && got >= end + 4 - buf + length)
			return got;
	}
	return 0;
}

static void call(int fd, const char *path)
{
	char buf[1024];
	int n = snprintf(buf, sizeof(buf), "GET %s HTTP/1.1\r\nHost: backend\r\n\r\n", path);

	if (write(fd, buf, n) != n || !receive(fd, buf, sizeof(buf), 3))
		fail("call");
}

static void start(void *(*run)(void *), long arg)
{
	pthread_t t;

	if (pthread_create(&t, 0, run, (void *)arg))
		fail("pthread_create");
	pthread_detach(t);
}

/* Serves one connection. */
static void *serve(void *arg);

static void *accept_all(void *arg)
{
	int fd = (int)(long)arg, one = 1;

	for (;;) {
		int c = accept(fd, 0, 0);

		if (c < 0)
			fail("accept");
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		start(serve, c);
	}
	return 0;
}

/* Takes the address of the backend, and returns a socket that listens; -1: it is no address. */
static int begin(char *address)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char *port = strchr(address, ':');
	int fd;

	if (!port)
		return -1;
	*port++ = 0;
	backend.sin_family = AF_INET;
	backend.sin_port = htons(atoi(port));
	if (!inet_aton(address, &backend.sin_addr))
		return -1;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) || listen(fd, 256))
		fail("listen");
	return fd;
}

/* Tells whoever started this where it listens. */
static void ready(int fd)
{
	struct sockaddr_in own;
	socklen_t len = sizeof(own);

	if (getsockname(fd, (struct sockaddr *)&own, &len))
		fail("getsockname");
	printf("127.0.0.1:%d\n", ntohs(own.sin_port));
	fflush(stdout);
}

#endif
