"""Notes on a submission: none for untouched work, one for each change."""

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from conftest import ASSIGNMENT, copy_course
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade
from small_course import ASSIGNMENT as SMALL
from small_course import make_course
from traitlets.config import Config

from courseai_helpers.grading.steps.repair import repair
from courseai_helpers.grading.steps.stray_answers import point_to_answers
from courseai_helpers.grading.submissions.originals import (
    Handout,
    Original,
    read_handout,
    read_originals,
)

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
        notes = [note for note in notes if not note.startswith("What was added")]
        assert [note.partition(" had been edited")[0] for note in notes] == edited


def test_what_editors_do_to_line_ends_is_no_edit(lesson):
    notebook, originals = read(lesson, "release", ASSIGNMENT)
    for cell in notebook.cells:
        cell.source = "\r\n".join(f"{line}  " for line in cell.source.split("\n"))
    assert repair(notebook, originals) == []


# Where the answer to a question about the grids may be; the cell itself is as it was.
TEXT = "My answer: the maps get coarser, and row 2, column 3 shows the ears."


def put(*cells, at: int = 1, keep: bool = True) -> Callable:
    """Returns a change: cells beside the marked one, or in its place."""

    def change(nb: NotebookNode, place: int) -> None:
        nb.cells[place + at : place + at] = [copy.deepcopy(cell) for cell in cells]
        if not keep:
            del nb.cells[place]

    return change


def write_into(name: str) -> Callable:
    """Returns a change: the answer in a cell of the lesson that has no marks."""

    def change(nb: NotebookNode, place: int) -> None:
        cell = next(cell for cell in nb.cells if cell.id == name)
        cell.source += f"\n\n{TEXT}"

    return change


def merge_into_the_one_above(nb: NotebookNode, place: int) -> None:
    """Merges the marked cell into the one above, as JupyterLab does."""
    nb.cells[place - 1].source += f"\n\n{nb.cells[place].source}\n\n{TEXT}"
    del nb.cells[place]


BESIDE = {
    "a cell below": put(new_markdown_cell(TEXT)),
    "a cell above": put(new_markdown_cell(TEXT), at=0),
    "a raw cell": put(new_raw_cell(TEXT)),
    "a comment": put(new_code_cell(f"# {TEXT}")),
    "printed": put(new_code_cell(f"print({TEXT!r})")),
    "with a heading": put(new_markdown_cell(f"## What I see\n\n{TEXT}")),
    "two cells": put(new_markdown_cell("# Mine"), new_markdown_cell(TEXT)),
    "an empty cell between": put(new_code_cell(""), new_markdown_cell(TEXT)),
    "in its place": put(new_markdown_cell(TEXT), keep=False),
    "in its place, as code": put(new_code_cell(repr(TEXT)), keep=False),
    "in the next heading": write_into("optimize_text"),
    "in the text above": write_into("check_2"),
    "merged": merge_into_the_one_above,
}


@pytest.fixture(scope="module")
def handout(lesson) -> tuple[NotebookNode, Handout]:
    """The lesson as it was released, and what is known of it."""
    notebook, _ = read(lesson, "release", ASSIGNMENT)
    config = Config({"CourseDirectory": {"root": str(lesson)}})
    with Gradebook(f"sqlite:///{lesson / 'gradebook.db'}") as gradebook:
        return notebook, read_handout(gradebook, ASSIGNMENT, ASSIGNMENT, config)


def judge_written(notebook: NotebookNode, handout: Handout) -> tuple[dict, list[str]]:
    """Repairs a notebook; returns what nbgrader gives for each answer, and notes."""
    notes = point_to_answers(notebook, handout) + repair(notebook, handout.originals)
    nbformat.validate(notebook)
    return {
        cell.id: determine_grade(cell)[0]
        for cell in notebook.cells
        if cell.cell_type == "markdown" and cell.metadata.get("nbgrader")
    }, notes


@pytest.mark.parametrize("way", BESIDE)
def test_a_written_answer_beside_its_cell_is_read_by_a_person(handout, way):
    released, known = handout
    notebook = copy.deepcopy(released)
    place = [cell.id for cell in notebook.cells].index("reflect_hierarchy")
    BESIDE[way](notebook, place)
    points, notes = judge_written(notebook, known)
    assert points == dict.fromkeys(points, 0) | {"reflect_hierarchy": None}
    assert "reflect_hierarchy had no answer in its cell, but" in notes[-1]
    order = [cell.id for cell in notebook.cells]
    marked = notebook.cells[order.index("reflect_hierarchy")]
    assert "It may be in the cells beside it" in marked.source
    near = notebook.cells[order.index(marked.id) - 2 : order.index(marked.id) + 4]
    assert any(TEXT in cell.source for cell in near)


