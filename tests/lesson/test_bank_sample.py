"""A sample of the bank, through real `nbgrader autograde` on the real lesson."""

import kernels
import nbformat
import pytest
from bank import EXERCISES, Entry, complete, read_cells, read_entries, select_tests
from conftest import ASSIGNMENT, copy_course, drop_figures
from nbgrader.api import Gradebook

pytestmark = [kernels.needs_sandbox, pytest.mark.long]

# What each student got wrong; the rest is right, in one way or another.
STUDENTS = {
    "first": {},
    "second": {
        "normalize_filters": "one scale for all filters",
        "filter_to_image": "reshape instead of moving the axes",
        "capture_activations": "the hooks are removed only if all goes well",
        "grad_cam": "the ReLU is applied to the gradients",
        "heat_inside": "left and right taken for rows",
    },
    "third": {
        "normalize_filters": "the result is not returned",
        "filter_to_image": "not copied to the CPU",
        "capture_activations": "no copy, the next layer overwrites it",
        "top_class_heatmaps": "softmax over the k best only",
        "heat_inside": "NaN where there is no heat",
    },
}


def choose(student: str, exercise: str) -> Entry:
    """Returns what a student hands in for an exercise."""
    entries = read_entries(exercise)
    if title := STUDENTS[student].get(exercise):
        return next(entry for entry in entries if entry.title == title)
    right = [entry for entry in entries if not entry.caught_by]
    return right[list(STUDENTS).index(student) % len(right)]


@pytest.fixture(scope="module")
def points(root, run, tmp_path_factory) -> dict[str, dict[str, float]]:
    """The points of every student for every test cell."""
    course = copy_course(root, tmp_path_factory.mktemp("sample"))
    drop_figures(course / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb")
    assert run(course, "nbgrader", "generate_assignment", ASSIGNMENT).returncode == 0
    release = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = read_cells()
    for student in STUDENTS:
        notebook = nbformat.read(release, as_version=4)
        for cell in notebook.cells:
            if cell.id in EXERCISES:
                cell.source = complete(choose(student, cell.id), cells)
        path = course / "submitted" / student / ASSIGNMENT / release.name
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    result = run(course, "nbgrader", "autograde", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.auto_score
                for grade in submission.notebooks[0].grades
                if grade.name.startswith("test_")
            }
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


@pytest.mark.parametrize("student", STUDENTS)
def test_nbgrader_gives_the_points_that_the_bank_expects(points, student):
    lost = {
        f"test_{exercise}_{name}"
        for exercise in EXERCISES
        for name in choose(student, exercise).caught_by
    }
    given = points[student]
    assert {name for name, score in given.items() if score == 0} == lost
    total = sum(len(select_tests(read_cells(), name)) for name in EXERCISES)
    assert len(given) == total
