"""With GARBAGE in the environment (program.go), garbage is collected all the time: what is new by whoever makes
something, everything by a thread. Either stops all threads."""

import gc
import os
import threading
import time


def collect():
    while True:
        gc.collect()
        time.sleep(0.005)


if "GARBAGE" in os.environ:
    gc.set_threshold(1)
    threading.Thread(target=collect, daemon=True).start()
