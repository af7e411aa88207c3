// SPDX-License-Identifier: Apache-2.0
/*
 * A server with a thread for each connection, which calls the backend on a connection of the thread.
 * Arguments: shape (ignored), address of the backend, size of pools (ignored). It prints its address, and ends with its
 * standard input.
 */
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

static void *serve(void *arg)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	int fd = (int)(long)arg, out = dial();
	char buf[4096], path[256], *id, *end;

	while (receive(fd, buf, sizeof(buf), 0)) {
		id = strstr(buf, "/r/");
		if (!id)
			break;
		id += 3;
		end = strchr(id, ' ');
		if (!end)
			break;
		snprintf(path, sizeof(path), "/d/%.*s/a", (int)(end - id), id);
		call(out, path);
		if (write(fd, ok, sizeof(ok) - 1) < 0)
			break;
	}
	close(fd);
	close(out);
	return 0;
}

static void *background(void *arg)
{
	char path[64];
	int fd = dial();

	for (long n = 0;; n++) {
		usleep(4000);
		snprintf(path, sizeof(path), "/d/bg/%ld", n);
		call(fd, path);
	}
	return arg;
}

static void *accept_all(void *arg)
{
	int fd = (int)(long)arg, one = 1;

	for (;;) {
		int c = accept(fd, 0, 0);
		pthread_t t;

		if (c < 0)
			fail("accept");
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&t, 0, serve, (void *)(long)c))
			fail("pthread_create");
		pthread_detach(t);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	pthread_t t;
	char *port;
	int fd;

	if (argc < 3 || !(port = strchr(argv[2], ':')))
		return 2;
	*port++ = 0;
	backend.sin_family = AF_INET;
	backend.sin_port = htons(atoi(port));
	if (!inet_aton(argv[2], &backend.sin_addr))
		return 2;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 256) ||
	    getsockname(fd, (struct sockaddr *)&addr, &len))
		fail("listen");
	printf("127.0.0.1:%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	pthread_create(&t, 0, accept_all, (void *)(long)fd);
	pthread_create(&t, 0, background, 0);
	getchar();
	return 0;
}
