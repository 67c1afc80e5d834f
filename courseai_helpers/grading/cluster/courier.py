"""Carries submissions to a Dask scheduler and replies back; it is run as a program.

Dask unpickles what comes in: results, exceptions, messages to print. So the grading
process leaves the talking to this one. It refuses every pickle that could run code.
What it hands on is read as JSON by a process that never speaks to a worker, and what it
says of itself is a line in that process's log.
"""

import os
import resource
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from courseai_helpers.grading.cluster.execution import answer_packed, try_sandbox
from courseai_helpers.grading.cluster.replies import MAX_REPLY

if TYPE_CHECKING:
    from distributed import Client, Future

HEADER = struct.Struct("!BQQ")  # a kind, the number of a submission, a length
MEMORY = 2**32  # bytes for this process, whatever is sent to it


class Kind(IntEnum):
    """What a message from the courier says."""

    READY = 0  # how many submissions are executed at a time
    TROUBLE = 1  # why no worker can execute any
    REPLY = 2  # to a submission
    LOST = 3  # there will be no reply to a submission
    NO_CERTIFICATE = 4  # that Dask knows of
    NO_SANDBOX = 5  # on a worker


class RefusedPickleError(TypeError):
    """Says that a pickle held more than bytes; Dask treats it as damaged."""


class NobodyError(Exception):
    """Says why no worker can execute submissions."""

    def __init__(self, kind: Kind, reason: bytes = b""):
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


def refuse_pickles(event: str, arguments: tuple[Any, ...]) -> None:
    """Keeps pickles from naming functions and classes, without which none can run.

    This is an audit hook: Python calls it for every unpickler, and it can't be removed.
    """
    if event == "pickle.find_class" and arguments != ("builtins", "bytes"):
        raise RefusedPickleError("a pickle that is more than bytes was refused")


def main(address: str, sandbox: str) -> None:
    """Carries until the other end of the standard input is closed."""
    requests, replies = open_pipes()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    sys.addaudithook(refuse_pickles)
    tell = partial(write_frame, threading.Lock(), replies)
    try:
        client = connect(address, sandbox=sandbox == "sandbox")
    except NobodyError as error:
        return tell(error.kind, 0, error.reason)
    count = sum(client.nthreads().values())
    tell(Kind.READY, 0, str(count).encode())
    carry(client, requests, tell)
    return None


def connect(address: str, *, sandbox: bool) -> "Client":
    """Returns a connection to a scheduler whose workers can execute submissions.

    Raises:
        NobodyError: if there are none.
    """
    from distributed import Security

    from courseai_helpers.grading.cluster.client import DeafClient

    security: Any = Security()  # from Dask's own settings
    if address.startswith("tls:") and not security.tls_ca_file:
        raise NobodyError(Kind.NO_CERTIFICATE)
    options = {"set_as_default": False, "direct_to_workers": False}
    try:
        client = DeafClient(address, security=security, timeout=20, **options)
        client.wait_for_workers(1, timeout=60)
    except OSError as error:  # a time-out, too
        raise NobodyError(Kind.TROUBLE, str(error).encode()) from None
    if sandbox:
        answers = client.run(try_sandbox, on_error="ignore").values()
        if reasons := [each for each in answers if each and isinstance(each, bytes)]:
            raise NobodyError(Kind.NO_SANDBOX, reasons[0])
    return client


def open_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Takes input and output for itself; what others print goes to the error stream."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return streams


def carry(client: "Client", requests: BinaryIO, tell: Callable[..., None]) -> None:
    """Sends each submission to a worker, and each reply back."""
    while header := requests.read(HEADER.size):
        _, number, length = HEADER.unpack(header)
        future = client.submit(answer_packed, requests.read(length), pure=False)
        future.add_done_callback(partial(deliver, tell, number))


def deliver(tell: Callable[..., None], number: int, future: "Future[Any]") -> None:
    """Tells what became of a submission."""
    try:
        reply = future.result()
    except (Exception, CancelledError):
        # The error came as a pickle, which is not read, so its reason is unknown.
        return tell(Kind.LOST, number, b"")
    if not isinstance(reply, bytes) or len(reply) > MAX_REPLY:
        reply = b""  # not JSON
    return tell(Kind.REPLY, number, reply)


def write_frame(
    lock: threading.Lock, stream: BinaryIO, kind: Kind, number: int, content: bytes
) -> None:
    """Writes a message, all of it."""
    with lock:
        stream.write(HEADER.pack(kind, number, len(content)) + content)
        stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
