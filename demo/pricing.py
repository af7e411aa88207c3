#!/usr/bin/env python3
"""The demo's pricing and tax services: Python's standard library, one thread for each connection.

As pricing it answers /price/<id>/<op>: op "taxed" asks tax, "cached" asks Redis, "thread" asks tax
from a thread started for the purpose, anything else asks nobody. As tax it answers /tax/<id>/<op>.
Both answer /background/<name>. A thread of pricing calls tax twice a second for no request at all.
Nothing is passed from a request to a call but the id in the path.
"""
import argparse
import http.client
import http.server
import os
import signal
import socket
import sys
import threading
import time
import zlib

# The same list as redisReads in internal/plan.
REDIS_READS = ["GET", "STRLEN", "EXISTS", "TTL", "PTTL", "TYPE", "TOUCH", "DUMP"]


def redis_op(request_id):
    """The command of a request at position 3; see RedisOp in internal/plan."""
    return REDIS_READS[zlib.crc32(request_id.encode()) >> 24 & 7]


class Pool:
    """Connections kept open, used by one thread at a time, the last used first."""

    def __init__(self, connect):
        self.connect = connect
        self.lock = threading.Lock()
        self.idle = []

    def use(self, work):
        with self.lock:
            connection = self.idle.pop() if self.idle else None
        if connection is None:
            connection = self.connect()
        try:
            answer = work(connection)
        except BaseException:
            connection.close()
            raise
        with self.lock:
            self.idle.append(connection)
        return answer


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def http_pool(address):
    return Pool(lambda: http.client.HTTPConnection(*split(address), timeout=5))


def get(pool, path):
    def work(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        if response.status != 200:
            raise RuntimeError(f"GET {path}: status {response.status}")
        return body.strip()

    return pool.use(work)


def redis_pool(address):
    return Pool(lambda: socket.create_connection(split(address), timeout=5))


def redis(pool, *words):
    """One command and its reply as text: RESP2 simple string, integer or bulk string."""
    command = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)

    def work(connection):
        connection.sendall(command.encode())
        got = b""

        def more():
            nonlocal got
            piece = connection.recv(4096)
            if not piece:
                raise RuntimeError("Redis closed the connection")
            got += piece

        while b"\r\n" not in got:
            more()
        head, _, rest = got.partition(b"\r\n")
        if head[:1] in (b"+", b":"):
            return head[1:].decode()
        if head[:1] != b"$":
            raise RuntimeError(f"Redis answered {head!r}")
        size = int(head[1:])
        if size < 0:
            return "nil"
        while len(got) < len(head) + 2 + size + 2:
            more()
        return repr(got[len(head) + 2 : len(head) + 2 + size])

    return pool.use(work)


def in_thread(work):
    """Runs work in a new thread and returns its result, or raises what it raised."""
    result = []

    def run():
        try:
            result.append((work(), None))
        except Exception as error:  # handed to the caller
            result.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = result[0]
    if error is not None:
        raise error
    return value


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tax = cache = None

    def do_GET(self):
        try:
            status, text = 200, self.answer(self.path.split("/"))
        except LookupError:
            status, text = 404, "no such path"
        except Exception as error:
            status, text = 502, f"{type(error).__name__}: {error}"
        body = text.encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, parts):
        raise NotImplementedError

    def log_message(self, *_):
        """Silence: the demo prints traces, not access logs."""


class Tax(Handler):
    def answer(self, parts):
        if parts[1] == "background":
            return "tax background"
        if parts[1] != "tax" or len(parts) != 4:
            raise LookupError
        return f"tax {zlib.crc32(parts[2].encode()) % 25} %"


class Pricing(Handler):
    def answer(self, parts):
        if parts[1] == "background":
            return "pricing background"
        if parts[1] != "price" or len(parts) != 4:
            raise LookupError
        request_id, op = parts[2], parts[3]
        if op == "taxed":
            return "price with " + get(self.tax, f"/tax/{request_id}/taxed")
        if op == "thread":
            return "price with " + in_thread(lambda: get(self.tax, f"/tax/{request_id}/thread"))
        if op == "cached":
            return "price " + redis(self.cache, redis_op(request_id), "price:" + request_id)
        return f"price {zlib.crc32(request_id.encode()) % 1000}"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the library's 5 refuses a burst of connections


def background(tax):
    n = 0
    while True:
        time.sleep(0.5)
        n += 1
        try:
            get(tax, f"/background/pricing-{n}")
        except Exception as error:
            print(f"pricing: background call: {error}", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("-role", choices=["pricing", "tax"], required=True)
    p.add_argument("-listen", default="127.0.0.1:0", help="address to listen on, host:port")
    p.add_argument("-tax", help="address of tax, for pricing")
    p.add_argument("-redis", help="address of Redis, for pricing")
    args = p.parse_args()
    # Threads hold no state worth saving.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    handler = Tax
    if args.role == "pricing":
        if not args.tax or not args.redis:
            p.error("-role pricing needs -tax and -redis")
        handler = Pricing
        Pricing.tax, Pricing.cache = http_pool(args.tax), redis_pool(args.redis)
        threading.Thread(target=background, args=(http_pool(args.tax),), daemon=True).start()
    server = Server(split(args.listen), handler)
    host, port = server.server_address[:2]
    print(f"listening {host}:{port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
