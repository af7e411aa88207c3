"""Servers of asyncio. GET /r/<id> makes calls GET /d/<id>/<op> to the backend over a pool of connections that
all requests share, in the way that the argument "shape" names. Arguments: shape, address of the backend,
size of the pool. It prints its address, and ends with its standard input."""

import asyncio
import concurrent.futures
import http.client
import itertools
import os
import random
import sys
import threading

shape, (host, port), size = sys.argv[1], sys.argv[2].rsplit(":", 1), int(sys.argv[3])


class Pool:
    """Connections of asyncio streams. Whoever comes last waits for one."""

    def __init__(self, size):
        self.idle, self.slots = [], asyncio.Semaphore(size)

    async def get(self, path):
        async with self.slots:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(host, port)
            writer.write(b"GET %s HTTP/1.1\r\nHost: backend\r\n\r\n" % path.encode())
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            await reader.readexactly(length)
            self.idle.append((reader, writer))


local = threading.local()


def blocking(path):
    """A call of a thread, over its own connection."""
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection(host, int(port))
    local.connection.request("GET", path)
    local.connection.getresponse().read()


async def direct(base):
    await pool.get(base + "a")


async def sequence(base):
    for op in "abc":
        await pool.get(base + op)


async def gather(base):
    await asyncio.gather(*(pool.get(base + op) for op in "abc"))


async def sleep(base):
    await asyncio.sleep(random.random() / 200)
    await pool.get(base + "a")
    await asyncio.sleep(random.random() / 200)
    await pool.get(base + "b")


async def timer(base):
    """A callback of a timer makes the call, in a task of its own."""
    done = asyncio.get_running_loop().create_future()

    async def call():
        await pool.get(base + "a")
        done.set_result(None)

    asyncio.get_running_loop().call_later(random.random() / 200, lambda: tasks.add(asyncio.ensure_future(call())))
    await done


async def executor(base):
    await asyncio.get_running_loop().run_in_executor(threads, blocking, base + "a")


async def executors(base):
    run = asyncio.get_running_loop().run_in_executor
    await asyncio.gather(*(run(threads, blocking, base + op) for op in "abc"))


async def to_thread(base):
    await asyncio.to_thread(blocking, base + "a")


async def detached(base):
    """A task of which nobody waits for the end: its call begins after the response, or before it."""
    tasks.add(asyncio.create_task(later(base)))
    await pool.get(base + "a")


async def later(base):
    await asyncio.sleep(0.05)
    await pool.get("/d/bg/detached")


async def dispatcher(base):
    """A task that the first request has started makes the calls of all."""
    global queue
    done = asyncio.get_running_loop().create_future()
    if queue is None:
        queue = asyncio.Queue()
        tasks.add(asyncio.create_task(dispatch()))
    queue.put_nowait((base + "a", done))
    await done


async def dispatch():
    while True:
        path, done = await queue.get()
        await pool.get(path)
        done.set_result(None)


async def afterwards(base):
    """The handler goes on when it has answered."""
    await pool.get(base + "a")


handle = {f.__name__: f for f in (
    direct, sequence, gather, sleep, timer, executor, executors, to_thread, detached, dispatcher, afterwards)}[shape]
tasks, queue = set(), None
threads = concurrent.futures.ThreadPoolExecutor(size)


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            await handle("/d/" + line.split()[1].decode()[len("/r/"):] + "/")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            if handle is afterwards:
                await pool.get("/d/bg/after")
    except ConnectionError:
        pass
    writer.close()


async def background():
    for n in itertools.count():
        await asyncio.sleep(0.01)
        await pool.get("/d/bg/%d" % n)


def background_thread():
    asyncio.run(asyncio.sleep(0))
    for n in itertools.count():
        threads.submit(blocking, "/d/bg/t%d" % n).result()
        threading.Event().wait(0.02)


async def main():
    global pool
    pool = Pool(size)
    asyncio.get_running_loop().set_default_executor(threads)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    tasks.add(asyncio.create_task(background()))
    if handle in (executor, executors, to_thread):
        threading.Thread(target=background_thread, daemon=True).start()
    threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0)), daemon=True).start()
    print("127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
