"""Those who execute submissions at the same time."""

import os
import threading

import pytest

from courseai_helpers.grading.cluster import workers
from courseai_helpers.grading.cluster.execution import Executions, Submission

SECONDS = 60  # for threads to start, on a machine that has much else to do


@pytest.mark.parametrize("jobs", [1, 5, 7, 8])
def test_any_number_of_jobs_runs_at_once_in_this_process(jobs, monkeypatch):
    """So that all share its one warm process, from which kernels are forked."""
    all_here = threading.Barrier(jobs)

    class Meeting(Executions):
        def answer(self, submission):
            all_here.wait(SECONDS)
            return str(os.getpid()).encode()

    monkeypatch.setattr(workers, "Executions", Meeting)
    with workers.open_workers(jobs, None, sandbox=True, insecure=False) as opened:
        futures = [opened.submit(Submission(str(n), {})) for n in range(jobs)]
        answers = [future.result(SECONDS) for future in futures]
    assert opened.count == jobs and set(answers) == {str(os.getpid()).encode()}
