"""What right work takes is measured beside the grading, and holds nobody up."""

import contextlib
import threading

import kernels
import nbformat
import pytest
from small_course import ASSIGNMENT, make_course

from courseai_helpers.grading.classrun.pace import make_reference, measuring_pace
from courseai_helpers.grading.classrun.run import prepare
from courseai_helpers.grading.cluster.execution import Submission

pytestmark = kernels.needs_sandbox


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Submission:
    """The authored notebook of the small course."""
    course = make_course(tmp_path_factory.mktemp("pace") / "course")
    with contextlib.chdir(course):
        run = prepare(course, ASSIGNMENT, sandbox=True)
    reference = make_reference(run.converter)
    assert reference is not None
    return reference


def test_every_cell_is_measured_while_others_are_graded(reference):
    found, told = {}, threading.Event()

    def tell(seconds: dict[str, float]) -> None:
        found.update(seconds)
        told.set()

    with measuring_pace(reference, tell):
        assert told.wait(300)
    assert {"double", "triple", "test_double_one", "test_triple"} <= found.keys()
    assert all(seconds > 0 for seconds in found.values())


def test_who_is_done_sooner_does_not_wait_for_it(reference):
    notebook = nbformat.reads(reference.notebooks[ASSIGNMENT], as_version=4)
    notebook.cells[0].source = "while True: pass"
    endless = Submission("", {ASSIGNMENT: nbformat.writes(notebook)})
    told = []
    with measuring_pace(endless, told.append):
        pass
    assert not told
