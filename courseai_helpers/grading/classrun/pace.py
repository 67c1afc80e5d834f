"""Measures how long right work takes, to set limits for a class by it."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from courseai_helpers.grading.classrun.autograde import StagedAutograde
from courseai_helpers.grading.cluster.execution import Executions, Submission
from courseai_helpers.grading.examiner.kernel import is_test
from courseai_helpers.grading.steps.execute import SandboxedExecute
from courseai_helpers.grading.steps.failures import CAUSES

MANY = 10  # submissions; for fewer it takes longer than it saves
REFERENCE = "the authored notebook"

log = logging.getLogger(__name__)


class Measurement(Executions):
    """An execution that notes how long each cell took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}

    def run(
        self,
        preprocessor: SandboxedExecute,
        notebook: NotebookNode,
        resources: dict[str, Any],
    ) -> NotebookNode:
        """Executes a notebook."""
        executed = super().run(preprocessor, notebook, resources)
        self.seconds |= preprocessor.seconds
        return executed


def make_reference(converter: StagedAutograde) -> Submission | None:
    """Returns the authored notebooks with their solutions, as a submission.

    None if they are not on this machine: the usual limits hold then.
    """
    coursedir = converter.coursedir
    place = (coursedir.source_directory, ".", coursedir.assignment_id)
    folder = Path(coursedir.format_path(*place))
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        return None
    notebooks = {
        path.stem: nbformat.writes(nbformat.read(path, as_version=4)) for path in paths
    }
    return Submission(REFERENCE, notebooks, converter.collect_files(folder))


@contextlib.contextmanager
def measuring_pace(
    reference: Submission, tell: Callable[[dict[str, float]], None]
) -> Iterator[None]:
    """Measures what each cell of right work takes, beside what is done meanwhile.

    Args:
        reference: What `make_reference` returned, with the settings of its execution.
        tell: Is called with the seconds of each cell, from another thread. It is not
            called if they can't be measured.
    """
    measurement = Measurement()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: tell(measure_pace(reference, measurement)))
        try:
            yield
        finally:
            in_time = future.done()
            measurement.stop()
    if in_time and (error := future.exception()):  # only other machines may be able to
        log.warning("How long right work takes was not measured: %s", error)


def measure_pace(reference: Submission, measurement: Measurement) -> dict[str, float]:
    """Returns how long each cell takes, if the tests accept the authored solutions."""
    for notebook in measurement.execute(reference).values():
        tests = {cell.id for cell in notebook.cells if is_test(cell)}
        if wrong := tests.intersection(notebook.metadata[CAUSES]):
            log.warning(
                "The authored solutions fail %s: how long right work takes is not "
                "known, so that every cell may take as long as nbgrader_config.py says",
                ", ".join(sorted(wrong)),
            )
            return {}
    return measurement.seconds
