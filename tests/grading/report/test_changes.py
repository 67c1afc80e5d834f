"""A test was mended in the middle of a term: who gains, who loses."""

import hashlib
from pathlib import Path

import kernels
import nbformat
import pytest
from small_course import (
    ASSIGNMENT,
    copy_course,
    grade,
    make_course,
    read_points,
    run,
    submit,
)

from courseai_helpers.grading.gradebook.ledger import Entry
from courseai_helpers.grading.report.changes import (
    compare,
    find_exercise,
    load_changes,
    sum_up,
)

pytestmark = kernels.needs_sandbox

# Right for the lenient test, wrong for the strict one, and the other way round.
TWICE = "def double(x):\n    return [x, x] if isinstance(x, str) else 2 * x"


def mend(course: Path, old: str, new: str) -> None:
    """Changes a hidden test, and generates the assignment anew."""
    path = course / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, path)
    result = run(course, "nbgrader", "generate_assignment", ASSIGNMENT, "--force")
    assert result.returncode == 0, result.stdout


def read_all(course: Path) -> dict[str, str]:
    """Returns a digest of every file of a course but the lock."""
    return {
        str(path.relative_to(course)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in course.rglob("*")
        if path.is_file() and path.name != ".grading.lock"
    }


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A graded class of two, whose test was mended after that."""
    folder = tmp_path_factory.mktemp("changes")
    course = copy_course(make_course(folder / "empty"), folder / "course")
    submit(course, "ada")
    submit(course, "ben", double=TWICE)
    assert grade(course).returncode == 0
    mend(course, "assert double('a') == 'aa'", "assert double('a') == ['a', 'a']")
    return course


def test_a_dry_run_says_who_gains_and_who_loses_and_keeps_nothing(course):
    before, points = read_all(course), read_points(course)
    result = grade(course, "--force", "--dry-run")
    assert result.returncode == 0, result.stdout
    assert read_all(course) == before and read_points(course) == points
    assert "nothing of it was kept" in result.stdout
    assert "1 gain points, 1 lose points, 0 keep their sum" in result.stdout
    assert "test_double_text" in result.stdout
    assert "test_triple" not in result.stdout


def test_a_real_regrading_leaves_the_same_table_for_the_report(course, tmp_path):
    real = copy_course(course, tmp_path / "course")
    result = grade(real, "--force")
    assert "1 gain points, 1 lose points" in result.stdout, result.stdout
    assert read_points(real)["ada"]["test_double_text"] == 0
    assert read_points(real)["ben"]["test_double_text"] == 1
    message = "texts have doubles, too"
    ada = ["ada", "double", "test_double_text", "1", "0", "", message]
    ben = ["ben", "double", "test_double_text", "0", "1", message, ""]
    table = real / "reports" / f"{ASSIGNMENT}.changes.csv"
    assert sorted(load_changes(table)) == [ada, ben]
    run(real, "courseai_helpers.cli", "report", ASSIGNMENT)
    page = (real / "reports" / f"{ASSIGNMENT}.html").read_text()
    assert "What the last regrading changed" in page and page.count(message) >= 2


def test_a_dry_run_of_a_class_that_nobody_graded_makes_nothing(course, tmp_path):
    fresh = copy_course(course, tmp_path / "course")
    (fresh / "gradebook.db").unlink()
    result = run(fresh, "nbgrader", "generate_assignment", ASSIGNMENT, "--force")
    assert result.returncode == 0, result.stdout
    before = read_all(fresh)
    result = grade(fresh, "--dry-run")
    assert result.returncode == 0 and "2 graded" in result.stdout, result.stdout
    assert read_all(fresh) == before


def test_other_numbers_in_a_message_are_no_change():
    said = [
        Entry("", failures={"test_a": {"cause": "wrong answer", "message": message}})
        for message in ("expected 1.25, got 3", "expected -7e-3, got 12")
    ]
    points = ({"test_a": 0.0, "test_b": 1.0}, {"test_a": 0.0, "test_b": 1.0})
    assert compare("ada", points, tuple(said), ["a", "b"]) == []
    said[1].failures["test_a"]["message"] = "expected a tensor"
    [change] = compare("ada", points, tuple(said), ["a", "b"])
    assert change.message_now == "expected a tensor" and change.exercise == "a"
    assert sum_up([change]).endswith("1 keep their sum with other messages.")


def test_a_test_cell_belongs_to_the_longest_name_in_its_own():
    exercises = ["grad_cam", "grad", "heat"]
    assert find_exercise("test_grad_cam_relu", exercises) == "grad_cam"
    assert find_exercise("test_nothing", exercises) == ""
