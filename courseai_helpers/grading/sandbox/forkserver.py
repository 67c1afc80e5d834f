"""Forks kernels from a process that has loaded what they need.

It is run as a program, by `forkserver_client.py`, with one end of a socket as its
standard input. Each message requests one kernel and carries a socket for it. Through
that socket the kernel's limits and signals come in, and the report of its end goes out.
This process itself learns nothing about any kernel, since every later one inherits its
memory.

It is not `multiprocessing`'s forkserver, which unpickles in the child what the parent
wants it to run, imports the parent's main module for that, and gives every child its
own pipes to the parent and the server. A child of this one becomes a kernel for code
that nobody trusts: it gets one socket and plain data, and has nothing else to inherit.
"""

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from pathlib import Path

# What the lesson and its kernel import, so that no kernel has to.
MODULES = (
    "courseai_helpers.testing.compare",
    "courseai_helpers.images.gallery",
    "courseai_helpers.grading.examiner.student_side",
    "courseai_helpers.grading.examiner.proxies",
    "courseai_helpers.grading.examiner.stabilize",
    "courseai_helpers.images",
    "courseai_helpers.models",
    "courseai_helpers.plots",
    "courseai_helpers.explain.shortcut",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.pyplot",
    "numpy",
    "torch",
    "torchvision",
)
REQUEST = b"k"  # the message that carries a request; there is no other


def main() -> None:
    """Forks a supervisor for every request, until the other end is closed."""
    for module in MODULES:
        importlib.import_module(module)
    from courseai_helpers.grading.sandbox.supervisor import keep_kernel

    requests = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the grader
    signal.signal(signal.SIGCHLD, reap)
    gc.collect()
    gc.freeze()  # so that a later collection of garbage copies no shared pages
    while True:
        data, handles, _, _ = socket.recv_fds(requests, 1, 2)
        if not data:
            return
        channel_handle, link = [*handles, None][:2]
        refuse_threads()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with socket.socket(fileno=channel_handle) as channel:
                keep_kernel(channel, link)
            os._exit(0)
        for handle in handles:
            os.close(handle)


def reap(*_: object) -> None:
    """Reaps supervisors that have ended, so that their CPU time is counted."""
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
