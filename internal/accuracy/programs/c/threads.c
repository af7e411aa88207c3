// SPDX-License-Identifier: Apache-2.0
/*
 * A server with a thread for each connection, which calls the backend on a connection of the thread.
 * Arguments: shape (ignored), address of the backend, size of pools (ignored). It prints its address, and ends with its
 * standard input.
 */
#include "blocking.h"

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

int main(int argc, char **argv)
{
	int fd = argc < 3 ? -1 : begin(argv[2]);

	if (fd < 0)
		return 2;
	ready(fd);
	start(accept_all, fd);
	start(background, 0);
	getchar();
	return 0;
}
