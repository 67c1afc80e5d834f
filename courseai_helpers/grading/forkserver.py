"""Forks kernels from a process that has loaded what they need.

It is run as a program, by `warm.py`, with one end of a socket as its standard input.
Every message on it is the request for one kernel and carries a socket of that kernel's
own: there, requests to signal the kernel come in and the report of its end goes out.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

# What the lesson and its kernel import, so that no kernel has to.
MODULES = (
    "courseai_helpers.checks",
    "courseai_helpers.gallery",
    "courseai_helpers.images",
    "courseai_helpers.models",
    "courseai_helpers.plots",
    "courseai_helpers.shortcut",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.pyplot",
    "numpy",
    "torch",
    "torchvision",
)


def main() -> None:
    """Forks a keeper for every request, until the other end is closed."""
    for module in MODULES:
        importlib.import_module(module)
    from courseai_helpers.grading.keeper import keep_kernel

    requests = socket.socket(fileno=os.dup(0))
    os.dup2(1, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's business
    signal.signal(signal.SIGCHLD, reap)
    gc.collect()
    gc.freeze()  # so that collecting garbage does not copy shared pages
    while True:
        data, handles, _, _ = socket.recv_fds(requests, 65536, 1)
        if not data:
            return
        refuse_threads()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with socket.socket(fileno=handles[0]) as channel:
                keep_kernel(channel, json.loads(data))
            os._exit(0)
        os.close(handles[0])


def reap(*_: object) -> None:
    """Waits for the keepers that have ended, so that their CPU time is accounted."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def refuse_threads() -> None:
    """Ends the program if it has more than one thread: forks would be unsafe."""
    threads = [
        Path("/proc/self/task", name, "comm").read_text().strip()
        for name in os.listdir("/proc/self/task")
    ]
    if len(threads) > 1:
        sys.exit(f"A module of the course starts threads on import: {threads}")


if __name__ == "__main__":
    main()
