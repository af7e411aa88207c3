"""A server and client of aiohttp. GET /r/<id> makes calls GET /d/<id>/<op>. Arguments: shape (aiocalls.py),
address of the backend, size of the pool. It prints its address, and ends with its standard input."""

import asyncio
import concurrent.futures
import os
import sys
import threading

import aiohttp
import aiohttp.web

import aiocalls

shape, backend, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
handle = aiocalls.shapes[shape]


class Pool:
    def __init__(self):
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=size))

    async def get(self, path):
        async with self.session.get("http://" + backend + path) as answer:
            await answer.read()


async def serve(request):
    await handle("/d/" + request.match_info["id"] + "/")
    return aiohttp.web.Response(text="ok\n")


async def main():
    app = aiohttp.web.Application()
    app.router.add_get("/r/{id}", serve)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    aiocalls.begin(Pool(), backend, concurrent.futures.ThreadPoolExecutor(size))
    threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0)), daemon=True).start()
    print("127.0.0.1:%d" % site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
