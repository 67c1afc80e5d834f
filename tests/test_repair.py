"""What is noted about a submission: nothing on untouched work, all that was changed."""

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from conftest import ASSIGNMENT, copy_course
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from small_course import ASSIGNMENT as SMALL
from small_course import make_course

from courseai_helpers.grading.originals import Original, read_originals
from courseai_helpers.grading.repair import repair

HAND_OUTS = ("source", "release", "solutions")


@pytest.fixture(scope="module")
def lesson(root, run, tmp_path_factory) -> Path:
    """A course with the lesson, generated."""
    course = copy_course(root, tmp_path_factory.mktemp("lesson"))
    result = run(course, "nbgrader", "generate_assignment", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    (course / "solutions").symlink_to(root / "solutions")
    return course


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The small course."""
    return make_course(tmp_path_factory.mktemp("small") / "course")


def read(course: Path, kind: str, name: str) -> tuple[NotebookNode, dict]:
    """Returns a notebook of a course and what the gradebook knows of its cells."""
    notebook = nbformat.read(course / kind / name / f"{name}.ipynb", as_version=4)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return notebook, read_originals(gradebook, name, name)


def list_locked(originals: dict[str, Original]) -> list[str]:
    """Returns the names of the cells that students must not change."""
    return [name for name, original in originals.items() if not original.is_answer]


@pytest.mark.parametrize("kind", HAND_OUTS)
def test_nothing_is_noted_on_the_untouched_lesson(lesson, kind):
    notebook, originals = read(lesson, kind, ASSIGNMENT)
    assert len(list_locked(originals)) > 25
    assert repair(notebook, originals) == []


@pytest.mark.parametrize("kind", ("source", "release"))
def test_nothing_is_noted_on_the_untouched_small_notebook(small, kind):
    assert repair(*read(small, kind, SMALL)) == []


EDITS: dict[str, Callable[[str], str]] = {
    "emptied": lambda source: "",
    "a line in front": lambda source: f"x = 1\n{source}",
    "a line behind": lambda source: f"{source}\nx = 1",
    "the first line gone": lambda source: source.partition("\n")[2],
    "the last line gone": lambda source: source.rpartition("\n")[0],
    "a letter": lambda source: f"{source[:9]}x{source[9:]}",
}


@pytest.mark.parametrize("edit", EDITS)
def test_just_the_edited_cells_of_the_lesson_are_noted(lesson, edit):
    released, originals = read(lesson, "release", ASSIGNMENT)
    locked = list_locked(originals)
    for start in range(3):
        notebook, edited = copy.deepcopy(released), locked[start::3]
        for cell in notebook.cells:
            if cell.id in edited:
                cell.source = EDITS[edit](cell.source)
        notes = repair(notebook, originals)
        assert [note.partition(" had been edited")[0] for note in notes] == edited


def test_what_editors_do_to_line_ends_is_no_edit(lesson):
    notebook, originals = read(lesson, "release", ASSIGNMENT)
    for cell in notebook.cells:
        cell.source = "\r\n".join(f"{line}  " for line in cell.source.split("\n"))
    assert repair(notebook, originals) == []
