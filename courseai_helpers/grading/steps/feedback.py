"""Writes the page that a student sees after grading.

It says for every property how many points it gave and why it gave none. It is built
from a few plain texts, each of them escaped: nothing in a submission can become part of
the page. Test cells, which hold the hidden tests, are left out.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from nbconvert.exporters import Exporter
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade, is_solution

from courseai_helpers.grading.steps.failures import AUDIT, TOO_LATE, Cause

# How the grader says that a function could not be judged: the message says it all.
OUR_ERRORS = (*Cause, *TOO_LATE)
TEMPLATE = "feedback.html.j2"
LONGEST = 1000  # characters of a message
MISSING = "ModuleNotFoundError"  # what Python raises for a package that is not there


class FeedbackExporter(Exporter):
    """Exports an autograded notebook as a feedback page."""

    file_extension = ".html"
    output_mimetype = "text/html"

    def from_notebook_node(
        self, nb: NotebookNode, resources: Any = None, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Returns the page and nbconvert's resources."""
        nb, resources = super().from_notebook_node(nb, resources, **options)
        grades = resources["nbgrader"]
        exercises = list_exercises(nb, find_waiting(grades))
        waiting = [p for e in exercises for p in e["properties"] if p["waiting"]]
        page = (
            make_environment()
            .get_template(TEMPLATE)
            .render(
                title=grades["notebook"].replace("_", " "),
                score=grades["score"] - sum(p["score"] for p in waiting),
                possible=grades["max_score"] - sum(p["points"] for p in waiting),
                late_penalty=grades["late_penalty"],
                waiting=waiting,
                missing=list_missing(nb),
                notes=nb.metadata.get(AUDIT, []),
                exercises=exercises,
            )
        )
        return page, resources


def find_waiting(grades: dict[str, Any]) -> set[str]:
    """Returns the names of the cells that a person still has to read.

    Args:
        grades: What nbgrader says of the submission, in nbconvert's resources.
    """
    names = (grades["notebook"], grades["assignment"], grades["student"])
    with Gradebook(grades["db_url"]) as gradebook:
        found = gradebook.find_submission_notebook(*names).grades
        return {grade.name for grade in found if grade.needs_manual_grade}


def make_environment() -> Environment:
    """Makes a template environment in which every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = lambda number: f"{round(float(number or 0), 2):g}"
    return environment


def list_exercises(
    nb: NotebookNode, waiting: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Lists the exercises with the answer, the properties and the points of each.

    An answer that waits for a person has no points yet, and is not counted.
    """
    exercises: list[dict[str, Any]] = []
    for cell in nb.cells:
        marks = cell.metadata.get("nbgrader", {})
        if not marks.get("grade") and not marks.get("solution"):
            continue
        if is_solution(cell) or not exercises:
            exercises.append(
                {
                    "title": marks["grade_id"].replace("_", " "),
                    "answer": cell.source if is_solution(cell) else "",
                    "comment": marks.get("comment") or "",
                    "properties": [],
                }
            )
        if is_grade(cell):
            found = describe_property(cell) | {"waiting": marks["grade_id"] in waiting}
            exercises[-1]["properties"].append(found)
    for exercise in exercises:
        graded = [p for p in exercise["properties"] if not p["waiting"]]
        exercise["waiting"] = not graded and bool(exercise["properties"])
        exercise["score"] = sum(p["score"] for p in graded)
        exercise["points"] = sum(p["points"] for p in graded)
    return exercises


def list_missing(nb: NotebookNode) -> list[str]:
    """Lists the packages that the student's own cells import and that are missing."""
    messages = [
        clean(errors[-1].evalue)
        for cell in nb.cells
        if cell.cell_type == "code" and not is_grade(cell)
        if (errors := find_errors(cell)) and errors[-1].ename == MISSING
    ]
    return list(dict.fromkeys(messages))


def find_errors(cell: NotebookNode) -> list[NotebookNode]:
    """Returns the outputs of a cell that are errors."""
    return [o for o in cell.get("outputs", []) if o.output_type == "error"]


def clean(text: str) -> str:
    """Returns a message without colors, shortened to a readable length."""
    text = strip_ansi(str(text)).strip()
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def describe_property(cell: NotebookNode) -> dict[str, Any]:
    """Says what a test cell judges, what it gave and, if it failed, why."""
    marks = cell.metadata.nbgrader
    name = marks["grade_id"].replace("_", " ")
    stated = re.match(r'\s*"""(.+?)"""', cell.source, re.DOTALL)
    return {
        "name": "Your written answer" if is_solution(cell) else name,
        "text": " ".join(stated[1].split()) if stated else "",
        "score": float(marks.get("score") or 0),
        "points": float(marks["points"]),
        "message": "" if is_solution(cell) else explain_failure(cell),
    }


def explain_failure(cell: NotebookNode) -> str:
    """Returns the message of a failed test cell, without its traceback."""
    errors = find_errors(cell)
    if not errors:
        return ""
    name, message = clean(errors[-1].ename)[:80], clean(errors[-1].evalue)
    if name == "AssertionError":
        return message or "The check failed."
    if name in OUR_ERRORS:
        return message
    if name == MISSING:
        return f"Your code imports what is not there when work is graded: {message}"
    return f"Your code raised {name}: {message}"
