"""A course with a small assignment, for tests that grade many submissions."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "small"

SOLUTIONS = {
    "double": "def double(x):\n    return 2 * x",
    "triple": "def triple(x):\n    return 3 * x",
}
TESTS = {
    "test_double_one": "assert double(1) == 2, 'one, doubled, is two'",
    "test_double_text": "assert double('a') == 'aa', 'texts have doubles, too'",
    "test_triple": "assert triple(2) == 6, 'two, tripled, is six'",
}
SETTINGS = """
c.SandboxedExecute.timeout = 6
c.SandboxedExecute.iopub_timeout = 4
c.SandboxProvisioner.memory = 2**29
"""


def make_course(course: Path, *more: nbformat.NotebookNode) -> Path:
    """Makes a course directory with the small assignment, generated.

    Args:
        course: The folder to make.
        *more: Cells to have before the others.
    """
    course.mkdir()
    settings = (ROOT / "nbgrader_config.py").read_text()
    (course / "nbgrader_config.py").write_text(settings + SETTINGS)
    cells = [*more]
    for name, source in SOLUTIONS.items():
        marked = f"### BEGIN SOLUTION\n{source}\n### END SOLUTION"
        cells.append(make_cell(name, marked, solution=True))
        for test, check in TESTS.items():
            if test.startswith(f"test_{name}"):
                hidden = f"### BEGIN HIDDEN TESTS\n{check}\n### END HIDDEN TESTS"
                cells.append(make_cell(test, hidden, points=1))
    path = course / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells), path)
    result = run(course, "nbgrader", "generate_assignment", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    return course


def make_cell(name: str, source: str, *, solution: bool = False, points: int = 0):
    """Makes an answer cell, or a test cell if it gives points."""
    settings = {
        "schema_version": 3,
        "grade_id": name,
        "solution": solution,
        "grade": bool(points),
        "locked": bool(points),
        "task": False,
        "cell_type": "code",
    }
    if points:
        settings["points"] = points
    return new_code_cell(source, id=name, metadata={"nbgrader": settings})


def submit(course: Path, student: str, **answers: str) -> Path:
    """Submits the released notebook with some answers; the others are right."""
    release = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(release, as_version=4)
    for cell in notebook.cells:
        if cell.id in SOLUTIONS:
            cell.source = answers.get(cell.id, SOLUTIONS[cell.id])
    folder = course / "submitted" / student / ASSIGNMENT
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / release.name)
    return folder


def run(course: Path, module: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a module as a program in the course directory."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=course,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def grade(course: Path, *options: str) -> subprocess.CompletedProcess:
    """Runs `courseai grade`."""
    return run(course, "courseai_helpers.cli", "grade", ASSIGNMENT, *options)


def read_points(course: Path, url: str | None = None) -> dict[str, dict[str, float]]:
    """Returns the points of each student for each test cell."""
    with Gradebook(url or f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.auto_score
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def copy_course(course: Path, destination: Path) -> Path:
    """Copies a course, without what grading has made of it."""
    ignore = shutil.ignore_patterns("autograded", ".grading*")
    shutil.copytree(course, destination, ignore=ignore)
    return destination
