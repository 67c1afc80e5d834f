"""A course whose gradebook is filled by hand, for what goes to and from an LMS."""

import json
import os
import shutil
from pathlib import Path

from nbgrader.api import Gradebook

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "visualizing_features"
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
DUE = "2026-11-01 12:00:00"


def make_course(course: Path, *, students: bool = True) -> Path:
    """Makes a course directory whose gradebook has one assignment.

    It gives 3 points for code, 2 for a written answer, and extra credit.
    """
    source = course / "source" / ASSIGNMENT
    source.mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", course)
    (source / NOTEBOOK).write_text(make_notebook("source"))
    with open_gradebook(course) as gradebook:
        gradebook.add_assignment(ASSIGNMENT, duedate=DUE)
        gradebook.add_notebook(ASSIGNMENT, ASSIGNMENT)
        for cell, points, kind in (
            ("test_code", 3, "code"),
            ("written", 2, "markdown"),
            ("stretch", 0, "markdown"),
        ):
            gradebook.add_grade_cell(
                cell, ASSIGNMENT, ASSIGNMENT, max_score=points, cell_type=kind
            )
            gradebook.add_solution_cell(cell, ASSIGNMENT, ASSIGNMENT)
        if students:
            add_student(gradebook, "ada", "Ada", "Müller", "101")
            add_student(gradebook, "ben", "Ben", "O'Neil, Jr.", "102")
            add_student(gradebook, "cem", "Cem", '"Cem" Öz', "103")
    return course


def open_gradebook(course: Path) -> Gradebook:
    """Opens a course's gradebook."""
    return Gradebook(f"sqlite:///{course / 'gradebook.db'}", "courseai")


def add_student(gradebook: Gradebook, name: str, first: str, last: str, canvas: str):
    """Adds a student with everything that a gradebook can know."""
    gradebook.add_student(
        name,
        first_name=first,
        last_name=last,
        email=f"{name}@example.org",
        lms_user_id=canvas,
    )


def give_points(
    course: Path,
    student: str,
    code: float,
    written: float | None = 0.0,
    *,
    extra: float = 0.0,
    penalty: float = 0.0,
    comment: str = "",
) -> None:
    """Enters a graded submission; a written answer without points waits for some."""
    with open_gradebook(course) as gradebook:
        gradebook.add_submission(ASSIGNMENT, student)
        for cell, points in (("test_code", code), ("written", written), ("stretch", 0)):
            grade = gradebook.find_grade(cell, ASSIGNMENT, ASSIGNMENT, student)
            grade.needs_manual_grade = points is None
            if cell == "test_code":
                grade.auto_score = points
            else:
                grade.manual_score = points
            if cell == "stretch":
                grade.extra_credit = extra
        notebook = gradebook.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, student)
        notebook.late_submission_penalty = penalty
        found = gradebook.find_comment("written", ASSIGNMENT, ASSIGNMENT, student)
        found.manual_comment = comment
        gradebook.db.commit()


def make_notebook(text: str) -> str:
    """Returns a notebook with one cell, as text."""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": text}
    cell |= {"outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook)


def list_files(folder: Path) -> dict[str, bytes]:
    """Returns the content of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def set_time(path: Path, seconds: float) -> None:
    """Gives a file a time of change, in seconds since 1970."""
    os.utime(path, (seconds, seconds))