@pytest.mark.parametrize("kind", ("source", "release"))
def test_who_wrote_nothing_beside_a_question_waits_for_nobody(lesson, handout, kind):
    notebook, _ = read(lesson, kind, ASSIGNMENT)
    notebook.cells.insert(20, new_code_cell("1 + 1"))
    points, notes = judge_written(notebook, handout[1])
    assert notes == []
    assert kind == "source" or set(points.values()) == {0}


def test_who_answered_in_the_cell_may_write_beside_it_as_well(handout):
    notebook = copy.deepcopy(handout[0])
    place = [cell.id for cell in notebook.cells].index("reflect_context")
    notebook.cells[place].source += f"\n\n{TEXT}"
    notebook.cells.insert(place + 1, new_markdown_cell("A note for myself."))
    points, notes = judge_written(notebook, handout[1])
    assert notes == [] and points["reflect_context"] is None
    assert "cells beside it" not in notebook.cells[place].source


def test_a_split_answer_keeps_every_picture(handout):
    notebook = copy.deepcopy(handout[0])
    place = [cell.id for cell in notebook.cells].index("reflect_context")
    half = copy.deepcopy(notebook.cells[place])
    half.id = "half"
    for number, cell in enumerate((notebook.cells[place], half)):
        cell.source = f"Part {number}: ![image.png](attachment:image.png)"
        cell.attachments = {"image.png": {"image/png": f"data{number}"}}
    notebook.cells.insert(place + 1, half)
    judge_written(notebook, handout[1])
    cell = next(cell for cell in notebook.cells if cell.id == "reflect_context")
    assert cell.attachments["image.png"] == {"image/png": "data0"}
    assert cell.attachments["1-image.png"] == {"image/png": "data1"}
    assert "Part 0: ![image.png](attachment:image.png)" in cell.source
    assert "Part 1: ![image.png](attachment:1-image.png)" in cell.source


ADDED = {
    "an import": ("import cv2\n{}", "import cv2"),
    "an import below": ("{}\nfrom scipy import ndimage", "from scipy import ndimage"),
    "several lines": ("{}\nimport math\n\nHALF = 0.5", "import math\nHALF = 0.5"),
    "a function": ("{}\ndef f():\n    return 1", "def f():\n    return 1"),
    "a magic": ("%matplotlib inline\n{}", "get_ipython().run_line_magic"),
    "only a comment": ("# mine\n{}", ""),
    "no Python": ("{}\n(((", ""),
}


@pytest.mark.parametrize("what", ADDED)
def test_what_was_added_to_a_setup_cell_is_kept_below_it(handout, what):
    pattern, wanted = ADDED[what]
    for name in ("setup_imports", "setup_photo"):
        notebook = copy.deepcopy(handout[0])
        order = [cell.id for cell in notebook.cells]
        cell = notebook.cells[order.index(name)]
        original, cell.source = cell.source, pattern.format(cell.source)
        notes = repair(notebook, handout[1].originals)
        assert notes[0] == f"{name} had been edited."
        assert notebook.cells[order.index(name)].source == original
        below = notebook.cells[order.index(name) + 1]
        if wanted:
            assert below.source.startswith(wanted) and not below.metadata
            assert notes[1].startswith(f"What was added to {name} is in a cell of its")
        else:
            next_one = handout[0].cells[order.index(name) + 1]
            assert len(notes) == 1 and below.source == next_one.source


def test_a_name_added_to_an_import_is_kept_and_a_changed_line_is_not(handout):
    notebook = copy.deepcopy(handout[0])
    cells = {cell.id: cell for cell in notebook.cells}
    imports, photo = cells["setup_imports"], cells["setup_photo"]
    imports.source = imports.source.replace("    crop_seen,", "    crop_seen, square,")
    photo.source = "import math\n" + photo.source.replace('"cat"', '"rocket"')
    repair(notebook, handout[1].originals)
    own = [cell.source for cell in notebook.cells if not cell.metadata]
    assert any("crop_seen, square," in source for source in own)
    assert "import math" in own and not any("rocket" in s for s in own if "math" in s)


def test_an_import_in_a_test_cell_is_there_before_the_test(handout):
    notebook = copy.deepcopy(handout[0])
    order = [cell.id for cell in notebook.cells]
    place = order.index("test_heat_inside_share")
    notebook.cells[place].source = "import math\nx = 1\n" + notebook.cells[place].source
    repair(notebook, handout[1].originals)
    assert notebook.cells[place].source == "import math"
    assert notebook.cells[place + 1].id == "test_heat_inside_share"
