"""Cells for looking: not run when a class is graded, unless somebody needs them."""

import base64
import io
from pathlib import Path

import kernels
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from PIL import Image
from small_course import (
    ASSIGNMENT,
    SOLUTIONS,
    TESTS,
    copy_course,
    grade,
    make_cell,
    make_course,
    read_points,
    run,
    submit,
)

from courseai_helpers.grading.steps.looking import NOT_RUN

pytestmark = kernels.needs_sandbox

LOOKING = {"courseai": {"looking": True}}
LOOK = "table = [1, 2, 3]\nprint('looked', 'at')"
SHOW = "for row in table:\n    print('row', row)"
GRID = "print('grid', 'anew')"
GIVEN = {"look": LOOK, "show": SHOW, "grid": GRID}  # they get other ids
DRAW = "print('drawn', 'anew')"


def draw(kind: str) -> str:
    """Returns a picture in base64."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


PNG = draw("png")
DESCRIBED = f'<img alt="a map" src="data:image/webp;base64,{draw("webp")}">'


def show(**data: str):
    """Makes an output; the names of kinds have _ for /."""
    kinds = {kind.replace("_", "/"): content for kind, content in data.items()}
    return new_output("display_data", data=kinds)


@pytest.fixture(scope="module")
def empty_course(tmp_path_factory) -> Path:
    """A course with two given cells for looking and one to be written."""
    answer = make_cell(
        "draw", f"### BEGIN SOLUTION\n{DRAW}\n### END SOLUTION", solution=True
    )
    answer.metadata |= LOOKING
    evidence = {"courseai": {"looking": True, "evidence": True}}
    return make_course(
        tmp_path_factory.mktemp("looking") / "course",
        new_code_cell(LOOK, id="look", metadata=LOOKING),
        new_code_cell(SHOW, id="show", metadata=LOOKING),
        new_code_cell(GRID, id="grid", metadata=evidence),
        answer,
    )


WORK = {}  # what each student hands in: a function that changes the right notebook


def student(change):
    """Registers what a student hands in."""
    WORK[change.__name__] = change


@student
def plain(cells):
    cells["look"].outputs = [new_output("stream", text="seen at home")]
    cells["show"].outputs = [show(image_png=PNG), show(text_html=DESCRIBED)]
    cells["grid"].outputs = [show(image_png=PNG)]


@student
def not_plain(cells):
    cells["look"].outputs = [
        show(text_html="<script>alert(1)</script>", text_plain="the words of it"),
        show(image_png=base64.b64encode(b"<script>").decode()),
        show(application_javascript="alert(1)"),
        new_output("stream", text="x" * 6 * 2**20),
        new_output("error", ename="Error"),
        show(image_png=PNG),
    ]


@student
def edited(cells):
    cells["show"].source += "\n# mine"
    cells["show"].outputs = [show(image_png=PNG)]


@student
def used(cells):
    cells["double"].source = f"last = table[-1]\n{SOLUTIONS['double']}"


@student
def used_late(cells):
    cells["double"].source = "def double(x):\n    return x * (table[0] + 1)"


@student
def unclear(cells):
    cells["double"].source = f"globals()\n{SOLUTIONS['double']}"


@student
def claimed(cells):
    cells["double"].metadata |= LOOKING
    cells["double"].source = f"{SOLUTIONS['double']}\nprint('run', 'all the same')"


@student
def drawn(cells):
    cells["draw"].source = DRAW
    cells["draw"].outputs = [show(text_html=DESCRIBED)]


@student
def drawn_unseen(cells):
    cells["draw"].source = DRAW
    cells["draw"].outputs = [new_output("stream", text="drawn at home")]


def hand_in(course: Path, name: str) -> None:
    """Hands in a student's work."""
    path = submit(course, name) / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    WORK[name]({cell.id: cell for cell in notebook.cells})
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def course(empty_course, tmp_path_factory) -> Path:
    """The course after one `nbgrader autograde` for all students."""
    course = copy_course(empty_course, tmp_path_factory.mktemp("graded") / "course")
    for name in WORK:
        hand_in(course, name)
    result = run(course, "nbgrader", "autograde", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    return course


def read_outputs(course: Path, student: str, cell: str) -> list:
    """Returns what the autograded notebook shows below a cell."""
    path = course / "autograded" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any("courseai" in cell.metadata for cell in notebook.cells)
    start = GIVEN.get(cell, cell)
    return next(
        c for c in notebook.cells if start in (c.id, c.source[: len(start)])
    ).outputs


def read_text(course: Path, student: str, cell: str) -> str:
    """Returns the text among these outputs."""
    return "".join(o.get("text", "") for o in read_outputs(course, student, cell))


def was_run(course: Path, student: str, cell: str) -> bool:
    """Tells whether a cell was run, by what it shows."""
    text = read_text(course, student, cell)
    new = any(
        part in text for part in ("looked at", "row 3", "grid anew", "drawn anew")
    )
    assert new != (NOT_RUN in text), text
    return new


def test_a_cell_for_looking_is_not_run_and_keeps_what_the_student_saw(course):
    first, *seen = read_outputs(course, "plain", "show")
    assert first.text.startswith(NOT_RUN) and first.text.count("\n") == 1
    assert seen[0].data["image/png"].strip() == PNG
    assert 'alt="a map"' in seen[1].data["text/html"]
    assert "seen at home" in read_text(course, "plain", "look")


def test_of_what_is_not_plain_nothing_is_kept_but_its_words(course):
    first, *seen = read_outputs(course, "not_plain", "look")
    assert first.text.startswith(NOT_RUN)
    assert [output.data for output in seen] == [{"text/plain": "the words of it"}]


def test_nobody_loses_a_point(course):
    assert read_points(course) == dict.fromkeys(WORK, dict.fromkeys(TESTS, 1.0))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("plain", []),
        ("edited", ["look", "show"]),  # the edited one needs the other
        ("used", ["look"]),
        ("used_late", ["look"]),
        ("unclear", ["look", "show"]),
        ("drawn", []),
        ("drawn_unseen", ["draw"]),
    ],
)
def test_just_the_cells_are_run_that_somebody_needs(course, name, cells):
    given = ["look", "show"] + (["draw"] if "draw" in name else [])
    assert [cell for cell in given if was_run(course, name, cell)] == cells


def test_what_written_answers_speak_of_is_run_or_kept(course):
    assert was_run(course, "edited", "grid")
    assert not was_run(course, "plain", "grid")
    assert read_outputs(course, "plain", "grid")[1].data["image/png"].strip() == PNG


def test_a_student_can_t_mark_a_cell(course):
    assert "run all the same" in read_text(course, "claimed", "double")


@pytest.mark.parametrize("way", ["--run-all", "the setting"])
def test_on_demand_everything_is_run(empty_course, tmp_path, way):
    course = copy_course(empty_course, tmp_path / "course")
    hand_in(course, "plain")
    if way == "--run-all":
        result = grade(course, way)
    else:
        option = "--SandboxedExecute.run_all=True"
        result = run(course, "nbgrader", "autograde", ASSIGNMENT, option)
    assert result.returncode == 0, result.stdout
    assert was_run(course, "plain", "look") and was_run(course, "plain", "show")


def test_a_class_run_leaves_them_out_like_nbgrader(empty_course, tmp_path):
    course = copy_course(empty_course, tmp_path / "course")
    hand_in(course, "plain")
    result = grade(course)
    assert result.returncode == 0, result.stdout
    assert not was_run(course, "plain", "look")
    assert "seen at home" in read_text(course, "plain", "look")
