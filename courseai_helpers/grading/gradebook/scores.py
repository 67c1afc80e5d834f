"""Reads scores from an nbgrader gradebook and lays them out as a table."""

from pathlib import Path
from typing import NamedTuple

from nbgrader.api import Gradebook
from rich.table import Table


class Score(NamedTuple):
    """What one student got for one graded cell.

    Attributes:
        student: the student's id.
        cell: the cell's `grade_id`.
        points: points so far, extra credit included.
        possible: points at most, extra credit not counted.
        waiting: whether an instructor still has to give points.
    """

    student: str
    cell: str
    points: float
    possible: float
    waiting: bool


def read_scores(database: Path, assignment: str) -> list[Score]:
    """Returns the scores of all submissions of an assignment, one per graded cell."""
    with Gradebook(f"sqlite:///{database}") as gradebook:
        return [
            Score(
                submission.student.id,
                grade.name,
                grade.score,
                grade.max_score,
                grade.needs_manual_grade,
            )
            for submission in gradebook.assignment_submissions(assignment)
            for notebook in submission.notebooks
            for grade in notebook.grades
        ]


def make_table(scores: list[Score], exercises: list[str], students: list[str]) -> Table:
    """Returns a table with a row per exercise and a column per student.

    Args:
        scores: as `read_scores` returns them.
        exercises: the `grade_id` of every answer cell, in the order of the lesson. The
            test cells of an exercise are named `test_<exercise>...`.
        students: the ids of the students, in the order of the columns.
    """
    table = Table(title="Gradebook: points per exercise", show_footer=True)
    table.add_column("exercise", "total so far")
    possible = {s.cell: s.possible for s in scores}
    table.add_column("points", f"{sum(possible.values()):g}", justify="right")
    for student in students:
        total = sum(s.points for s in scores if s.student == student)
        table.add_column(student, f"{total:g}", justify="right")
    for exercise in exercises:
        cells = [s for s in scores if belongs(s.cell, exercise)]
        if not cells:  # Code that stands beside a written answer has no points.
            continue
        row = [
            describe([s for s in cells if s.student == student]) for student in students
        ]
        top = sum({s.cell: s.possible for s in cells}.values())
        table.add_row(exercise, f"{top:g}" if top else "extra", *row)
    return table


def belongs(cell: str, exercise: str) -> bool:
    """Tells whether a graded cell counts for an exercise."""
    return cell == exercise or cell.startswith(f"test_{exercise}")


def describe(scores: list[Score]) -> str:
    """Returns a student's points for an exercise, or that they are still to come."""
    if any(score.waiting for score in scores):
        return "to grade"
    return f"{sum(score.points for score in scores):g}"
