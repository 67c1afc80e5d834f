"""Demonstrates grading: three submissions, autograded, in a course of its own."""

import shutil
from pathlib import Path

import nbformat
from rich.console import Console

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.authoring.nbgrader_commands import (
    copy_source,
    run_nbgrader,
    show_step,
)
from courseai_helpers.grading.gradebook.scores import make_table, read_scores
from courseai_helpers.grading.gradebook.settings import list_assignments
from courseai_helpers.grading.sandbox.bubblewrap import SandboxError
from courseai_helpers.grading.sandbox.trial import require_sandbox

ASSIGNMENT = "visualizing_features"

# What the partly right student gets right ...
FINISHED = (
    "filter_to_image",
    "capture_activations",
    "heat_inside",
    "reflect_hierarchy",
)

# ... and gets wrong: one scale for all filters, where each should have its own.
MISTAKEN = {
    "normalize_filters": (
        "def normalize_filters(weights):\n"
        "    shifted = weights - weights.min()\n"
        "    return shifted / shifted.max().clamp(min=1e-12)"
    )
}


def run_demonstration(course: Path) -> None:
    """Makes, grades and reports three submissions under demo/.

    Everything is made from scratch: the course's own gradebook and submissions are
    neither read nor written.

    Raises:
        CourseError: if this is not a course directory, or nbgrader fails.
    """
    list_assignments(course)
    demo = course / "demo"
    clear_demonstration(demo)
    copy_source(course, ASSIGNMENT, demo)
    with show_step("Generating the release"):
        run_nbgrader(demo, "generate_assignment", ASSIGNMENT)
    students = write_submissions(demo)
    with show_step("Trying the sandbox"):
        options, warning = choose_sandbox()
    for student in students:
        with show_step(f"Autograding the {student} submission"):
            run_nbgrader(
                demo, "autograde", ASSIGNMENT, f"--student={student}", *options
            )
    with show_step("Writing the feedback pages"):
        run_nbgrader(demo, "generate_feedback", ASSIGNMENT)
    print_gradebook(demo, students)
    print_directions(demo, students)
    if warning:
        print(f"\n{warning}")


def choose_sandbox() -> tuple[list[str], str]:
    """Looks for a sandbox.

    The submissions are our own, so they may run without one, and the demonstration
    works everywhere.

    Returns:
        nbgrader's options, and what the reader should know; both empty with a sandbox.
    """
    try:
        require_sandbox()
    except SandboxError as error:
        return ["--SandboxedExecute.sandbox=False"], (
            "WARNING: this was graded WITHOUT A SANDBOX, which was safe only because "
            f"these submissions are the course's own.\nWhy: {error.reason}.\n"
            f"What may help: {error.fix}."
        )
    return [], ""


def clear_demonstration(demo: Path) -> None:
    """Removes what an earlier demonstration left behind.

    Raises:
        CourseError: if the directory is not from a demonstration.
    """
    if not demo.exists():
        return
    if not (demo / "nbgrader_config.py").is_file():
        raise CourseError(
            f"{demo} is there, but it does not look like an earlier demonstration, so "
            "it was left alone. Move it away and run `courseai demo` again."
        )
    shutil.rmtree(demo)


def write_submissions(demo: Path) -> list[str]:
    """Writes the three submissions and returns the names of their students."""
    notebook = Path(ASSIGNMENT) / f"{ASSIGNMENT}.ipynb"
    submissions = plan_submissions(demo / "source" / notebook)
    for student, answers in submissions.items():
        path = demo / "submitted" / student / notebook
        path.parent.mkdir(parents=True)
        shutil.copy(demo / "release" / notebook, path)
        fill_in(path, answers)
    return list(submissions)


def plan_submissions(source: Path) -> dict[str, dict[str, str]]:
    """Returns each student's answers, by `grade_id`, from the authored notebook."""
    answers = read_answers(source)
    finished = {name: answers[name] for name in FINISHED}
    return {
        "fully-right": answers,
        "partly-right": finished | MISTAKEN,
        "blank": {},
    }


def fill_in(path: Path, answers: dict[str, str]) -> None:
    """Writes answers into their cells of a released notebook."""
    notebook = read_notebook(path)
    for cell in notebook.cells:
        cell.source = answers.get(get_grade_id(cell), cell.source)
    nbformat.write(notebook, path)


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Reads a notebook in the format that all others here are in."""
    return nbformat.read(path, as_version=4)


def get_grade_id(cell: nbformat.NotebookNode) -> str:
    """Returns the name that nbgrader knows a cell by, if it knows it."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def read_answers(source: Path) -> dict[str, str]:
    """Returns each exercise's answer in the authored notebook, by `grade_id`."""
    return {
        get_grade_id(cell): "\n".join(
            line for line in cell.source.splitlines() if " SOLUTION" not in line
        )
        for cell in read_notebook(source).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def print_gradebook(demo: Path, students: list[str]) -> None:
    """Prints the points of every student for every exercise."""
    exercises = list(read_answers(demo / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"))
    scores = read_scores(demo / "gradebook.db", ASSIGNMENT)
    print()
    Console().print(make_table(scores, exercises, students))


def print_directions(demo: Path, students: list[str]) -> None:
    """Says what to look at next."""
    print("Written answers wait for an instructor's points.\n")
    print("Feedback pages, to open in a browser:")
    for student in students:
        page = demo / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html"
        print(f"  {page.resolve().as_uri()}")
    print("The lesson, as students get it:\n  make lab")
