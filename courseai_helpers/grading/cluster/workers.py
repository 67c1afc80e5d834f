"""Opens what executes submissions: threads of this process, or Dask's workers."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from courseai_helpers.grading.cluster.execution import Executed, Executions, Submission
from courseai_helpers.grading.cluster.replies import ReplyError, read_reply
from courseai_helpers.grading.cluster.scheduling import LostError, open_courier

log = logging.getLogger(__name__)

ATTEMPTS = 3  # for failures that are our own fault


@dataclass
class Workers:
    """What executes submissions.

    Attributes:
        submit: Takes a submission; its future brings a reply for `read_reply`.
        count: How many submissions they execute at the same time.
    """

    submit: Callable[[Submission], "Future[bytes]"]
    count: int


def execute_all(
    submissions: Iterable[Submission], workers: Workers
) -> Iterator[Executed]:
    """Has submissions executed; those that fail through our own fault are tried again.

    Yields:
        Each submission as it comes back, executed or with the reason why not.
    """
    waiting = iter(submissions)
    sent: dict[Future[bytes], tuple[Submission, int]] = {}
    while True:
        # Twice as many as are executed, so that no worker waits for its next one.
        for submission in islice(waiting, max(0, 2 * workers.count - len(sent))):
            sent[workers.submit(submission)] = submission, 1
        if not sent:
            return
        for future in wait(sent, return_when=FIRST_COMPLETED).done:
            submission, attempt = sent.pop(future)
            try:
                yield receive(submission, future.result())
            except LostError as error:
                yield Executed(submission.student, trouble=str(error))
            except ReplyError as error:
                if attempt < ATTEMPTS:
                    log.info("%s is sent again: %s", submission.student, error)
                    sent[workers.submit(submission)] = submission, attempt + 1
                else:
                    yield Executed(submission.student, trouble=str(error))


def receive(submission: Submission, reply: bytes) -> Executed:
    """Returns a submission as it came back."""
    notebooks, seconds = read_reply(reply, submission.notebooks)
    return Executed(submission.student, notebooks, seconds)


@contextlib.contextmanager
def open_workers(
    jobs: int, scheduler: str | None, *, sandbox: bool, insecure: bool
) -> Iterator[Workers]:
    """Opens the workers of a scheduler, or threads if none is named."""
    if scheduler is None:
        with open_threads(jobs) as workers:
            yield workers
    else:
        ways = {"sandbox": sandbox, "insecure": insecure}
        with open_courier(scheduler, **ways) as (courier, count):
            yield Workers(courier.submit, count)


@contextlib.contextmanager
def open_threads(jobs: int) -> Iterator[Workers]:
    """Opens threads of this process, which share the one that forks kernels.

    They mostly wait for kernels. If an exception is raised, all executions are stopped.
    """
    executions = Executions()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield Workers(lambda s: pool.submit(executions.answer, s), jobs)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            executions.stop()
            raise
