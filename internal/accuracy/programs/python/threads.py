"""A server with a thread for each connection. GET /r/<id> calls /d/<id>/a, from the serving thread
(argument "same"), from a new one ("spawned") or from a pool ("pool", "fanout": three at once, "queue": a
pool of one's own, with a queue.Queue); with "-refreshed" it then reads what another thread refreshes by a
call, under a lock, with "-awaited" it waits for a call of that thread, and with "-singleflight" for one of the pool of which
there is one at a time. Arguments: shape, address of the backend, size of the pool. It prints its address, and
ends with its standard input."""

import concurrent.futures
import http.client
import http.server
import itertools
import os
import queue
import sys
import threading
import time

import garbage

shape, backend = sys.argv[1], sys.argv[2]
errors = []


def call(path):
    c = http.client.HTTPConnection(backend)
    c.request("GET", path)
    c.getresponse().read()
    c.close()


def spawned(path):
    t = threading.Thread(target=call, args=(path,))
    t.start()
    t.join()


pool = concurrent.futures.ThreadPoolExecutor(max_workers=int(sys.argv[3]))


def pooled(path):
    pool.submit(call, path).result()


def fanout(path):
    for f in [pool.submit(call, path + str(n)) for n in range(3)]:
        f.result()


lock = threading.Lock()


def refresh():
    for n in itertools.count(1000000):
        with lock:
            call("/d/bg/%d" % n)
        time.sleep(0.015)


def refreshed(serve):
    def run(path):
        serve(path)
        with lock:
            pass

    return run


fresh = threading.Event()


def refresh_event():
    for n in itertools.count(1000000):
        fresh.clear()
        call("/d/bg/%d" % n)
        fresh.set()
        time.sleep(0.015)


def awaited(serve):
    def run(path):
        serve(path)
        fresh.wait()

    return run


flights = {}


def single_flight(serve):
    """A call of which there is one at a time: who comes meanwhile waits for its result, too."""

    def run(path):
        serve(path)
        with lock:
            f = flights.get("news")
            if not f:
                f = flights["news"] = pool.submit(call, path[:-1] + "b")
        f.result()
        with lock:
            if flights.get("news") is f:
                del flights["news"]

    return run


tasks = queue.Queue()


def work():
    while True:
        path, done = tasks.get()
        call(path)
        done.set()


def queued(path):
    done = threading.Event()
    tasks.put((path, done))
    done.wait()


if shape.startswith("queue"):
    for _ in range(int(sys.argv[3])):
        threading.Thread(target=work, daemon=True).start()
shape, _, then = shape.partition("-")
serve = {"same": call, "spawned": spawned, "pool": pooled, "fanout": fanout, "queue": queued}[shape]
if then == "refreshed":
    serve = refreshed(serve)
    threading.Thread(target=refresh, daemon=True).start()
elif then == "awaited":
    serve = awaited(serve)
    threading.Thread(target=refresh_event, daemon=True).start()
elif then == "singleflight":
    serve = single_flight(serve)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        serve("/d/" + self.path[len("/r/"):] + "/a")
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def background():
    for n in itertools.count():
        time.sleep(0.01)
        serve("/d/bg/%d" % n)


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Thread(target=background, daemon=True).start()
print("127.0.0.1:%d" % server.server_port, flush=True)
sys.stdin.readline()
os._exit(0)
