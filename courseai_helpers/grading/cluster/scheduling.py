"""Has the workers of a Dask scheduler execute submissions, through a courier.

This process never speaks Dask, which would unpickle what workers send: see courier.py.
"""

import contextlib
import logging
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from typing import IO

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.printing import log_lines
from courseai_helpers.grading.cluster.courier import HEADER, Kind
from courseai_helpers.grading.cluster.execution import Submission
from courseai_helpers.grading.cluster.replies import MAX_REPLY, make_printable

log = logging.getLogger("courseai_helpers.grading.cluster.courier")

GONE = (
    "The connection to the Dask scheduler was lost. What was graded is safe: run the "
    "same command again, and it goes on from here."
)
LOST = "the scheduler gave up on it. Did workers end? What they printed may say why"
WHY = (
    "Whoever reaches a Dask scheduler can have code run on it and on its workers. So "
    "only a scheduler at tls:// is used, which lets in those who have its certificate; "
    "--insecure-scheduler takes any."
)
HELP = (
    "Start one with `dask scheduler`, and workers with `dask worker ADDRESS "
    "--nthreads N`, for N submissions at a time."
)
MAX_WORKERS = 1000  # twice as many submissions wait in memory
CERTIFICATES = """\
Make a certificate, which signs itself and is for grading alone:

    (umask 077; openssl req -x509 -newkey rsa:3072 -nodes -days 180 \\
        -subj /CN=grading -keyout grading.pem -out grading.crt; \\
        cat grading.crt >> grading.pem)

Copy grading.pem to every machine that takes part, readable for you alone, and name it
there, to the scheduler, to the workers and to this command:

    export DASK_DISTRIBUTED__COMM__TLS__CA_FILE=$PWD/grading.pem
    export DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__CERT=$PWD/grading.pem
    export DASK_DISTRIBUTED__COMM__TLS__WORKER__CERT=$PWD/grading.pem
    export DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT=$PWD/grading.pem
    dask scheduler --protocol tls --no-dashboard

The guide "Grade a class" has the whole of it."""


class LostError(Exception):
    """Says that there will be no reply to a submission."""


class Courier:
    """The program that talks to the scheduler, seen from here.

    Attributes:
        process: The program.
        requests: Where it reads submissions.
        replies: Where it writes what became of them.
        waiting: What its replies are for, by the numbers that they bear.
        gone: Whether it has ended.
    """

    def __init__(self, address: str, sandbox: bool):
        command = [
            sys.executable,
            "-P",
            "-m",
            "courseai_helpers.grading.cluster.courier",
        ]
        self.process = subprocess.Popen(
            [*command, address, "sandbox" if sandbox else "no sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for this process, which stops it
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.requests, self.replies = self.process.stdin, self.process.stdout
        said = (self.process.stderr, log.info)
        threading.Thread(target=log_lines, args=said, daemon=True).start()
        self.numbers = count()
        self.waiting: dict[int, Future[bytes]] = {}
        self.gone = False
        self.lock = threading.Lock()

    def submit(self, submission: Submission) -> "Future[bytes]":
        """Sends a submission, without the student's name, to be executed."""
        content = pickle.dumps(replace(submission, student=""))
        future: Future[bytes] = Future()
        with self.lock:
            number = next(self.numbers)
            self.waiting[number] = future
            if self.gone:
                future.set_exception(CourseError(GONE))
                return future
        with contextlib.suppress(OSError):  # it is gone, which `receive` notices
            self.requests.write(HEADER.pack(0, number, len(content)) + content)
            self.requests.flush()
        return future

    def receive(self) -> None:
        """Hands each reply to the future that waits for it, until the stream ends."""
        with contextlib.suppress(EOFError, KeyError):
            while True:
                kind, number, reply = read_message(self.replies)
                future = self.waiting.pop(number)
                if kind == Kind.REPLY:
                    future.set_result(reply)
                else:
                    future.set_exception(LostError(LOST))
        with self.lock:
            self.gone = True
            for future in self.waiting.values():
                future.set_exception(CourseError(GONE))


@contextlib.contextmanager
def open_courier(
    address: str, *, sandbox: bool, insecure: bool
) -> Iterator[tuple[Courier, int]]:
    """Opens a connection to a scheduler.

    Args:
        address: The scheduler's address.
        sandbox: Whether every worker must be able to isolate student code.
        insecure: Whether to accept one that anybody can connect to.

    Yields:
        The courier, and how many submissions are executed at the same time.

    Raises:
        CourseError: if no worker can execute submissions.
    """
    if not (insecure or address.startswith("tls://")):
        raise CourseError(f"{address} is not safe. {WHY} {CERTIFICATES}")
    courier = Courier(address, sandbox)
    try:
        try:
            kind, _, content = read_message(courier.replies)
        except EOFError:
            kind, content = Kind.TROUBLE, b"what asked for it has ended"
        text = make_printable(content.decode(errors="replace"))
        if kind == Kind.NO_CERTIFICATE:
            raise CourseError(f"Dask's settings name no certificate. {CERTIFICATES}")
        if kind == Kind.NO_SANDBOX:
            raise CourseError(f"A worker can't grade: {text}")
        if kind != Kind.READY or not re.fullmatch("[0-9]{1,9}", text):
            raise CourseError(
                f"There is no Dask scheduler at {address} ({text}). {HELP}"
            )
        threading.Thread(target=courier.receive, daemon=True).start()
        yield courier, min(int(text), MAX_WORKERS)
    finally:
        courier.process.kill()  # it has nothing to save
        courier.process.wait()
        courier.requests.close()


def read_message(stream: IO[bytes]) -> tuple[int, int, bytes]:
    """Reads a message of the courier.

    Raises:
        EOFError: if there are no more, or if it is malformed.
    """
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    kind, number, length = HEADER.unpack(header)
    content = stream.read(length) if length <= MAX_REPLY else b""
    if len(content) < length:
        raise EOFError
    return kind, number, content
