"""Right work gets its points, in whatever way it is handed in: see right_work.py.

There is time for every third way. COURSEAI_WAYS is an expression to search for among
their names; a dot finds all of them.
"""

import os
import re
import shutil
from pathlib import Path

import kernels
import nbformat
import pytest
from bank import NOTEBOOK, ROOT
from conftest import ASSIGNMENT, drop_figures
from nbgrader.api import Gradebook
from right_work import LESSON, PART, PART_CELLS, WAYS, Way, hand_in
from small_course import run

pytestmark = kernels.needs_sandbox

SETTINGS = "\nc.ExecutePreprocessor.timeout = 20\n"
WANTED = os.environ.get("COURSEAI_WAYS")
CHOSEN = [
    entry
    for number, entry in enumerate(WAYS.values())
    if (re.search(WANTED, entry.name) if WANTED else entry.plain or number % 3 == 0)
]


def make_course(folder: Path, kind: str) -> Path:
    """Makes a course whose assignment is the lesson, or a part of it, generated."""
    path = folder / "source" / ASSIGNMENT / NOTEBOOK.name
    path.parent.mkdir(parents=True)
    shutil.copy(NOTEBOOK, path)
    drop_figures(path)
    if kind == PART:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [
            cell
            for cell in notebook.cells
            if PART_CELLS.match(cell.id) and cell.cell_type == "code"
        ]
        nbformat.write(notebook, path)
    settings = (ROOT / "nbgrader_config.py").read_text()
    (folder / "nbgrader_config.py").write_text(settings + SETTINGS)
    result = run(folder, "nbgrader", "generate_assignment", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    return folder


def read_lost(course: Path) -> dict[str, dict[str, float]]:
    """Returns the points that each student did not get, by test cell."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.max_score - (grade.auto_score or 0.0)
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.cell.cell_type == "code"
                and grade.auto_score != grade.max_score
            }
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def grade(folder: Path, ways: list[Way], *command: str) -> dict[str, dict]:
    """Hands ways in and grades them; returns what each lost."""
    lost = {}
    for kind in (PART, LESSON):
        chosen = [entry for entry in ways if entry.course == kind]
        if not chosen:
            continue
        course = make_course(folder / kind, kind)
        for entry in chosen:
            hand_in(entry, course, ASSIGNMENT)
        result = run(course, *command)
        print(result.stdout)
        lost |= read_lost(course)
    return lost


@pytest.fixture(scope="module")
def lost(tmp_path_factory) -> dict[str, dict[str, float]]:
    """What each way lost in one run of `courseai grade` over the whole class."""
    command = ("courseai_helpers.cli", "grade", ASSIGNMENT, "--jobs=2")
    return grade(tmp_path_factory.mktemp("right"), CHOSEN, *command)


@pytest.mark.parametrize("entry", CHOSEN, ids=str)
def test_right_work_gets_its_points(lost, entry):
    assert lost.get(entry.name, "not graded") == entry.lost, entry.reason


def describe(entry: Way, lost: dict[str, float] | None) -> str:
    """Returns a line of the table."""
    points = "?" if lost is None else f"{sum(lost.values()):.1f}"
    return f"{entry.name:52} {points:>6}  {entry.reason}".rstrip()


def test_the_table_of_right_work(lost, show_table):
    lines = [describe(entry, lost.get(entry.name)) for entry in CHOSEN]
    show_table("\n".join([f"{'a way to hand in':52} {'lost':>6}  why", *lines]))


def test_plain_nbgrader_gives_the_same(tmp_path):
    sample = [entry for entry in CHOSEN if entry.plain]
    lost = grade(tmp_path, sample, "nbgrader", "autograde", ASSIGNMENT)
    assert lost == {entry.name: entry.lost for entry in sample}
