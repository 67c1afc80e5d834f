"""What nbgrader makes of submissions that are not in the form they should be in."""

import copy
import json
import subprocess
from pathlib import Path

import kernels
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook
from small_course import ASSIGNMENT, SOLUTIONS, TESTS, make_course, read_points, run

from courseai_helpers.grading.steps.failures import AUDIT

pytestmark = kernels.needs_sandbox

FULL = dict.fromkeys(TESTS, 1.0)
NO_DOUBLE = FULL | {"test_double_one": 0.0, "test_double_text": 0.0}
WORK = {}  # what each student hands in: a function that changes the right notebook
WANTED = {}  # what that is worth


def student(points: dict[str, float]):
    """Registers a way in which a student's notebook differs from the right one."""

    def register(change):
        WORK[change.__name__] = change
        WANTED[change.__name__] = points
        return change

    return register


def find(notebook, name):
    """Returns the index of a cell."""
    return [cell.get("id") for cell in notebook.cells].index(name)


@student(FULL)
def nothing(notebook):
    pass


@student(FULL)
def warnings_and_noise(notebook):
    notebook.cells[find(notebook, "double")].source = (
        "import sys, warnings\n"
        "def double(x):\n"
        "    warnings.warn('old')\n"
        "    print('noise', file=sys.stderr)\n"
        "    print('more noise')\n"
        "    return 2 * x"
    )


@student(FULL)
def numbers_put_out(notebook):
    notebook.cells[find(notebook, "double")].source = (
        "import numpy\n"
        "def double(x):\n"
        "    get_ipython().displayhook(0.25)\n"
        "    display(numpy.float64(0.25))\n"
        "    return 2 * x\n"
        "0.5"
    )


@student(NO_DOUBLE)
def numbers_instead_of_work(notebook):
    notebook.cells[
        find(notebook, "double")
    ].source = "def double(x):\n    get_ipython().displayhook(1)\n    return None"


@student(FULL)
def another_kernel(notebook):
    notebook.metadata["kernelspec"] = {
        "name": "julia-1.11",
        "display_name": "Julia",
        "language": "julia",
    }
    notebook.metadata["language_info"] = {"name": "julia"}


@student(FULL)
def no_metadata_at_all(notebook):
    notebook.metadata.clear()
    for cell in notebook.cells:
        cell.metadata.clear()


@student(FULL)
def deleted_tests(notebook):
    notebook.cells = [c for c in notebook.cells if not c.id.startswith("test_")]


@student(FULL)
def duplicated_tests(notebook):
    for name in TESTS:
        cell = copy.deepcopy(notebook.cells[find(notebook, name)])
        cell.id = f"copy-{name}".replace("_", "-")
        notebook.cells.append(cell)


@student(FULL)
def duplicated_answer(notebook):
    cell = copy.deepcopy(notebook.cells[find(notebook, "double")])
    cell.id, cell.source = "first-try", "def double(x):\n    return 3 * x"
    notebook.cells.insert(find(notebook, "double"), cell)


@student(FULL)
def moved_tests(notebook):
    notebook.cells.insert(0, notebook.cells.pop(find(notebook, "test_triple")))
    notebook.cells.append(notebook.cells.pop(find(notebook, "test_double_one")))


@student(FULL)
def moved_answer(notebook):
    notebook.cells.append(notebook.cells.pop(find(notebook, "double")))


def split(notebook, name, first, second):
    """Makes two cells with the same marks out of one."""
    index = find(notebook, name)
    half = copy.deepcopy(notebook.cells[index])
    half.id, half.source = "half", second
    notebook.cells[index].source = first
    notebook.cells.insert(index + 1, half)


@student(FULL)
def split_test(notebook):
    split(notebook, "test_double_one", "pass", "1 / 0")


@student(FULL)
def split_answer(notebook):
    split(notebook, "double", "factor = 2", "def double(x):\n    return factor * x")


@student(FULL)
def retyped_cells(notebook):
    for name in ("double", "test_double_one"):
        cell = notebook.cells[find(notebook, name)]
        marks, source = cell.metadata, cell.source
        new = new_markdown_cell(source, id=name, metadata=marks)
        notebook.cells[find(notebook, name)] = new


@student(NO_DOUBLE)
def edited_tests(notebook):
    notebook.cells[find(notebook, "double")].source = "def double(x):\n    return 0"
    for name in TESTS:
        cell = notebook.cells[find(notebook, name)]
        cell.source = "assert True"
        cell.metadata["nbgrader"]["points"] = 100
        cell.metadata["nbgrader"]["locked"] = False


@student(NO_DOUBLE)
def tags_that_skip_tests(notebook):
    notebook.cells[find(notebook, "double")].source = "def double(x):\n    return 0"
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception"]


@student(FULL)
def tags_on_right_work(notebook):
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "remove-cell"]


@student(FULL)
def questions(notebook):
    source = SOLUTIONS["double"] + "\nname = input('Who are you? ')"
    notebook.cells[find(notebook, "double")].source = source


