"""A server of asyncio's streams: each connection has a task, which serves one request after the other. GET
/r/<id> makes calls GET /d/<id>/<op>. Arguments: shape (aiocalls.py), address of the backend, size of the
pool. It prints its address, and ends with its standard input."""

import asyncio
import concurrent.futures
import os
import sys
import threading

import aiocalls

shape, backend, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
handle = aiocalls.shapes[shape]


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            await handle("/d/" + line.split()[1].decode()[len("/r/"):] + "/")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            if shape == "afterwards":
                await aiocalls.pool.get("/d/bg/after")
    except ConnectionError:
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    aiocalls.begin(aiocalls.Pool(backend, size), backend, concurrent.futures.ThreadPoolExecutor(size))
    threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0)), daemon=True).start()
    print("127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
