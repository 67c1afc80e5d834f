"""Owns this process's forkserver, and asks it for kernels."""

import atexit
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from courseai_helpers._common.printing import log_lines
from courseai_helpers.grading.sandbox.bubblewrap import Limits
from courseai_helpers.grading.sandbox.forkserver import REQUEST

log = logging.getLogger("courseai_helpers.grading.sandbox.forkserver")
_server: tuple[socket.socket, subprocess.Popen[bytes]] | None = None
_lock = threading.Lock()


def request_kernel(
    submission: Path | None,
    limits: Limits,
    key: str,
    link: socket.socket | None = None,
    examiner: bool = False,
) -> socket.socket:
    """Asks for a kernel in a sandbox of its own.

    Args:
        submission: The folder of which the kernel gets a copy.
        limits: What the kernel may use.
        key: The key that signs the messages to and from the kernel.
        link: A socket that leads to the kernel's counterpart.
        examiner: Whether the kernel is to run test cells.

    Returns:
        The socket that `supervisor.keep_kernel` answers on.
    """
    request = {
        "submission": submission and str(submission.resolve()),
        "limits": asdict(limits),
        "key": key,
        "examiner": examiner,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _lock, theirs:
        server = _find_server()
        handles = [theirs.fileno()] + ([link.fileno()] if link else [])
        socket.send_fds(server, [REQUEST], handles)
    ours.sendall(json.dumps(request).encode())
    return ours


def start_server() -> None:
    """Starts the forkserver ahead of the first request; it takes seconds to load."""
    with _lock:
        _find_server()


def _find_server() -> socket.socket:
    """Returns the socket of a running forkserver; starts one if there is none."""
    global _server
    if _server and _server[1].poll() is None:
        return _server[0]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {
        # A kernel's environment is set once it is forked. These are read on import.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "LANG": "C.UTF-8",
        "HOME": str(Path.home()),
        "PATH": os.environ.get("PATH", os.defpath),
    }
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "courseai_helpers.grading.sandbox.forkserver"],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
    for said in ((process.stdout, log.info), (process.stderr, log.warning)):
        threading.Thread(target=log_lines, args=said, daemon=True).start()
    _server = ours, process
    return ours


@atexit.register
def stop_server() -> None:
    """Ends the forkserver of this process; its kernels end with their sockets."""
    global _server
    with _lock:
        if _server:
            requests, process = _server
            requests.close()
            process.kill()  # it has nothing to save, and torch is slow to shut down
            process.wait()
        _server = None
