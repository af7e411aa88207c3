"""An application of gunicorn. The environment has BACKEND, the address that it calls, and SHAPE: "direct",
or "fanout" for three calls at once in a pool of threads."""

import concurrent.futures
import http.client
import itertools
import os
import threading
import time

import garbage

backend, shape = os.environ["BACKEND"], os.environ["SHAPE"]


def call(path):
    c = http.client.HTTPConnection(backend)
    c.request("GET", path)
    c.getresponse().read()
    c.close()


def background():
    for n in itertools.count():
        time.sleep(0.02)
        call("/d/bg/%d" % n)


threading.Thread(target=background, daemon=True).start()
pool = concurrent.futures.ThreadPoolExecutor(8)


def app(environ, start_response):
    base = "/d/" + environ["PATH_INFO"][len("/r/"):] + "/"
    if shape == "fanout":
        list(pool.map(call, [base + op for op in "abc"]))
    else:
        call(base + "a")
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
