"""Ways in which a server of asyncio makes the calls of a request: GET /d/<id>/<op>, where base is /d/<id>/.
Before any of them run: pool.get, a coroutine that makes one, and threads, a ThreadPoolExecutor."""

import asyncio
import collections
import http.client
import itertools
import random
import threading

import garbage

tasks, queue = set(), None


class Pool:
    """Connections of asyncio streams. Whoever comes last waits for one."""

    def __init__(self, backend, size):
        self.address = backend.rsplit(":", 1)
        self.idle, self.slots = [], asyncio.Semaphore(size)

    async def get(self, path):
        async with self.slots:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(*self.address)
            writer.write(b"GET %s HTTP/1.1\r\nHost: backend\r\n\r\n" % path.encode())
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            await reader.readexactly(length)
            self.idle.append((reader, writer))


class Shared:
    """Connections that tasks share: each writes its call at once, the responses come in order, and whoever opened the
    connection reads them for all. After some calls it is closed, and another is opened."""

    def __init__(self, backend, size):
        self.address = backend.rsplit(":", 1)
        self.lines = [None] * size

    async def get(self, path):
        n = random.randrange(len(self.lines))
        if self.lines[n] is None or self.lines[n].left == 0:
            self.lines[n] = Line()
            self.lines[n].task = asyncio.create_task(self.lines[n].read(self.address))
        line, done = self.lines[n], asyncio.get_running_loop().create_future()
        line.left -= 1
        await line.opened.wait()
        line.waiting.append(done)
        request = b"GET %s HTTP/1.1\r\nHost: backend\r\n\r\n" % path.encode()
        if random.random() < 0.5:
            line.writer.write(request)
        else:
            line.writer.writelines([request[:9], request[9:]])
        await done


class Line:
    def __init__(self):
        self.calls = self.left = random.randrange(1, 40)
        self.opened, self.waiting = asyncio.Event(), collections.deque()

    async def read(self, address):
        reader, self.writer = await asyncio.open_connection(*address)
        self.opened.set()
        for _ in range(self.calls):
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            await reader.readexactly(length)
            self.waiting.popleft().set_result(None)
        self.writer.close()


local = threading.local()


def blocking(path):
    """A call of a thread, over its own connection."""
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection(backend)
    local.connection.request("GET", path)
    local.connection.getresponse().read()


async def direct(base):
    await pool.get(base + "a")


async def shared(base):
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
    """A task of which nobody waits for the end: its call begins after the response."""
    tasks.add(asyncio.create_task(later(base)))
    await pool.get(base + "a")


async def later(base):
    await asyncio.sleep(0.5)
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


shapes = {f.__name__: f for f in (
    direct, shared, sequence, gather, sleep, timer, executor, executors, to_thread, detached, dispatcher, afterwards)}


async def background():
    for n in itertools.count():
        await asyncio.sleep(0.01)
        await pool.get("/d/bg/%d" % n)


def background_thread():
    for n in itertools.count():
        threads.submit(blocking, "/d/bg/t%d" % n).result()
        threading.Event().wait(0.02)


def begin(a_pool, to, executor):
    """Begins the background calls, in the loop that runs and in a thread beside it."""
    global pool, backend, threads
    pool, backend, threads = a_pool, to, executor
    asyncio.get_running_loop().set_default_executor(threads)
    tasks.add(asyncio.create_task(background()))
    threading.Thread(target=background_thread, daemon=True).start()
