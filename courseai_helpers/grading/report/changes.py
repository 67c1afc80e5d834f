"""Says who gains and who loses where submissions are graded again."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nbgrader.api import (
    Assignment,
    Grade,
    Gradebook,
    GradeCell,
    SubmittedAssignment,
    SubmittedNotebook,
)
from rich.table import Table
from sqlalchemy import create_engine, select

from courseai_helpers._common.printing import make_printable
from courseai_helpers.grading.gradebook.ledger import Entry
from courseai_helpers.grading.lms.tables import write_table

COLUMNS = (
    "student", "exercise", "cell", "points before", "points now",
    "message before", "message now",
)  # fmt: skip
CHANGES = "reports/{}.changes.csv"  # with the assignment's name
NAMES = 3  # of the columns, the first that have names in them
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")


class Change(NamedTuple):
    """What another grading makes of one test cell of one student.

    Attributes:
        student: The student's id.
        exercise: The name of the answer cell that the test cell is about.
        cell: The test cell's name.
        before: Points that it gave before.
        now: Points that it gives now.
        message_before: Why it failed before; nothing if it passed.
        message_now: Why it fails now; nothing if it passes.
    """

    student: str
    exercise: str
    cell: str
    before: float
    now: float
    message_before: str
    message_now: str


def read_points(url: str, assignment: str, student: str) -> dict[str, float]:
    """Returns the automatic points of a student's test cells; empty if not graded.

    This is one query, since it is asked for every submission: nbgrader's `Gradebook`
    takes many to open, and one for each cell.
    """
    query = (
        select(GradeCell.name, Grade.auto_score)
        .join_from(Grade, GradeCell, Grade.cell_id == GradeCell.id)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(
            SubmittedAssignment,
            SubmittedNotebook.assignment_id == SubmittedAssignment.id,
        )
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .where(
            Assignment.name == assignment,
            SubmittedAssignment.student_id == student,
            Grade.auto_score.is_not(None),
            GradeCell.cell_type == "code",
        )
    )
    engine = create_engine(url)
    with engine.connect() as connection:
        points = {cell: score for cell, score in connection.execute(query)}
    engine.dispose()
    return points


def list_exercises(gradebook: Gradebook, assignment: str) -> list[str]:
    """Returns the names of an assignment's answer cells."""
    notebooks = gradebook.find_assignment(assignment).notebooks
    return [cell.name for notebook in notebooks for cell in notebook.solution_cells]


def compare(
    student: str,
    points: tuple[dict[str, float], dict[str, float]],
    entries: tuple[Entry, Entry],
    exercises: Iterable[str],
) -> list[Change]:
    """Returns what is not as it was before, for a student who was graded before.

    Tests draw their inputs anew for every grading, so that a message with other numbers
    in it is the same.

    Args:
        student: The student's id.
        points: Before and now, by the test cells' names.
        entries: What the ledger noted of the grading before, and notes of this one.
        exercises: The names of all answer cells.
    """
    before, now = points
    said = [{cell: f["message"] for cell, f in e.failures.items()} for e in entries]
    return [
        Change(student, find_exercise(cell, exercises), cell, before.get(cell, 0.0),
               now.get(cell, 0.0), *texts)
        for cell in dict.fromkeys([*before, *now])
        if (texts := [messages.get(cell, "") for messages in said])
        and (before.get(cell) != now.get(cell) or is_other(*texts))
    ]  # fmt: skip


def is_other(before: str, now: str) -> bool:
    """Tells whether two messages differ in more than numbers."""
    return NUMBER.sub("…", before) != NUMBER.sub("…", now)


def find_exercise(cell: str, exercises: Iterable[str]) -> str:
    """Returns the answer cell that a test cell is about: the longest that fits."""
    fitting = [name for name in exercises if cell.startswith(f"test_{name}")]
    return max(fitting, key=len, default="")


def sum_up(changes: list[Change]) -> str:
    """Says in a sentence how many students gain, and how many lose."""
    totals: dict[str, float] = {}
    for change in changes:
        gain = change.now - change.before
        totals[change.student] = totals.get(change.student, 0.0) + gain
    gaining = sum(total > 0 for total in totals.values())
    losing = sum(total < 0 for total in totals.values())
    return (
        f"{gaining} gain points, {losing} lose points, "
        f"{len(totals) - gaining - losing} keep their sum with other messages."
    )


def list_rows(changes: Iterable[Change]) -> list[list[str]]:
    """Returns the changes as rows of a table, in the order of COLUMNS."""
    return [
        [*change[:3], f"{change.before:g}", f"{change.now:g}", *change[5:]]
        for change in changes
    ]


def make_table(changes: Iterable[Change]) -> Table:
    """Returns the table for the terminal."""
    table = Table(title="What is not as it was graded before")
    for number, name in enumerate(COLUMNS):
        table.add_column(name, no_wrap=number < NAMES, overflow="fold")
    for row in list_rows(changes):
        table.add_row(*map(make_printable, row))  # students' words may be in it
    return table


def save_changes(path: Path, changes: Iterable[Change]) -> None:
    """Writes the table as CSV; no cell of it is a formula."""
    path.parent.mkdir(exist_ok=True)
    write_table(path, [COLUMNS, *list_rows(changes)])


def load_changes(path: Path) -> list[list[str]]:
    """Returns the rows of a table that `save_changes` wrote; none if there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]