@student(FULL)
def magics(notebook):
    source = "%matplotlib inline\n!echo hello\n%config InlineBackend.dpi = 3\n"
    notebook.cells[find(notebook, "double")].source = source + SOLUTIONS["double"]


@student(FULL)
def leaves_early(notebook):
    source = SOLUTIONS["double"] + "\nimport sys\nsys.exit(0)"
    notebook.cells[find(notebook, "double")].source = source


@student(FULL | {"test_double_one": 0.0, "test_double_text": 0.0})
def leaves_in_the_function(notebook):
    source = "import sys\ndef double(x):\n    sys.exit(0)"
    notebook.cells[find(notebook, "double")].source = source


@student(FULL)
def strange_marks(notebook):
    for cell in notebook.cells:
        cell.metadata["nbgrader"] = {"schema_version": 99, "grade_id": cell.id}
    extra = new_code_cell("1 + 1", metadata={"nbgrader": {"grade_id": "mine"}})
    notebook.cells.append(extra)
    notebook.cells.append(new_code_cell("2", metadata={"nbgrader": "broken"}))


@student(FULL)
def same_id_everywhere(notebook):
    for cell in notebook.cells:
        cell.id = "same"


@student(FULL)
def invalid_everywhere(notebook):
    notebook.metadata = {"authors": "me", "kernelspec": 5, "title": ["a"]}
    for cell in notebook.cells:
        cell.id = "not a valid id: " + cell.id
        cell.metadata.update({"collapsed": "yes", "name": 7, "tags": "a,b"})
        cell.outputs = [{"output_type": "nonsense"}]
        cell.execution_count = "twelve"


@student(NO_DOUBLE | {"test_triple": 0.0})
def empty(notebook):
    notebook.cells = []


@student(FULL)
def old_format(notebook):
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]


@student(FULL)
def very_old_format(notebook):
    pass


def write(course: Path, name: str) -> None:
    """Hands in one student's notebook."""
    release = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(release, as_version=4)
    for cell in notebook.cells:
        cell.source = SOLUTIONS.get(cell.id, cell.source)
    WORK[name](notebook)
    if name == "very_old_format":
        notebook = nbformat.convert(notebook, 3)
    folder = course / "submitted" / name / ASSIGNMENT
    folder.mkdir(parents=True)
    (folder / release.name).write_text(json.dumps(notebook))


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """A course in which one `nbgrader autograde` went over all of them."""
    course = make_course(tmp_path_factory.mktemp("robust") / "course")
    for name in WORK:
        write(course, name)
    return course, run(course, "nbgrader", "autograde", ASSIGNMENT)


def read_notes(course: Path, name: str) -> str:
    """Returns the audit note in a student's autograded notebook, '' without one."""
    path = course / "autograded" / name / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notes = [cell.source for cell in notebook.cells if cell.metadata.get(AUDIT)]
    assert len(notes) == (1 if notebook.metadata[AUDIT] else 0)
    return "".join(notes)


def test_one_run_grades_all_of_them(graded):
    course, result = graded
    assert result.returncode == 0, result.stdout
    assert set(read_points(course)) == set(WORK)


@pytest.mark.parametrize("name", WORK)
def test_points_are_those_of_what_was_solved(graded, name):
    course, result = graded
    assert read_points(course)[name] == WANTED[name], result.stdout


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("deleted_tests", "test_double_one was missing"),
        ("duplicated_tests", "test_triple was there 2 times"),
        ("duplicated_answer", "double was there 2 times"),
        ("moved_tests", "test_triple had been moved"),
        ("moved_answer", "double had been moved"),
        ("split_test", "test_double_one was there 2 times"),
        ("retyped_cells", "double was no code cell any more"),
        ("edited_tests", "test_double_one had been edited"),
        ("tags_that_skip_tests", "test_double_one had the tag skip-execution"),
    ],
)
def test_a_repair_is_noted_for_the_instructor(graded, name, note):
    course, result = graded
    assert f"- {note}" in read_notes(course, name)
    assert f"{name}: {note}" in result.stdout


def test_a_notebook_as_it_should_be_has_no_note(graded):
    course, _ = graded
    assert read_notes(course, "nothing") == ""
    assert read_notes(course, "warnings_and_noise") == ""


def test_every_autograded_notebook_is_valid_and_can_be_opened_by_the_formgrader(graded):
    course, _ = graded
    for path in course.glob("autograded/*/*/*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for submission in gradebook.assignment_submissions(ASSIGNMENT):
            assert len(submission.notebooks[0].grades) == len(TESTS)


def test_a_file_that_is_no_notebook_costs_nobody_else_the_points(graded):
    course, _ = graded
    for name, text in (("broken", '{"cells": ['), ("fine", None)):
        folder = course / "submitted" / name / ASSIGNMENT
        folder.mkdir(parents=True)
        source = course / "submitted" / "nothing" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        (folder / source.name).write_text(text or source.read_text())
    result = run(course, "nbgrader", "autograde", ASSIGNMENT)
    assert result.returncode != 0
    assert "for student 'broken'" in result.stdout
    assert read_points(course)["fine"] == FULL
