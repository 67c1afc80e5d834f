"""Reports on a graded class: one HTML page and one table as CSV."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import sqlalchemy
from jinja2 import Environment, FileSystemLoader
from nbgrader.api import Gradebook
from nbgrader.apps import NbGrader

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.gradebook.ledger import Entry, create_table, read_entries
from courseai_helpers.grading.gradebook.settings import (
    explain_database,
    find_assignment,
    open_gradebook,
    read_settings,
    require_gradebook,
)
from courseai_helpers.grading.lms.tables import write_table
from courseai_helpers.grading.report.changes import CHANGES, COLUMNS, load_changes
from courseai_helpers.grading.report.charts import draw_items, draw_scores, embed
from courseai_helpers.grading.report.items import Item, analyze_items
from courseai_helpers.grading.steps.failures import Cause

FOLDER = "reports"
SLOWEST = 10
MAX_LENGTH = 300  # characters of a message
USUAL = (Cause.WRONG_ANSWER, Cause.ERROR)  # others mean that a cell was stopped


@dataclass
class ClassResults:
    """The points of a class, and what happened to its submissions.

    Attributes:
        students: The ids, in the order of the rows of `points`.
        cells: The names of the test cells, in the order of its columns.
        points: Float array [students, cells].
        possible: Float array [cells].
        entries: What `courseai grade` noted, by the students' ids.
    """

    students: list[str]
    cells: list[str]
    points: np.ndarray
    possible: np.ndarray
    entries: dict[str, Entry]


def write_report(course: Path, assignment: str) -> list[Path]:
    """Writes the report on an assignment.

    Args:
        course: The top of the course directory.
        assignment: The assignment's name.

    Returns:
        The files that were written.

    Raises:
        CourseError: if nothing is graded.
    """
    application = read_settings(course)
    require_gradebook(application)
    with explain_database(application):
        results = read_results(application, assignment)
    folder = course / FOLDER
    folder.mkdir(exist_ok=True)
    page, table = folder / f"{assignment}.html", folder / f"{assignment}.csv"
    changes = load_changes(course / CHANGES.format(assignment))
    page.write_text(make_page(assignment, results, changes), encoding="utf-8")
    write_table(table, make_rows(results))
    return [page, table]


def read_results(application: NbGrader, assignment: str) -> ClassResults:
    """Reads the automatic scores from the gradebook, and what `grade` noted.

    Raises:
        CourseError: if nothing is graded.
    """
    engine = sqlalchemy.create_engine(application.coursedir.db_url)
    with open_gradebook(application) as gradebook:
        find_assignment(gradebook, assignment)
        create_table(engine)
        entries = read_entries(engine, assignment)
        rows = {
            submission.student.id: {
                grade.name: (grade.auto_score, grade.max_score_gradecell)
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.auto_score is not None and grade.cell.cell_type == "code"
            }
            for submission in gradebook.assignment_submissions(assignment)
        }
        order = list_cells(gradebook, assignment)
    rows = {student: row for student, row in sorted(rows.items()) if row}
    if not rows:
        raise CourseError(
            f"No submission of {assignment} is graded yet. "
            f"`courseai grade {assignment}` does that."
        )
    possible = {cell: most for row in rows.values() for cell, (_, most) in row.items()}
    cells = [cell for cell in order if possible.get(cell)]
    points = [[row.get(cell, (0, 0))[0] for cell in cells] for row in rows.values()]
    return ClassResults(
        list(rows),
        cells,
        np.array(points, float),
        np.array([possible[cell] for cell in cells], float),
        entries,
    )


def list_cells(gradebook: Gradebook, assignment: str) -> list[str]:
    """Returns the names of an assignment's cells in the order of the notebooks."""
    notebooks = gradebook.find_assignment(assignment).notebooks
    return [cell.name for notebook in notebooks for cell in notebook.source_cells]


def make_page(assignment: str, results: ClassResults, changes: list[list[str]]) -> str:
    """Returns the report as a page that needs no other file."""
    items = analyze_items(results.points, results.possible, results.cells)
    totals = results.points.sum(axis=1)
    possible = float(results.possible.sum())
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True
    )
    # Whatever comes from students is escaped by the template.
    return environment.get_template("report.html").render(
        assignment=assignment,
        date=f"{datetime.now():%Y-%m-%d %H:%M}",
        count=len(results.students),
        possible=possible,
        mean=float(totals.mean()),
        median=float(np.median(totals)),
        scores_picture=embed(draw_scores(totals, possible)),
        items=items,
        items_picture=embed(draw_items(items)),
        doubtful=find_doubtful(items),
        messages=count_messages(results.entries),
        slowest=find_slowest(results.entries),
        troubled=find_troubled(results.entries),
        refused={s: e.refused for s, e in results.entries.items() if e.refused},
        columns=COLUMNS,
        changes=changes,
        repaired={s: e.notes for s, e in results.entries.items() if e.notes},
    )


def find_doubtful(items: list[Item]) -> list[str]:
    """Returns the cells that good students fail more often than weak ones."""
    return [item.name for item in items if (item.discrimination or 0) < 0]


def count_messages(entries: dict[str, Entry]) -> list[tuple[str, str, int]]:
    """Counts how many students got each message of each cell.

    Numbers in a message differ from one student to the next, and are left out.
    """
    counts = Counter(
        (cell, re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "…", failure["message"]))
        for entry in entries.values()
        for cell, failure in entry.failures.items()
        if failure["cause"] in USUAL
    )
    return [
        (cell, message[:MAX_LENGTH], count)
        for (cell, message), count in counts.most_common()
    ]


def find_slowest(entries: dict[str, Entry]) -> list[tuple[str, float]]:
    """Returns the submissions that took longest, with the seconds."""
    times = [(student, entry.seconds) for student, entry in entries.items()]
    times.sort(key=lambda pair: -pair[1])
    return [pair for pair in times[:SLOWEST] if pair[1]]


def find_troubled(entries: dict[str, Entry]) -> list[tuple[str, str, str, str]]:
    """Returns student, cell, cause and message for each cell that had to be stopped."""
    return [
        (student, cell, failure["cause"], failure["message"][:MAX_LENGTH])
        for student, entry in sorted(entries.items())
        for cell, failure in entry.failures.items()
        if failure["cause"] not in USUAL
    ]


def make_rows(results: ClassResults) -> list[list[str]]:
    """Returns a row per student: the total, the seconds, the points for each cell."""
    rows = [["student", "total", "seconds", *results.cells]]
    for student, row in zip(results.students, results.points, strict=True):
        entry = results.entries.get(student, Entry(""))
        points = [f"{value:g}" for value in row]
        rows.append([student, f"{row.sum():g}", f"{entry.seconds:.1f}", *points])
    return rows
