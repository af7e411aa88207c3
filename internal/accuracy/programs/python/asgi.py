"""An application of uvicorn: it makes a task for each request. Arguments: shape (aiocalls.py), address of the
backend, size of the pool, loop (asyncio or uvloop). It prints its address, and ends with its standard
input."""

import concurrent.futures
import os
import socket
import sys
import threading

import uvicorn

import aiocalls

shape, backend, size, loop = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
handle = aiocalls.shapes[shape]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        pool = aiocalls.Shared if shape == "shared" else aiocalls.Pool
        aiocalls.begin(pool(backend, size), backend, concurrent.futures.ThreadPoolExecutor(size))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    await handle("/d/" + scope["path"][len("/r/"):] + "/")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"ok\n"})
    if shape == "afterwards":
        await aiocalls.pool.get("/d/bg/after")


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(512)
threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0)), daemon=True).start()
print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app, loop=loop, log_level="error"))
server.run(sockets=[listener])
