"""Right work gets its points, in whatever way it is handed in: see right_work.py.

There is time for every fifth way. COURSEAI_WAYS is an expression to search for among
their names; a dot finds all of them.
"""

import os
import re
import shutil
import zipfile
from pathlib import Path

import kernels
import nbformat
import pytest
import right_files  # noqa: F401 - it registers ways
from bank import NOTEBOOK, ROOT
from conftest import ASSIGNMENT, drop_figures
from nbgrader.api import Gradebook
from right_work import LESSON, PART, PART_CELLS, QUESTION, WAYS, Way, hand_in
from small_course import run

pytestmark = kernels.needs_sandbox

WAITS = "waits for a person"
SETTINGS = "\nc.ExecutePreprocessor.timeout = 20\n"
WANTED = os.environ.get("COURSEAI_WAYS")
CHOSEN = [
    entry
    for number, entry in enumerate(WAYS.values())
    if (re.search(WANTED, entry.name) if WANTED else entry.plain or number % 5 == 0)
]


def make_course(folder: Path, kind: str, more: str = SETTINGS) -> Path:
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
            if PART_CELLS.match(cell.id) and cell.metadata.get("nbgrader")
        ]
        nbformat.write(notebook, path)
    settings = (ROOT / "nbgrader_config.py").read_text()
    (folder / "nbgrader_config.py").write_text(settings + more)
    result = run(folder, "nbgrader", "generate_assignment", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    return folder


def read_lost(course: Path) -> dict[str, dict[str, float | str]]:
    """Returns the points that each student did not get, by test cell.

    Of the question it says whether a person is to read the answer.
    """
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.max_score - (grade.auto_score or 0.0)
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.cell.cell_type == "code"
                and grade.auto_score != grade.max_score
            }
            | {
                grade.name: WAITS
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.name == QUESTION and grade.needs_manual_grade
            }
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def expect(entry: Way) -> dict[str, float | str]:
    """Returns what `read_lost` should say."""
    return entry.lost | ({QUESTION: WAITS} if entry.waits else {})


def upload(course: Path, ways: list[Way]) -> None:
    """Lets students upload their files to Canvas, and imports what it has."""
    with (
        Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook,
        zipfile.ZipFile(course / "canvas.zip", "w") as archive,
    ):
        for number, entry in enumerate(ways, start=101):
            gradebook.add_student(entry.name, lms_user_id=str(number))
            for place, path in enumerate(
                sorted((course / "uploads" / entry.name).rglob("*.*")), start=9001
            ):
                archive.write(path, f"someone_{number}_{place}_{path.name}")
    command = ("courseai_helpers.cli", "import", "submissions", "canvas.zip")
    result = run(course, *command, ASSIGNMENT)
    assert result.returncode == 0, result.stdout


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
        if uploaded := [entry for entry in chosen if entry.uploaded]:
            upload(course, uploaded)
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
    assert lost.get(entry.name, "not graded") == expect(entry), entry.reason


def describe(entry: Way, lost: dict[str, float] | None) -> str:
    """Returns a line of the table."""
    if lost is None:
        return f"{entry.name:52}      ?"
    points = sum(value for value in lost.values() if value != WAITS)
    reason = f"the written answer {WAITS}" if QUESTION in lost else entry.reason
    return f"{entry.name:52} {points:>6.1f}  {reason}".rstrip()


def test_the_table_of_right_work(lost, show_table):
    lines = [describe(entry, lost.get(entry.name)) for entry in CHOSEN]
    show_table("\n".join([f"{'a way to hand in':52} {'lost':>6}  why", *lines]))


@pytest.mark.long
def test_plain_nbgrader_gives_the_same(tmp_path):
    sample = [entry for entry in CHOSEN if entry.plain]
    lost = grade(tmp_path, sample, "nbgrader", "autograde", ASSIGNMENT)
    assert lost == {entry.name: expect(entry) for entry in sample}
